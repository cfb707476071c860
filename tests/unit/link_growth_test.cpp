// SPDX-License-Identifier: MIT
// Is a device told of when something happened to it, with what came since, and else kept quiet?
#include "signals/link_growth.h"

#include <linux/if.h>

#include "kernel/ethtool.h"
#include "support/catch.h"
#include "support/event_builder.h"

using namespace culprit;
using namespace culprit::test;

namespace {

LinkInfo a_link(std::uint32_t ifindex = 2) {
    LinkInfo link;
    link.netns = kNetns;
    link.ifindex = ifindex;
    link.name = "eth0";
    link.admin_up = link.carrier = true;
    link.operstate = IF_OPER_UP;
    link.mtu = 1500;
    link.stats.rx_packets = 1000;
    link.carrier_changes = 2;
    link.carrier_ups = link.carrier_downs = 1;
    return link;
}

/// Looks of one namespace, one a second.
class Looks {
public:
    std::vector<link_total> look(const std::vector<LinkInfo>& links) {
        std::vector<link_total> told;
        x_growth.take(kNetns, ++x_second * kSecondNs, links,
                      [&](std::span<const std::byte> record) {
                          REQUIRE(check_record(record));
                          told.push_back(value_at<link_total>(record, 0));
                      });
        return told;
    }
    std::vector<link_stat> driver(const LinkInfo& link, const DriverCounters& counters) {
        std::vector<link_stat> told;
        if (x_growth.wants_driver(link, x_second * kSecondNs))
            x_growth.take_driver(link, x_second * kSecondNs, counters,
                                 [&](std::span<const std::byte> record) {
                                     told.push_back(value_at<link_stat>(record, 0));
                                 });
        return told;
    }

private:
    LinkGrowth x_growth;
    std::uint64_t x_second = 0;
};

} // namespace

TEST_CASE("the first look tells nothing, the second of a quiet device once", "[link_growth_test]") {
    Looks looks;
    LinkInfo link = a_link();
    CHECK(looks.look({link}).empty());
    link.stats.rx_packets += 5;
    const auto told = looks.look({link});
    REQUIRE(told.size() == 1);
    CHECK(told[0].rx_packets == 5);
    CHECK(told[0].up_ns == 2 * kSecondNs);
    CHECK(told[0].no_carrier_ns == 0);
    link.stats.rx_packets += 5;
    CHECK(looks.look({link}).empty());
}

TEST_CASE("errors are told with what came since the device was told of", "[link_growth_test]") {
    Looks looks;
    LinkInfo link = a_link();
    looks.look({link});
    looks.look({link});
    link.stats.rx_packets += 10;
    looks.look({link});
    link.stats.rx_packets += 10;
    link.stats.rx_crc_errors += 3;
    const auto told = looks.look({link});
    REQUIRE(told.size() == 1);
    CHECK(told[0].rx_crc == 3);
    CHECK(told[0].rx_packets == 20);
    CHECK(looks.look({link}).empty());
}

TEST_CASE("a carrier that went is told with the state before and now", "[link_growth_test]") {
    Looks looks;
    LinkInfo link = a_link();
    looks.look({link});
    link.carrier = false;
    link.carrier_changes++;
    link.carrier_downs++;
    const auto told = looks.look({link});
    REQUIRE(told.size() == 1);
    CHECK(told[0].carrier_downs == 1);
    CHECK(told[0].up_ns < told[0].no_carrier_ns);
    CHECK(told[0].up_ns > 0);
    CHECK(told[0].off_ns == 0);
}

TEST_CASE("a device that is new began with zero, but its birth is no lost carrier",
          "[link_growth_test]") {
    Looks looks;
    looks.look({a_link(2)});
    LinkInfo made = a_link(3);
    made.type = "veth";
    const auto told = looks.look({a_link(2), made, a_link(4)});
    REQUIRE(told.size() == 3);
    CHECK(told[1].ifindex == 3);
    CHECK(told[1].rx_packets == 1000);
    CHECK(told[1].carrier_downs == 0);
    CHECK(told[2].rx_packets == 0); // hardware, moved here with the counts of its life
}

TEST_CASE("a counter that goes back by itself is no growth", "[link_growth_test]") {
    Looks looks;
    LinkInfo link = a_link();
    link.stats.rx_crc_errors = 100;
    looks.look({link});
    link.stats.rx_crc_errors = 40;
    REQUIRE(looks.look({link}).size() == 1); // told once, for it is quiet
    link.stats.rx_crc_errors = 45;
    const auto told = looks.look({link});
    REQUIRE(told.size() == 1);
    CHECK(told[0].rx_crc == 5);
}

TEST_CASE("a device that is removed is told as gone", "[link_growth_test]") {
    Looks looks;
    looks.look({a_link(2)});
    looks.look({a_link(2)});
    const auto told = looks.look({});
    REQUIRE(told.size() == 1);
    CHECK(told[0].gone_ns > told[0].up_ns);
    CHECK(looks.look({}).empty());
}

TEST_CASE("counters that went back began anew", "[link_growth_test]") {
    Looks looks;
    LinkInfo link = a_link();
    link.stats.rx_crc_errors = 100;
    looks.look({link});
    link.stats.rx_packets = 5;
    link.stats.rx_crc_errors = 7;
    CHECK(looks.look({link}).at(0).rx_crc == 7);
}

TEST_CASE("thousands of quiet devices do not fill the window", "[link_growth_test]") {
    Looks looks;
    std::vector<LinkInfo> many;
    for (std::uint32_t i = 1; i <= 2 * LinkGrowth::kQuietMax; i++)
        many.push_back(a_link(i));
    looks.look(many);
    CHECK(looks.look(many).size() == LinkGrowth::kQuietMax);
    many.back().stats.tx_errors++;
    CHECK(looks.look(many).size() == 1);
}

TEST_CASE("a driver's counters of trouble are told by name, of hardware only",
          "[link_growth_test]") {
    Looks looks;
    LinkInfo link = a_link();
    CHECK(looks.driver(link, {{"rx_crc_errors", 5}}).empty()); // not known yet
    looks.look({link});
    CHECK(looks.driver(link, {{"rx_crc_errors", 5}}).empty()); // what growth is measured against
    CHECK(looks.driver(link, {{"rx_crc_errors", 6}}).empty()); // too soon, and no error
    link.stats.rx_errors++;
    looks.look({link});
    const auto told = looks.driver(link, {{"rx_crc_errors", 9}, {"rx_missed", 0}});
    REQUIRE(told.size() == 1);
    CHECK(std::string(told[0].name) == "rx_crc_errors");
    CHECK(told[0].growth == 4);
    link.type = "veth";
    CHECK(looks.driver(link, {{"rx_crc_errors", 99}}).empty());
}

TEST_CASE("names of trouble are told from others", "[link_growth_test]") {
    for (const char* name : {"rx_crc_errors", "tx_timeout_count", "rx_missed_errors",
                             "port.rx_discards", "rx_out_of_buffer", "RxFifoErr"})
        CHECK(is_trouble(name));
    for (const char* name : {"rx_packets", "tx_kicks", "rx_xdp_drops", "rx_queue_0_bytes"})
        CHECK_FALSE(is_trouble(name));
}
