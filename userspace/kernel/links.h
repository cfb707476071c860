// SPDX-License-Identifier: MIT
// The network devices of one namespace with their own counters, from rtnetlink.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernel/netlink.h"
#include "util/result.h"

namespace culprit {

struct LinkInfo {
    std::uint32_t netns = 0; // filled in by who knows it
    std::uint32_t ifindex = 0;
    std::string name; // bytes as the administrator set them
    bool admin_up = false;
    std::uint8_t operstate = 0; // RFC 2863, numbers of linux/if.h: IF_OPER_*
    std::uint32_t mtu = 0;
    std::uint64_t rx_packets = 0, tx_packets = 0;
    std::uint64_t rx_bytes = 0, tx_bytes = 0;
    std::uint64_t rx_errors = 0, tx_errors = 0;
    std::uint64_t rx_dropped = 0, tx_dropped = 0;
    std::uint32_t carrier_changes = 0;
};

/// Devices of the namespace this thread is in, at most kLinksMax; `left_out` grows by how many more
/// there are.
inline constexpr std::size_t kLinksMax = 16384;
Result<std::vector<LinkInfo>> read_links(std::size_t& left_out);

/// The device that one message of the kernel's answer tells of. Pure.
LinkInfo parse_link(const nlmsghdr& message);

} // namespace culprit
