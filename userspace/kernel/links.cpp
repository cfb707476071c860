// SPDX-License-Identifier: MIT
// RTM_GETLINK with NLM_F_DUMP; the kernel answers with one message per device (rtnetlink(7)).
#include "kernel/links.h"

#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>

namespace culprit {

namespace {

constexpr LinkErrorKind kErrorKinds[] = {
    {"rx_length", &LinkStats::rx_length_errors},
    {"rx_over", &LinkStats::rx_over_errors},
    {"rx_crc", &LinkStats::rx_crc_errors},
    {"rx_frame", &LinkStats::rx_frame_errors},
    {"rx_fifo", &LinkStats::rx_fifo_errors},
    {"rx_missed", &LinkStats::rx_missed_errors},
    {"tx_aborted", &LinkStats::tx_aborted_errors},
    {"tx_carrier", &LinkStats::tx_carrier_errors},
    {"tx_fifo", &LinkStats::tx_fifo_errors},
    {"tx_heartbeat", &LinkStats::tx_heartbeat_errors},
    {"tx_window", &LinkStats::tx_window_errors},
    {"collisions", &LinkStats::collisions},
};

void read_state(const Attributes& attributes, LinkInfo& link) {
    link.carrier = attributes.value<std::uint8_t>(IFLA_CARRIER);
    link.operstate = attributes.value<std::uint8_t>(IFLA_OPERSTATE);
    link.carrier_changes = attributes.value<std::uint32_t>(IFLA_CARRIER_CHANGES);
    link.carrier_ups = attributes.value<std::uint32_t>(IFLA_CARRIER_UP_COUNT);
    link.carrier_downs = attributes.value<std::uint32_t>(IFLA_CARRIER_DOWN_COUNT);
    link.stats = attributes.value<LinkStats>(IFLA_STATS64);
}

void read_place(const Attributes& attributes, LinkInfo& link) {
    link.link = attributes.value<std::uint32_t>(IFLA_LINK);
    link.link_netns_id = attributes.value<std::int32_t>(IFLA_LINK_NETNSID, -1);
    link.master = attributes.value<std::uint32_t>(IFLA_MASTER);
}

} // namespace

std::span<const LinkErrorKind> link_error_kinds() {
    return kErrorKinds;
}

LinkInfo parse_link(const nlmsghdr& message) {
    const auto head = netlink_body<ifinfomsg>(message);
    const Attributes attributes(message, sizeof(head));
    LinkInfo link;
    link.ifindex = static_cast<std::uint32_t>(head.ifi_index);
    link.admin_up = head.ifi_flags & IFF_UP;
    link.loopback = head.ifi_flags & IFF_LOOPBACK;
    link.name = attributes.text(IFLA_IFNAME);
    link.type = attributes.nested(IFLA_LINKINFO).text(IFLA_INFO_KIND);
    link.qdisc = attributes.text(IFLA_QDISC);
    link.mtu = attributes.value<std::uint32_t>(IFLA_MTU);
    link.min_mtu = attributes.value<std::uint32_t>(IFLA_MIN_MTU);
    link.max_mtu = attributes.value<std::uint32_t>(IFLA_MAX_MTU);
    link.rx_queues = attributes.value<std::uint32_t>(IFLA_NUM_RX_QUEUES);
    link.tx_queues = attributes.value<std::uint32_t>(IFLA_NUM_TX_QUEUES);
    link.xdp_program = attributes.nested(IFLA_XDP).value<std::uint32_t>(IFLA_XDP_PROG_ID);
    read_state(attributes, link);
    read_place(attributes, link);
    return link;
}

Result<std::vector<LinkInfo>> read_links(std::size_t& left_out) {
    const auto netlink = Netlink::open(NETLINK_ROUTE);
    if (!netlink)
        return std::unexpected(netlink.error());
    std::vector<LinkInfo> links;
    NetlinkRequest request(RTM_GETLINK, NLM_F_DUMP);
    request.body(ifinfomsg{});
    const auto done = netlink->ask(request, [&](const nlmsghdr& message) {
        if (links.size() < kLinksMax)
            links.push_back(parse_link(message));
        else
            left_out++;
    });
    if (!done)
        return std::unexpected(done.error().in("devices"));
    return links;
}

std::int32_t netns_id(int netns_fd) {
    constexpr std::int32_t kNone = -1;
    const auto netlink = Netlink::open(NETLINK_ROUTE);
    if (!netlink)
        return kNone;
    NetlinkRequest request(RTM_GETNSID, 0);
    request.body(rtgenmsg{}).attribute(NETNSA_FD, static_cast<std::uint32_t>(netns_fd));
    std::int32_t id = kNone;
    const auto done = netlink->ask(request, [&](const nlmsghdr& message) {
        id = Attributes(message, sizeof(rtgenmsg)).value<std::int32_t>(NETNSA_NSID, kNone);
    });
    return done ? id : kNone;
}

} // namespace culprit
