// SPDX-License-Identifier: MIT
// RTM_GETLINK with NLM_F_DUMP; the kernel answers with one message per device (rtnetlink(7)).
#include "kernel/links.h"

#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

namespace culprit {

LinkInfo parse_link(const nlmsghdr& message) {
    const auto head = netlink_body<ifinfomsg>(message);
    const Attributes attributes(message, sizeof(head));
    const auto stats = attributes.value<rtnl_link_stats64>(IFLA_STATS64);
    LinkInfo link;
    link.ifindex = static_cast<std::uint32_t>(head.ifi_index);
    link.admin_up = head.ifi_flags & IFF_UP;
    link.name = attributes.text(IFLA_IFNAME);
    link.mtu = attributes.value<std::uint32_t>(IFLA_MTU);
    link.operstate = attributes.value<std::uint8_t>(IFLA_OPERSTATE);
    link.carrier_changes = attributes.value<std::uint32_t>(IFLA_CARRIER_CHANGES);
    link.rx_packets = stats.rx_packets;
    link.tx_packets = stats.tx_packets;
    link.rx_bytes = stats.rx_bytes;
    link.tx_bytes = stats.tx_bytes;
    link.rx_errors = stats.rx_errors;
    link.tx_errors = stats.tx_errors;
    link.rx_dropped = stats.rx_dropped;
    link.tx_dropped = stats.tx_dropped;
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

} // namespace culprit
