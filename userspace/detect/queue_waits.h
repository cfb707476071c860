// SPDX-License-Identifier: MIT
// Which egress queues stand: packets wait in them and they do not drain.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "abi/qdisc.h"
#include "detect/finding.h"

namespace culprit {

struct QueueWait {
    qdisc_total queue{}; // which one
    // of the windows in which it stands:
    std::array<std::uint64_t, ABI_HIST_SLOTS> slots{};
    std::uint64_t timed = 0, backlog_bytes = 0, first_ns = 0;
    std::size_t windows = 0;

    /// What that share of the packets waited at most, about.
    std::uint64_t quantile_ns(double share) const;
};

std::vector<QueueWait> standing_queues(const Facts& facts);

} // namespace culprit
