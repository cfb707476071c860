// SPDX-License-Identifier: MIT
// Are rtnetlink's answers read, damaged ones too?
#include "kernel/links.h"

#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <cstring>

#include "support/catch.h"

using namespace culprit;

namespace {

class Message {
public:
    Message(std::uint16_t type, int ifindex) {
        ifinfomsg body{};
        body.ifi_index = ifindex;
        body.ifi_flags = IFF_UP;
        put(nlmsghdr{0, type, 0, 1, 0});
        put(body);
    }
    template <typename T>
    Message& attribute(unsigned short type, const T& value) {
        put(rtattr{static_cast<unsigned short>(sizeof(rtattr) + sizeof(value)), type});
        put(value);
        return *this;
    }
    std::vector<std::byte> bytes() {
        const auto size = static_cast<std::uint32_t>(x_bytes.size());
        std::memcpy(x_bytes.data(), &size, sizeof(size));
        return x_bytes;
    }

private:
    template <typename T>
    void put(const T& value) {
        const auto* from = reinterpret_cast<const std::byte*>(&value);
        x_bytes.insert(x_bytes.end(), from, from + sizeof(value));
        x_bytes.resize(NLMSG_ALIGN(x_bytes.size()));
    }
    std::vector<std::byte> x_bytes;
};

std::vector<std::byte> a_device() {
    rtnl_link_stats64 stats{};
    stats.rx_packets = 11;
    stats.tx_dropped = 22;
    const char name[] = "eth0";
    return Message(RTM_NEWLINK, 7)
        .attribute(IFLA_IFNAME, name)
        .attribute(IFLA_MTU, std::uint32_t{1500})
        .attribute(IFLA_OPERSTATE, std::uint8_t{6})
        .attribute(IFLA_CARRIER_CHANGES, std::uint32_t{3})
        .attribute(IFLA_STATS64, stats)
        .bytes();
}

} // namespace

TEST_CASE("a device is read with its counters", "[links_test]") {
    bool done = false;
    const auto links = parse_links(a_device(), done);
    REQUIRE(links.size() == 1);
    CHECK_FALSE(done);
    CHECK(links[0].ifindex == 7);
    CHECK(links[0].name == "eth0");
    CHECK(links[0].admin_up);
    CHECK(links[0].operstate == 6);
    CHECK(links[0].mtu == 1500);
    CHECK(links[0].carrier_changes == 3);
    CHECK(links[0].stats.rx_packets == 11);
    CHECK(links[0].stats.tx_dropped == 22);
}

TEST_CASE("the last message ends the list", "[links_test]") {
    std::vector<std::byte> both = a_device();
    const auto end = Message(NLMSG_DONE, 0).bytes();
    both.insert(both.end(), end.begin(), end.end());
    bool done = false;
    CHECK(parse_links(both, done).size() == 1);
    CHECK(done);
}

TEST_CASE("a message cut anywhere is not read beyond its end", "[links_test]") {
    const auto whole = a_device();
    for (std::size_t size = 0; size < whole.size(); size++) {
        bool done = false;
        const std::vector<std::byte> part(whole.begin(),
                                          whole.begin() + static_cast<std::ptrdiff_t>(size));
        CHECK(parse_links(part, done).empty());
    }
}
