// SPDX-License-Identifier: MIT
// The egress queues of one namespace with the kernel's own counters and limits, from rtnetlink.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernel/netlink.h"
#include "util/result.h"

namespace culprit {

struct QdiscInfo {
    std::uint32_t ifindex = 0;
    std::uint32_t handle = 0, parent = 0; // parent ffffffff: root
    std::string kind;
    std::uint64_t packets = 0, bytes = 0;
    // 32 bits wide in the kernel; a classful qdisc counts those of its leaves too
    std::uint32_t drops = 0, overlimits = 0, requeues = 0;
    std::uint32_t backlog_bytes = 0, backlog_pkts = 0;
    // 0 where the qdisc has none or says it otherwise
    std::uint64_t limit_bytes = 0, limit_pkts = 0;
    std::uint64_t rate_bytes = 0, burst_bytes = 0; // per second; bytes
};

/// Qdiscs of the namespace this thread is in that hold packets, so neither noqueue nor the places
/// for filters; at most kQdiscsMax, the others are not read.
inline constexpr std::size_t kQdiscsMax = 16384;
Result<std::vector<QdiscInfo>> read_qdiscs();

/// One message of the kernel's answer. Pure.
QdiscInfo parse_qdisc(const nlmsghdr& message);

} // namespace culprit
