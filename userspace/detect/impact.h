// SPDX-License-Identifier: MIT
// Triage: how much of the host was seen, and how much of that is in trouble.
#pragma once

#include <string>
#include <vector>

#include "detect/finding.h"

namespace culprit {

/// "12 connections attempted, 340 ended, 4 processes in 2 network namespaces seen, 7 peers"
std::string scope_of(const Window& total);

Impact impact_of(const Window& total, const std::vector<Finding>& findings);

} // namespace culprit
