// SPDX-License-Identifier: MIT
// Are rtnetlink's answers read, damaged ones too?
#include "kernel/links.h"

#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include "support/catch.h"

using namespace culprit;

namespace {

NetlinkRequest a_device() {
    ifinfomsg body{};
    body.ifi_index = 7;
    body.ifi_flags = IFF_UP;
    rtnl_link_stats64 stats{};
    stats.rx_packets = 11;
    stats.tx_dropped = 22;
    NetlinkRequest message(RTM_NEWLINK, 0);
    message.body(body)
        .text(IFLA_IFNAME, "eth0")
        .attribute(IFLA_MTU, std::uint32_t{1500})
        .attribute(IFLA_OPERSTATE, std::uint8_t{6})
        .attribute(IFLA_CARRIER_CHANGES, std::uint32_t{3})
        .attribute(IFLA_CARRIER, std::uint8_t{1})
        .attribute(IFLA_CARRIER_DOWN_COUNT, std::uint32_t{2})
        .attribute(IFLA_LINK, std::uint32_t{9})
        .attribute(IFLA_LINK_NETNSID, std::int32_t{0})
        .attribute(IFLA_STATS64, stats);
    return message;
}

} // namespace

TEST_CASE("a device is read with its counters", "[links_test]") {
    NetlinkRequest message = a_device();
    const LinkInfo link = parse_link(*message.head());
    CHECK(link.ifindex == 7);
    CHECK(link.name == "eth0");
    CHECK(link.admin_up);
    CHECK(link.operstate == 6);
    CHECK(link.mtu == 1500);
    CHECK(link.carrier_changes == 3);
    CHECK(link.carrier);
    CHECK(link.carrier_downs == 2);
    CHECK(link.link == 9);
    CHECK(link.link_netns_id == 0);
    CHECK(link.hardware());
    CHECK(link.stats.rx_packets == 11);
    CHECK(link.stats.tx_dropped == 22);
}

TEST_CASE("a message cut anywhere is not read beyond its end", "[links_test]") {
    NetlinkRequest message = a_device();
    const std::uint32_t whole = message.head()->nlmsg_len;
    for (std::uint32_t size = NLMSG_HDRLEN; size < whole; size += NLMSG_ALIGNTO) {
        message.head()->nlmsg_len = size;
        CHECK(parse_link(*message.head()).stats.tx_dropped == 0); // of the last attribute
    }
}

TEST_CASE("counters of an older kernel are fewer", "[links_test]") {
    NetlinkRequest message(RTM_NEWLINK, 0);
    message.body(ifinfomsg{}).attribute(IFLA_STATS64, std::uint64_t{11});
    const LinkInfo link = parse_link(*message.head());
    CHECK(link.stats.rx_packets == 11);
    CHECK(link.stats.tx_packets == 0);
}
