// SPDX-License-Identifier: MIT
// Part of the reconciliation: what devices count themselves.
#pragma once

#include <vector>

#include "detect/finding.h"

namespace culprit {

/// A row for each counter of errors and drops that a device has grown.
std::vector<Reconciled> reconcile_links(const Facts& facts);

} // namespace culprit
