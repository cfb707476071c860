// SPDX-License-Identifier: MIT
// Do the findings about links say what the Windows show, and are their look-alikes told apart?
#include <algorithm>

#include "detect/finding.h"
#include "support/catch.h"
#include "support/event_builder.h"
#include "support/fake_names.h"
#include "support/readable.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr std::uint32_t kOther = 4026532001; // "blue"
constexpr std::uint64_t kForward = 0xffffffff81b00010, kQueue = 0xffffffff81b00020,
                        kIpReceive = 0xffffffff81b00030;
constexpr std::uint32_t kNotSpecified = 2, kQdiscDrop = 20, kOtherhost = 21;

Window ten_seconds() {
    Window window;
    window.from_ns = kSecondNs;
    window.to_ns = 11 * kSecondNs;
    window.names = fake_names();
    window.names.drop_reasons[kQdiscDrop] = "QDISC_DROP";
    window.names.drop_reasons[kOtherhost] = "OTHERHOST";
    window.names.symbols[kForward] = "__dev_forward_skb2+0x10";
    window.names.symbols[kQueue] = "__dev_queue_xmit+0x20";
    window.names.symbols[kIpReceive] = "ip_rcv_core+0x30";
    window.names.devices[{kOther, 2}] = "eth1";
    window.names.devices[{kNetns, 3}] = "br0";
    return window;
}

/// eth0 of kNetns and eth1 of kOther are the two ends of a veth pair.
link_total end_of_pair(std::uint32_t netns) {
    auto link = make<link_total>(2 * kSecondNs);
    link.netns = netns;
    link.ifindex = link.link = 2;
    link.link_netns = netns == kNetns ? kOther : kNetns;
    std::memcpy(link.type, "veth", 4);
    link.mtu = 1500;
    link.up_ns = 2 * kSecondNs;
    link.rx_packets = link.tx_packets = 500;
    return link;
}

link_total hardware() {
    link_total link = end_of_pair(kNetns);
    link.link = 0;
    link.link_netns = 0;
    std::memset(link.type, 0, sizeof(link.type));
    return link;
}

void add_stops(Window& window, std::uint32_t netns, std::uint32_t type, int count) {
    for (int i = 0; i < count; i++) {
        auto stop = make<link_event>(3 * kSecondNs);
        stop.netns = netns;
        stop.ifindex = 2;
        stop.type = type;
        if (type == ABI_LINK_OFF)
            stop.owner = process("netcfg", 77);
        window.fold(bytes_of(stop));
    }
}

void add_drops(Window& window, std::uint32_t reason, std::uint64_t location, std::uint64_t packets,
               std::uint64_t bytes, std::uint8_t tagged = 0) {
    auto total = make<drop_total>();
    total.reason = reason;
    total.location = location;
    total.netns = kNetns;
    total.ifindex = 2;
    total.protocol = IPPROTO_TCP;
    total.packets = packets;
    window.fold(bytes_of(total));
    auto sample = make<drop_event>(4 * kSecondNs);
    sample.flow = tcp_flow("10.0.0.1", 40000, "10.0.0.2", 80);
    sample.reason = reason;
    sample.location = location;
    sample.bytes = bytes;
    sample.tagged = tagged;
    sample.owner = process("client", 42);
    window.fold(bytes_of(sample));
}

void add_retransmits(Window& window, int count) {
    for (int i = 0; i < count; i++) {
        auto again = make<retransmit_event>(5 * kSecondNs);
        again.flow = tcp_flow("10.0.0.1", 40000, "10.0.0.2", 80);
        again.owner = process("client", 42);
        again.type = ABI_RETRANSMIT_RTO;
        again.segs = 1;
        window.fold(bytes_of(again));
    }
}

std::vector<Finding> found(const Window& window) {
    return test::readable_findings({window, std::span(&window, 1)});
}

std::string ids(const std::vector<Finding>& findings) {
    std::string text;
    for (const Finding& finding : findings)
        text += finding.id + (finding.severity == Severity::kInfo ? "(info) " : " ");
    return text;
}

