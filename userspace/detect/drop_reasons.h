// SPDX-License-Identifier: MIT
// What a drop reason means to somebody on call: one sentence each.
#pragma once

#include <string_view>

namespace culprit {

/// What the kernel checked and what usually stands behind it; empty for a reason whose name says
/// all.
std::string_view drop_runbook(std::string_view reason);

} // namespace culprit
