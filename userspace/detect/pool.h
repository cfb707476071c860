// SPDX-License-Identifier: MIT
// Is this host's pool of connections healthy as a whole? Judged from one look at all sockets.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/inventory.h"

namespace culprit {

struct PoolIssue {
    std::string id;
    std::string text;
    double value = 0; // a share is in percent
    double limit = 0;
};

/// Claim: too many connections, or too many of them in states that bind resources. Evidence: the
/// exact sums. A share says nothing while there are few connections.
std::vector<PoolIssue> pool_issues(const Inventory& inventory);

} // namespace culprit