/// One that has no carrier and never had traffic.
void add_unused_port(Window& window) {
    link_total link = hardware();
    link.up_ns = 0;
    link.rx_packets = link.tx_packets = 0;
    link.no_carrier_ns = 3 * kSecondNs;
    window.fold(bytes_of(link));
}

void add_queue_drops(Window& window, std::uint16_t ethertype, std::uint8_t protocol) {
    auto drop = make<drop_total>();
    drop.reason = kQdiscDrop;
    drop.location = kQueue;
    drop.netns = kNetns;
    drop.ifindex = 2;
    drop.ethertype = ethertype;
    drop.protocol = protocol;
    drop.packets = 20;
    window.fold(bytes_of(drop));
}

} // namespace

TEST_CASE("a device that a process takes down again and again is one finding for both ends",
          "[link_detect_test]") {
    Window window = ten_seconds();
    for (const std::uint32_t netns : {kNetns, kOther}) {
        link_total link = end_of_pair(netns);
        link.carrier_downs = link.carrier_ups = 4;
        window.fold(bytes_of(link));
    }
    add_stops(window, kOther, ABI_LINK_OFF, 4);
    add_stops(window, kNetns, ABI_LINK_NO_CARRIER, 4);
    add_drops(window, kQdiscDrop, kQueue, 40, 60);
    add_retransmits(window, 12);
    const auto findings = found(window);
    INFO(ids(findings));
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "link-flap");
    CHECK(findings[0].severity == Severity::kCritical);
    CHECK(findings[0].where.netns == kOther);
    CHECK(findings[0].where.device == "eth1");
    REQUIRE(findings[0].culprit);
    CHECK(findings[0].culprit->owner.tgid == 77);
    REQUIRE(findings[0].affected.size() == 1);
    CHECK(findings[0].affected[0].owner.tgid == 42);
    CHECK(findings[0].count == 4);
}

TEST_CASE("one interruption that nobody feels is worth knowing only", "[link_detect_test]") {
    Window window = ten_seconds();
    link_total link = hardware();
    link.carrier_downs = link.carrier_ups = 1;
    window.fold(bytes_of(link));
    CHECK(found(window).empty());
    link.carrier_downs = link.carrier_ups = 1;
    window.fold(bytes_of(link)); // twice: traffic will feel it
    CHECK(ids(found(window)) == "link-flap ");
}

TEST_CASE("a carrier that comes and goes on a port nobody uses is worth knowing only",
          "[link_detect_test]") {
    Window window = ten_seconds();
    link_total link = hardware();
    link.rx_packets = link.tx_packets = 0;
    link.carrier_downs = link.carrier_ups = 3;
    window.fold(bytes_of(link));
    CHECK(ids(found(window)) == "link-flap(info) ");
}

TEST_CASE("a lost carrier that traffic wants is link-down, not what follows from it",
          "[link_detect_test]") {
    Window window = ten_seconds();
    link_total link = hardware();
    link.no_carrier_ns = 3 * kSecondNs;
    link.carrier_downs = 1;
    window.fold(bytes_of(link));
    add_stops(window, kNetns, ABI_LINK_NO_CARRIER, 1);
    add_drops(window, kQdiscDrop, kQueue, 40, 60);
    add_retransmits(window, 12);
    const auto findings = found(window);
    INFO(ids(findings));
    REQUIRE_FALSE(findings.empty());
    CHECK(findings[0].id == "link-down");
    CHECK(findings[0].severity == Severity::kCritical);
    CHECK_FALSE(findings[0].culprit);
    CHECK(findings[0].title.find("no carrier for 8s") != std::string::npos);
    CHECK(ids(findings).find("local-drop") == std::string::npos);
}

TEST_CASE("a port that is down and unused is no finding", "[link_detect_test]") {
    Window window = ten_seconds();
    add_unused_port(window);
    CHECK(found(window).empty());
}

TEST_CASE("what the kernel sends by itself is no traffic that wants a device",
          "[link_detect_test]") {
    Window window = ten_seconds();
    add_unused_port(window);
    add_queue_drops(window, 0x86dd, IPPROTO_ICMPV6);
    CHECK(found(window).empty());
}

