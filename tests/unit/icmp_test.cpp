// SPDX-License-Identifier: MIT
// What cannot be reached, what goes round, what is too big and what does not complete: each told
// from what looks like it. No kernel, no clock.
#include <algorithm>
#include <functional>

#include "abi/icmp.h"
#include "detect/finding.h"
#include "support/event_builder.h"
#include "support/fake_names.h"
#include "support/readable.h"

namespace culprit {

namespace {

using namespace test;

constexpr std::uint32_t kRouter = kNetns + 1;
constexpr std::uint32_t kNetfilterDrop = 8, kTooBig = 60, kHops = 61, kReassembly = 62,
                        kNeighFailed = 63;
constexpr std::uint64_t kIpForward = 0xffffffff81a00000, kIpExpire = 0xffffffff81b00000;

Window ten_seconds() {
    Window window;
    window.from_ns = kSecondNs;
    window.to_ns = 11 * kSecondNs;
    window.names = fake_names();
    window.names.drop_reasons[kTooBig] = "PKT_TOO_BIG";
    window.names.drop_reasons[kHops] = "IP_INHDR";
    window.names.drop_reasons[kReassembly] = "FRAG_REASM_TIMEOUT";
    window.names.drop_reasons[kNeighFailed] = "NEIGH_FAILED";
    window.names.symbols[kIpForward] = "ip_forward+0x10";
    window.names.symbols[kIpExpire] = "ip_expire+0x10";
    return window;
}

std::vector<Finding> loud(const Window& window) {
    auto all = test::readable_findings({window, std::span(&window, 1)});
    std::erase_if(all, [](const Finding& f) { return f.severity == Severity::kInfo; });
    return all;
}

std::vector<std::string> ids(const std::vector<Finding>& findings) {
    std::vector<std::string> all;
    std::ranges::transform(findings, std::back_inserter(all), &Finding::id);
    return all;
}

using Ids = std::vector<std::string>;

void grow(Window& window, std::size_t index, std::uint64_t value, std::uint32_t netns = kNetns) {
    window.counters[netns].growth[index] = value;
}

/// A connection that sends its segments again, one timeout after the other.
struct Repeats {
    std::uint16_t port = 40000;
    std::uint64_t bytes = 1448, mss = 1448;
    std::uint64_t acked_bytes = 1, acked_segs = 1; // the SYN
    std::uint64_t sacked_segs = 0;
    int timeouts = 5;
    bool progress = false; // something arrives between them
};

void add_repeats(Window& window, const Repeats& r) {
    for (int i = 0; i < r.timeouts; i++) {
        auto again = make<retransmit_event>((2 + i) * kSecondNs);
        again.flow = tcp_flow("10.0.0.1", r.port, "10.0.0.2", 80);
        again.owner = process("sender", 42);
        again.type = ABI_RETRANSMIT_RTO;
        again.tcp_state = 1;
        again.segs = 1;
        again.bytes = r.bytes;
        again.mss = static_cast<__u32>(r.mss);
        again.attempts = r.progress ? 1 : i + 1;
        again.acked_bytes = r.acked_bytes;
        again.acked_segs = r.acked_segs;
        again.sacked_segs = r.sacked_segs;
        again.life_segs_out = 100;
        again.life_retransmits = i + 1;
        window.fold(bytes_of(again));
    }
    grow(window, counter("Tcp.OutSegs"), 200);
}

void add_connects(Window& window, std::uint32_t result, std::uint32_t error, int count) {
    for (int i = 0; i < count; i++) {
        auto attempt = make<connect_event>(9 * kSecondNs);
        attempt.flow = tcp_flow("10.0.0.1", static_cast<std::uint16_t>(30000 + i), "10.0.0.2", 80);
        attempt.owner = process("client", 7);
        attempt.result = result;
        attempt.error = error;
        window.fold(bytes_of(attempt));
    }
}

/// Dropped in the router's namespace.
void add_drops(Window& window, std::uint32_t reason, std::uint64_t location, int count,
               const std::function<void(drop_event&)>& change = {}) {
    auto total = make<drop_total>();
    total.reason = reason;
    total.location = location;
    total.netns = kRouter;
    total.ifindex = 2;
    total.protocol = IPPROTO_TCP;
    total.packets = static_cast<__u64>(count);
    window.fold(bytes_of(total));
    for (int i = 0; i < count; i++) {
        auto sample = make<drop_event>((2 + i) * kSecondNs);
        sample.flow = tcp_flow("10.0.0.1", 40000, "10.0.0.2", 80, kRouter);
        sample.reason = reason;
        sample.location = location;
        if (change)
            change(sample);
        window.fold(bytes_of(sample));
    }
}

icmp_event sent(std::uint8_t type, std::uint8_t code, std::uint32_t netns, std::uint8_t path) {
    auto icmp = make<icmp_event>();
    icmp.flow = tcp_flow("10.0.0.1", 40000, "10.0.0.2", 80, netns);
    icmp.direction = ABI_SENT;
    icmp.type = type;
    icmp.code = code;
    icmp.path = path;
    icmp.out_netns = netns;
    icmp.out_ifindex = 3;
    icmp.mtu = 1300;
    return icmp;
}

} // namespace

TEST_CASE("full-size segments that never arrive while small ones do are a hole of the path",
          "[icmp_test]") {
    Window window = ten_seconds();
    add_repeats(window, {.acked_bytes = 300, .acked_segs = 3});
    CHECK(loud(window).empty()); // what arrived before says nothing of the path now
    add_repeats(window, {.port = 40009, .acked_bytes = 300, .acked_segs = 3, .sacked_segs = 1});
    const auto findings = loud(window);
    REQUIRE(ids(findings) == Ids{"mtu-blackhole"});
    CHECK(findings[0].where.remote == "10.0.0.2");
    CHECK_FALSE(findings[0].culprit);
    REQUIRE(findings[0].affected.size() == 1);
    CHECK(findings[0].affected[0].owner.tgid == 42);
}

TEST_CASE("two connections whose first flights stand still are a hole, one may be a dead peer",
          "[icmp_test]") {
    Window window = ten_seconds();
    add_repeats(window, {.port = 40001});
    CHECK(loud(window).empty());
    add_repeats(window, {.port = 40002});
    CHECK(ids(loud(window)) == Ids{"mtu-blackhole"});
}

TEST_CASE("handshakes that pass meanwhile show that the path is alive", "[icmp_test]") {
    Window window = ten_seconds();
    add_repeats(window, {.acked_bytes = 1448 * 1000, .acked_segs = 1001});
    CHECK(loud(window).empty()); // a transfer whose peer died
    add_connects(window, ABI_RESULT_OK, 0, 3);
    CHECK(loud(window).empty()); // of one flow alone it is not known what became of its peer
    add_repeats(window, {.port = 40001, .acked_bytes = 1448 * 1000, .acked_segs = 1001});
    CHECK(ids(loud(window)) == Ids{"mtu-blackhole"});
}

TEST_CASE("small segments that do not arrive, and large ones that do in the end, are no hole",
          "[icmp_test]") {
    Window window = ten_seconds();
    add_repeats(window, {.bytes = 400, .acked_bytes = 300, .acked_segs = 3, .sacked_segs = 1});
    CHECK(loud(window).empty());
    Window lossy = ten_seconds();
    add_repeats(lossy, {.acked_bytes = 300, .acked_segs = 3, .sacked_segs = 1, .progress = true});
    CHECK(loud(lossy).empty());
}

TEST_CASE("repeats of the handshake do not count as timeouts of what follows", "[icmp_test]") {
    Window window = ten_seconds();
    auto syn = make<retransmit_event>();
    syn.flow = tcp_flow("10.0.0.1", 40000, "10.0.0.2", 80);
    syn.owner = process("sender", 42);
    syn.type = ABI_RETRANSMIT_SYN;
    syn.segs = 1;
    syn.mss = 1448;
    syn.attempts = 3;
    window.fold(bytes_of(syn));
    add_repeats(window, {.sacked_segs = 1, .timeouts = 1});
    CHECK(loud(window).empty());
}

TEST_CASE("what a hole explains is no packet loss", "[icmp_test]") {
    Window window = ten_seconds();
    for (std::uint16_t port = 40000; port < 40010; port++)
        add_repeats(window, {.port = port, .acked_bytes = 300, .acked_segs = 3, .sacked_segs = 1});
    CHECK(ids(loud(window)) == Ids{"mtu-blackhole"});
}

TEST_CASE("a router that drops its news of a small MTU is named with device and place",
          "[icmp_test]") {
    Window window = ten_seconds();
    add_repeats(window, {});
    add_drops(window, kTooBig, kIpForward, 6);
    auto icmp = sent(3, 4, kRouter, ABI_PATH_FORWARD);
    window.fold(bytes_of(icmp));
    add_drops(window, kNetfilterDrop, kNfHook, 6, [](drop_event& drop) {
        drop.flow = tcp_flow("10.0.0.254", 0, "10.0.0.1", 0, kRouter);
        drop.flow.protocol = IPPROTO_ICMP;
        drop.icmp_type = 3;
        drop.icmp_code = 4;
    });
    const auto findings = loud(window);
    REQUIRE(ids(findings) == Ids{"mtu-blackhole"});
    const Finding& finding = findings[0];
    CHECK(finding.severity == Severity::kCritical);
    CHECK(finding.where.netns == kRouter);
    CHECK(finding.where.reason == "PKT_TOO_BIG");
    CHECK(finding.title.find("1300 bytes") != std::string::npos);
    CHECK(std::ranges::any_of(finding.evidence, [](const Evidence& e) {
        return e.text.find("NETFILTER_DROP at nf_hook_slow") != std::string::npos;
    }));
    REQUIRE(finding.affected.size() == 1);
    CHECK(finding.affected[0].owner.tgid == 42);
}

TEST_CASE("one flight too big is path MTU discovery at work, a flow that goes on is not",
          "[icmp_test]") {
    Window healthy = ten_seconds();
    for (std::uint16_t port = 40000; port < 40020; port++)
        add_drops(healthy, kTooBig, kIpForward, 10, [=](drop_event& drop) {
            drop.flow.local_port = port;
            drop.head.when_ns = 2 * kSecondNs;
        });
    CHECK(loud(healthy).empty());
    Window endless = ten_seconds();
    add_drops(endless, kTooBig, kIpForward, 8);
    CHECK(ids(loud(endless)) == Ids{"mtu-blackhole"});
}

TEST_CASE("attempts that a router's word ends are an unreachable host", "[icmp_test]") {
    Window window = ten_seconds();
    add_connects(window, ABI_RESULT_ERROR, EHOSTUNREACH, 5);
    const auto findings = loud(window);
    REQUIRE(ids(findings) == Ids{"host-unreachable"});
    CHECK(findings[0].severity == Severity::kCritical);
    CHECK(findings[0].where.remote == "10.0.0.2:80");
    REQUIRE(findings[0].affected.size() == 1);
    CHECK(findings[0].affected[0].owner.tgid == 7);
}

TEST_CASE("one unreachable attempt among many is nothing", "[icmp_test]") {
    Window window = ten_seconds();
    add_connects(window, ABI_RESULT_ERROR, EHOSTUNREACH, 2);
    CHECK(loud(window).empty());
    add_connects(window, ABI_RESULT_OK, 0, 200);
    add_connects(window, ABI_RESULT_ERROR, ENETUNREACH, 4);
    CHECK(loud(window).empty());
}

TEST_CASE("attempts without an answer are of the same fault where a router said so once",
          "[icmp_test]") {
    Window window = ten_seconds();
    add_connects(window, ABI_RESULT_ERROR, EHOSTUNREACH, 1);
    add_connects(window, ABI_RESULT_ERROR, ETIMEDOUT, 4);
    for (std::uint16_t port = 40000; port < 40004; port++) {
        auto again = make<retransmit_event>();
        again.flow = tcp_flow("10.0.0.1", port, "10.0.0.2", 80);
        again.owner = process("client", 7);
        again.type = ABI_RETRANSMIT_SYN;
        again.segs = 2;
        window.fold(bytes_of(again));
    }
    CHECK(ids(loud(window)) == Ids{"host-unreachable"});
}

TEST_CASE("datagrams with few hops are answered as their sender wants", "[icmp_test]") {
    Window window = ten_seconds();
    grow(window, counter("IcmpMsg.InType11"), 30);
    for (int i = 0; i < 30; i++) {
        auto icmp = make<icmp_event>();
        icmp.flow = tcp_flow("10.0.0.1", 40000, "10.0.0.2", 33434);
        icmp.flow.protocol = IPPROTO_UDP;
        icmp.direction = ABI_RECEIVED;
        icmp.error = EHOSTUNREACH;
        window.fold(bytes_of(icmp));
    }
    CHECK(loud(window).empty());
}

TEST_CASE("a few datagrams that are told are nothing, many are a warning", "[icmp_test]") {
    Window window = ten_seconds();
    grow(window, counter("IcmpMsg.InType3"), 60);
    auto icmp = make<icmp_event>();
    icmp.flow = tcp_flow("10.0.0.1", 40000, "10.0.0.2", 53);
    icmp.flow.protocol = IPPROTO_UDP;
    icmp.owner = process("client", 7);
    icmp.direction = ABI_RECEIVED;
    icmp.error = EHOSTUNREACH;
    for (int i = 0; i < 60; i++) {
        window.fold(bytes_of(icmp));
        CHECK((i >= 4 || loud(window).empty()));
    }
    CHECK(loud(window).at(0).severity == Severity::kWarning);
}

TEST_CASE("a connection that is told while it repeats counts too", "[icmp_test]") {
    Window window = ten_seconds();
    for (std::uint16_t port = 40000; port < 40003; port++) {
        auto again = make<retransmit_event>();
        again.flow = tcp_flow("10.0.0.1", port, "10.0.0.2", 80);
        again.owner = process("client", 7);
        again.type = ABI_RETRANSMIT_RTO;
        again.segs = 1;
        again.soft_error = EHOSTUNREACH;
        window.fold(bytes_of(again));
    }
    CHECK(loud(window).empty()); // the namespace has lost its route, perhaps with all it had
    window.counters[kNetns].growth[counter("IcmpMsg.InType3")] = 3;
    CHECK(ids(loud(window)) == Ids{"host-unreachable"});
}

TEST_CASE("what this host tells itself of a neighbour is no router's word", "[icmp_test]") {
    Window window = ten_seconds();
    add_connects(window, ABI_RESULT_ERROR, EHOSTUNREACH, 5);
    auto icmp = sent(3, 1, kNetns, ABI_PATH_OUTPUT);
    window.fold(bytes_of(icmp));
    CHECK(loud(window).empty());
}

TEST_CASE("a filter of this host that rejects is told by its drops", "[icmp_test]") {
    Window window = ten_seconds();
    add_connects(window, ABI_RESULT_ERROR, EHOSTUNREACH, 8);
    add_drops(window, kNetfilterDrop, kNfHook, 8, [](drop_event& drop) { drop.tcp_flags = 2; });
    const auto findings = ids(loud(window));
    CHECK(std::ranges::find(findings, "host-unreachable") == findings.end());
}

TEST_CASE("errors that are mostly about hops are a loop", "[icmp_test]") {
    Window window = ten_seconds();
    add_connects(window, ABI_RESULT_ERROR, EHOSTUNREACH, 5);
    grow(window, counter("IcmpMsg.InType11"), 5);
    CHECK(ids(loud(window)) == Ids{"ttl-exceeded"});
}

TEST_CASE("a router out of hops whose packets somebody needs is in a loop, probes are not",
          "[icmp_test]") {
    Window probes = ten_seconds();
    add_drops(probes, kHops, kIpForward, 60, [](drop_event& drop) {
        drop.flow.protocol = IPPROTO_UDP;
        drop.flow.remote_port = 33434;
    });
    CHECK(loud(probes).empty());
    Window loop = ten_seconds();
    add_connects(loop, ABI_RESULT_ERROR, EHOSTUNREACH, 6);
    add_drops(loop, kHops, kIpForward, 6, [](drop_event& drop) { drop.tcp_flags = 2; });
    const auto findings = loud(loop);
    REQUIRE(ids(findings) == Ids{"ttl-exceeded"});
    CHECK(findings[0].where.netns == kRouter);
    CHECK(findings[0].where.remote == "10.0.0.2");
}

TEST_CASE("datagrams that go back where they came from are a loop without a sufferer in sight",
          "[icmp_test]") {
    Window window = ten_seconds();
    const auto udp = [](abi_flow& flow) { flow.protocol = IPPROTO_UDP; };
    add_drops(window, kHops, kIpForward, 12, [&](drop_event& drop) { udp(drop.flow); });
    for (int i = 0; i < 12; i++) {
        auto icmp = sent(11, 0, kRouter, ABI_PATH_FORWARD);
        icmp.out_ifindex = icmp.flow.ifindex;
        udp(icmp.flow);
        window.fold(bytes_of(icmp));
    }
    CHECK(ids(loud(window)) == Ids{"ttl-exceeded"});
}

TEST_CASE("fragments that do not complete are a finding, one now and then is not", "[icmp_test]") {
    Window window = ten_seconds();
    grow(window, counter("Ip.ReasmReqds"), 4000, kRouter);
    grow(window, counter("Ip.ReasmOKs"), 1980, kRouter);
    grow(window, counter("Ip.ReasmFails"), 20, kRouter);
    CHECK(loud(window).empty());
    grow(window, counter("Ip.ReasmFails"), 400, kRouter);
    add_drops(window, kReassembly, kIpExpire, 5,
              [](drop_event& drop) { drop.flow.protocol = IPPROTO_UDP; });
    const auto findings = loud(window);
    REQUIRE(ids(findings) == Ids{"reassembly-failure"});
    CHECK(findings[0].severity == Severity::kWarning);
    CHECK(findings[0].where.remote == "10.0.0.1");
    CHECK(findings[0].where.netns == kRouter);
}

TEST_CASE("fragments of which none completes are told before their time is over", "[icmp_test]") {
    Window window = ten_seconds();
    grow(window, counter("Ip6.ReasmReqds"), 50);
    const auto findings = loud(window);
    REQUIRE(ids(findings) == Ids{"reassembly-failure"});
    CHECK(findings[0].severity == Severity::kCritical);
}

} // namespace culprit
