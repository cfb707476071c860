// SPDX-License-Identifier: MIT
// The network devices of one namespace with their own counters, from rtnetlink.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernel/netlink.h"
#include "util/result.h"

namespace culprit {

/// In the order of struct rtnl_link_stats64 (linux/if_link.h); what this kernel lacks is 0.
struct LinkStats {
    std::uint64_t rx_packets = 0, tx_packets = 0, rx_bytes = 0, tx_bytes = 0;
    std::uint64_t rx_errors = 0, tx_errors = 0, rx_dropped = 0, tx_dropped = 0;
    std::uint64_t multicast = 0, collisions = 0;
    std::uint64_t rx_length_errors = 0, rx_over_errors = 0, rx_crc_errors = 0, rx_frame_errors = 0,
                  rx_fifo_errors = 0, rx_missed_errors = 0;
    std::uint64_t tx_aborted_errors = 0, tx_carrier_errors = 0, tx_fifo_errors = 0,
                  tx_heartbeat_errors = 0, tx_window_errors = 0;
    std::uint64_t rx_compressed = 0, tx_compressed = 0, rx_nohandler = 0, rx_otherhost_dropped = 0;
};

/// A counter of trouble, and its name in every output.
struct LinkErrorKind {
    const char* name;
    std::uint64_t LinkStats::*counter;
};
/// Kinds of errors; they are part of rx_errors and tx_errors, but for missed and collisions.
std::span<const LinkErrorKind> link_error_kinds();

struct LinkInfo {
    std::uint32_t netns = 0; // filled in by who knows it
    std::uint32_t ifindex = 0;
    std::string name; // bytes as the administrator set them
    std::string type; // "veth", "bridge"; empty for hardware and what does not say
    bool loopback = false;
    bool admin_up = false;
    bool carrier = false;
    std::uint8_t operstate = 0; // RFC 2863, numbers of linux/if.h: IF_OPER_*
    std::uint32_t mtu = 0, min_mtu = 0, max_mtu = 0;
    std::uint32_t link = 0; // ifindex of the device below, or of the other end; 0 when none
    std::int32_t link_netns_id = -1; // where that one is; -1: in the same namespace
    std::uint32_t peer_netns = 0;    // the same as an inode number; 0: not known; filled in later
    std::uint32_t master = 0;        // ifindex of the bridge or bond it is part of
    std::string qdisc;               // at its root
    std::uint32_t rx_queues = 0, tx_queues = 0;
    std::uint32_t xdp_program = 0; // id; 0 when none
    LinkStats stats;
    std::uint32_t carrier_changes = 0, carrier_ups = 0, carrier_downs = 0;
    std::uint32_t speed_mbit = 0; // 0: it has none or does not say; filled in by read_speed()
    std::uint8_t duplex = 255;    // 0 half, 1 full, 255 unknown

    /// Not made by software as far as the kernel says: its speed and driver counters mean
    /// something.
    bool hardware() const { return type.empty() && !loopback; }
};

/// Devices of the namespace this thread is in, at most kLinksMax; `left_out` grows by how many more
/// there are.
inline constexpr std::size_t kLinksMax = 16384;
Result<std::vector<LinkInfo>> read_links(std::size_t& left_out);

/// The number that the namespace behind this descriptor has here; negative when it has none.
std::int32_t netns_id(int netns_fd);

/// The device that one message of the kernel's answer tells of. Pure.
LinkInfo parse_link(const nlmsghdr& message);

} // namespace culprit