TEST_CASE("announcements do not want a device", "[link_detect_test]") {
    for (const char* to : {"224.0.0.251", "10.0.0.9"}) {
        Window window = ten_seconds();
        add_unused_port(window);
        add_queue_drops(window, 0x0800, IPPROTO_UDP);
        auto sample = make<drop_event>(4 * kSecondNs);
        sample.flow = tcp_flow("10.0.0.1", 5353, to, 5353);
        sample.flow.protocol = IPPROTO_UDP;
        sample.flow.ifindex = 2;
        sample.reason = kQdiscDrop;
        sample.location = kQueue;
        window.fold(bytes_of(sample));
        CHECK((ids(found(window)).find("link-down") != std::string::npos) ==
              (to == std::string_view("10.0.0.9")));
    }
}

TEST_CASE("a container's link that is down does not hide another device's drops",
          "[link_detect_test]") {
    Window window = ten_seconds();
    link_total pair = end_of_pair(kOther);
    pair.no_carrier_ns = 3 * kSecondNs;
    pair.carrier_downs = 1;
    pair.link = 5; // its other end has another number than eth0
    window.fold(bytes_of(pair));
    link_total end = end_of_pair(kNetns);
    end.ifindex = 5;
    end.off_ns = 3 * kSecondNs;
    window.fold(bytes_of(end));
    window.fold(bytes_of(hardware()));
    window.names.devices[{kNetns, 5}] = "veth5";
    add_drops(window, kQdiscDrop, kQueue, 40, 60);
    add_retransmits(window, 12);
    CHECK(ids(found(window)).find("drop ") != std::string::npos);
}

TEST_CASE("a device that is removed, or whose namespace is, is no finding", "[link_detect_test]") {
    Window window = ten_seconds();
    link_total link = end_of_pair(kNetns);
    link.no_carrier_ns = 3 * kSecondNs;
    link.gone_ns = 4 * kSecondNs;
    link.carrier_downs = 1;
    window.fold(bytes_of(link));
    link.netns = kOther;
    link.gone_ns = 0;
    window.fold(bytes_of(link));
    window.counters[kOther].error = "it is gone";
    CHECK(found(window).empty());
}

TEST_CASE("a bridge that follows its port is not told beside it", "[link_detect_test]") {
    Window window = ten_seconds();
    link_total port = hardware();
    port.carrier_downs = port.carrier_ups = 3;
    port.master = 3;
    window.fold(bytes_of(port));
    link_total bridge = hardware();
    bridge.ifindex = 3;
    std::memcpy(bridge.type, "bridge", 6);
    bridge.carrier_downs = bridge.carrier_ups = 3;
    window.fold(bytes_of(bridge));
    CHECK(ids(found(window)) == "link-flap ");
}

TEST_CASE("damaged frames are nic-errors with kind, share and driver counter",
          "[link_detect_test]") {
    Window window = ten_seconds();
    link_total link = hardware();
    link.rx_packets = 10'000;
    link.rx_errors = 250;
    link.rx_crc = 240;
    window.fold(bytes_of(link));
    auto stat = make<link_stat>();
    stat.netns = kNetns;
    stat.ifindex = 2;
    std::memcpy(stat.name, "rx_crc_errors_phy", 17);
    stat.growth = 240;
    window.fold(bytes_of(stat));
    const auto findings = found(window);
    REQUIRE(ids(findings) == "nic-errors ");
    CHECK(findings[0].severity == Severity::kCritical);
    CHECK(findings[0].where.device == "eth0");
    CHECK(findings[0].evidence[1].text == "240 rx_crc: frames damaged on the way");
    CHECK(findings[0].evidence[2].text == "its driver counts rx_crc_errors_phy 240");
}

TEST_CASE("noise and a handful of errors in much traffic are no finding", "[link_detect_test]") {
    Window window = ten_seconds();
    link_total link = hardware();
    link.rx_packets = 1'000'000;
    link.rx_dropped = link.rx_nohandler = 5000;
    link.rx_otherhost = 5000;
    link.rx_crc = link.rx_errors = 20;
    window.fold(bytes_of(link));
    CHECK(found(window).empty());
}

TEST_CASE("frames that the other end's MTU refuses are mtu-mismatch with both MTUs",
          "[link_detect_test]") {
    Window window = ten_seconds();
    window.fold(bytes_of(end_of_pair(kNetns)));
    link_total small = end_of_pair(kOther);
    small.mtu = 600;
    window.fold(bytes_of(small));
    add_drops(window, kNotSpecified, kForward, 200, 1242);
    const auto findings = found(window);
    REQUIRE(ids(findings) == "mtu-mismatch ");
    CHECK(findings[0].title.find("eth0 sends frames of up to 1242 bytes; eth1 in namespace "
                                 "4026532001 (blue) takes packets of 600") == 0);
    CHECK(findings[0].where.device == "eth0");
}

TEST_CASE("small frames dropped at the same place are no mtu-mismatch", "[link_detect_test]") {
    Window window = ten_seconds();
    window.fold(bytes_of(end_of_pair(kNetns)));
    window.fold(bytes_of(end_of_pair(kOther)));
    add_drops(window, kNotSpecified, kForward, 200, 60);
    CHECK(ids(found(window)) == "local-drop ");
}

TEST_CASE("frames above its MTU that a device counts are mtu-mismatch, not nic-errors",
          "[link_detect_test]") {
    Window window = ten_seconds();
    link_total link = hardware();
    link.rx_length = link.rx_errors = 300;
    window.fold(bytes_of(link));
    CHECK(ids(found(window)) == "mtu-mismatch ");
}

TEST_CASE("frames of a VLAN for a connection that waits are vlan-mismatch", "[link_detect_test]") {
    Window window = ten_seconds();
    window.fold(bytes_of(hardware()));
    add_drops(window, kOtherhost, kIpReceive, 30, 60, 1);
    SECTION("nobody waits") {
        CHECK(found(window).empty());
    }
    SECTION("somebody here sends again") {
        add_retransmits(window, 12);
        const auto findings = found(window);
        CHECK(ids(findings) == "vlan-mismatch ");
        CHECK(findings[0].where.device == "eth0");
        CHECK_FALSE(findings[0].culprit);
    }
    SECTION("somebody elsewhere does") {
        for (int i = 0; i < 3; i++) {
            auto sample = make<drop_event>(4 * kSecondNs);
            sample.flow = tcp_flow("10.0.0.7", 40001, "10.0.0.2", 80);
            sample.reason = kOtherhost;
            sample.location = kIpReceive;
            sample.tagged = 1;
            sample.tcp_flags = 2;
            window.fold(bytes_of(sample));
        }
        CHECK(ids(found(window)) == "vlan-mismatch ");
    }
}

TEST_CASE("another host's frames without a VLAN are normal life", "[link_detect_test]") {
    Window window = ten_seconds();
    window.fold(bytes_of(hardware()));
    add_drops(window, kOtherhost, kIpReceive, 30, 60);
    add_retransmits(window, 2);
    CHECK(found(window).empty());
}

TEST_CASE("what a device counts is explained by what was seen of it, and the rest is told",
          "[link_detect_test]") {
    Window window = ten_seconds();
    link_total link = hardware();
    link.rx_errors = 7;
    link.tx_dropped = 25;
    window.fold(bytes_of(link));
    auto nic = make<nic_total>();
    nic.netns = kNetns;
    nic.ifindex = 2;
    nic.refused = 25;
    window.fold(bytes_of(nic));
    const auto rows = reconcile({window, std::span(&window, 1)});
    REQUIRE(rows.size() == 2);
    CHECK(rows[0].counter == "eth0 rx_errors");
    CHECK(rows[0].unexplained() == 7);
    CHECK(rows[0].note.find("ethtool") != std::string::npos);
    CHECK(rows[1].counter == "eth0 tx_dropped");
    CHECK(rows[1].unexplained() == 0);
}
