// SPDX-License-Identifier: MIT
// Are destinations without a way told with their process, and probes and strays left alone?
#include <algorithm>

#include "detect/finding.h"
#include "support/catch.h"
#include "support/event_builder.h"
#include "support/fake_names.h"
#include "support/readable.h"

namespace culprit {

namespace {

using namespace test;

constexpr std::uint64_t kIpError = 0xffffffff81b00010, kFinish = 0xffffffff81b00020;
constexpr std::uint32_t kInAddrErrors = 88, kRpFilter = 16, kLocalSource = 89, kUnsaid = 2;

Window ten_seconds() {
    Window window;
    window.from_ns = kSecondNs;
    window.to_ns = 11 * kSecondNs;
    window.names = fake_names();
    window.names.symbols[kIpError] = "ip_error+0x10";
    window.names.symbols[kFinish] = "ip_rcv_finish_core+0x20";
    window.names.drop_reasons[kInAddrErrors] = "IP_INADDRERRORS";
    window.names.drop_reasons[kRpFilter] = "IP_RPFILTER";
    window.names.drop_reasons[kLocalSource] = "IP_LOCAL_SOURCE";
    return window;
}

route_total failing(const std::string& to, std::uint16_t port, std::uint64_t failed,
                    std::uint32_t pid = 7) {
    auto total = make<route_total>();
    const bool ipv6 = to.find(':') != std::string::npos;
    total.flow = tcp_flow(ipv6 ? "::" : "0.0.0.0", 0, to, port, kNetns, 0);
    total.owner = process("client", pid);
    total.failed = failed;
    total.error = ENETUNREACH;
    total.table = 254;
    total.via = ABI_ROUTE_CONNECT;
    return total;
}

void add_connects(Window& window, const std::string& to, std::uint16_t port, std::uint32_t result,
                  int count, std::uint32_t pid = 7) {
    for (int i = 0; i < count; i++) {
        auto attempt = make<connect_event>();
        attempt.flow = tcp_flow(to.find(':') == std::string::npos ? "10.0.0.1" : "2001:db8::1",
                                static_cast<std::uint16_t>(30000 + i), to, port);
        attempt.owner = process("client", pid);
        attempt.result = result;
        window.fold(bytes_of(attempt));
    }
}

/// Packets dropped there, each SYN of a flow of its own the given number of times.
void add_drops(Window& window, std::uint32_t reason, std::uint64_t location, std::uint64_t packets,
               int flows, int repeats, std::uint8_t protocol = IPPROTO_TCP) {
    auto total = make<drop_total>();
    total.reason = reason;
    total.location = location;
    total.netns = kNetns;
    total.ifindex = 2;
    total.protocol = protocol;
    total.ethertype = 0x0800;
    total.packets = packets;
    window.fold(bytes_of(total));
    for (int i = 0; i < flows * repeats; i++) {
        auto sample = make<drop_event>();
        sample.flow = tcp_flow("192.0.2.1", static_cast<std::uint16_t>(40000 + i % flows),
                               "203.0.113.7", 443);
        sample.flow.protocol = protocol;
        sample.reason = reason;
        sample.location = location;
        sample.tcp_flags = protocol == IPPROTO_TCP ? 2 : 0;
        window.fold(bytes_of(sample));
    }
}

void add_answer(Window& window, std::uint32_t error) {
    auto total = failing("203.0.113.7", 443, 20);
    total.flow.netns = 0;
    total.flow.ifindex = 2;
    total.owner = {};
    total.via = ABI_ROUTE_RECEIVED;
    total.error = error;
    window.fold(bytes_of(total));
}

std::vector<Finding> loud(const Window& window) {
    auto all = test::readable_findings({window, std::span(&window, 1)});
    std::erase_if(all, [](const Finding& f) { return f.severity == Severity::kInfo; });
    return all;
}

std::string texts(const Finding& finding) {
    std::string all;
    for (const Evidence& evidence : finding.evidence)
        all += evidence.text + "\n";
    return all;
}

} // namespace

TEST_CASE("connects without a route name the process and the destination", "[routes_test]") {
    Window window = ten_seconds();
    window.fold(bytes_of(failing("203.0.113.7", 443, 40)));
    const auto findings = loud(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "no-route");
    CHECK(findings[0].severity == Severity::kCritical);
    REQUIRE(findings[0].culprit);
    CHECK(findings[0].culprit->owner.tgid == 7);
    CHECK(findings[0].where.remote == "203.0.113.7:443");
    CHECK(findings[0].count == 40);
}

TEST_CASE("a few failures, or few among many that work, are nothing", "[routes_test]") {
    Window few = ten_seconds();
    few.fold(bytes_of(failing("203.0.113.7", 443, 4)));
    CHECK(loud(few).empty());
    Window flapped = ten_seconds();
    flapped.fold(bytes_of(failing("203.0.113.7", 443, 40)));
    add_connects(flapped, "203.0.113.7", 443, ABI_RESULT_OK, 60);
    CHECK(loud(flapped).empty());
}

TEST_CASE("a process that goes on by the other family is healthy", "[routes_test]") {
    Window window = ten_seconds();
    window.fold(bytes_of(failing("2001:db8::7", 443, 40)));
    add_connects(window, "192.0.2.7", 443, ABI_RESULT_OK, 40);
    CHECK(loud(window).empty());
    SECTION("but another process that has no other way is not") {
        window.fold(bytes_of(failing("2001:db8::7", 443, 40, 8)));
        const auto findings = loud(window);
        REQUIRE(findings.size() == 1);
        CHECK(findings[0].culprit->owner.tgid == 8);
        CHECK(findings[0].count == 40);
    }
    SECTION("nor is another service that has none") {
        window.fold(bytes_of(failing("2001:db8::7", 25, 40)));
        CHECK(loud(window).size() == 1);
    }
}

TEST_CASE("datagram sockets connected for their address only are healthy", "[routes_test]") {
    Window window = ten_seconds();
    auto probe = failing("2001:db8::7", 0, 40);
    probe.flow.protocol = IPPROTO_UDP;
    window.fold(bytes_of(probe));
    CHECK(loud(window).empty());
    SECTION("a port makes no difference to a process that gets where it wants") {
        probe.flow.remote_port = 443;
        window.fold(bytes_of(probe));
        add_connects(window, "192.0.2.7", 443, ABI_RESULT_OK, 1);
        CHECK(loud(window).empty());
    }
    SECTION("nor to one that has just asked what the addresses are") {
        Window other = ten_seconds();
        probe = failing("2001:db8::7", 443, 40, 9);
        probe.flow.protocol = IPPROTO_UDP;
        other.fold(bytes_of(probe));
        CHECK(loud(other).size() == 1);
        auto asked = make<dns_total>();
        asked.flow = tcp_flow("0.0.0.0", 0, "192.0.2.53", 53, kNetns, 0);
        asked.flow.protocol = IPPROTO_UDP;
        asked.owner = process("client", 9);
        asked.counts.questions = asked.counts.answers = 2;
        other.fold(bytes_of(asked));
        CHECK(loud(other).empty());
    }
    SECTION("a resolver that reaches nothing is a fault") {
        auto query = failing("203.0.113.53", 53, 40);
        query.flow.protocol = IPPROTO_UDP;
        window.fold(bytes_of(query));
        REQUIRE(loud(window).size() == 1);
        CHECK(loud(window)[0].id == "no-route");
    }
    SECTION("IPv6 datagrams matter not where IPv4 ones go out") {
        auto query = failing("2001:db8::53", 53, 40);
        query.flow.protocol = IPPROTO_UDP;
        query.via = ABI_ROUTE_SEND;
        window.fold(bytes_of(query));
        window.counters[kNetns].growth[counter("Udp.OutDatagrams")] = 40;
        CHECK(loud(window).empty());
        window.counters[kNetns].growth[counter("Udp.OutDatagrams")] = 3;
        CHECK(loud(window).size() == 1);
    }
}

TEST_CASE("the route that refuses decides what is said", "[routes_test]") {
    Window window = ten_seconds();
    auto total = failing("203.0.113.7", 443, 40);
    Refusal refusal{
        .family = AF_INET, .length = 24, .type = 6, .table = 254, .prefix = {203, 0, 113}};
    SECTION("blackhole") {
        total.error = EINVAL;
        window.names.routing[kNetns].refusals = {refusal};
        window.fold(bytes_of(total));
        const auto findings = loud(window);
        REQUIRE(findings.size() == 1);
        CHECK(findings[0].id == "blackhole-route");
        CHECK(texts(findings[0]).find("blackhole route 203.0.113.0/24 in table 254") !=
              std::string::npos);
    }
    SECTION("a prohibit rule, whose lookup only found nothing") {
        refusal = {.family = AF_INET, .length = 0, .type = 8, .rule = true, .table = 100};
        window.names.routing[kNetns].refusals = {refusal};
        window.fold(bytes_of(total));
        const auto findings = loud(window);
        REQUIRE(findings.size() == 1);
        CHECK(findings[0].id == "no-route");
        CHECK(texts(findings[0]).find("prohibit rule 100 for 0.0.0.0/0") != std::string::npos);
    }
    SECTION("a route for another destination says nothing") {
        refusal.prefix = {198, 51, 100};
        window.names.routing[kNetns].refusals = {refusal};
        total.error = EINVAL;
        window.fold(bytes_of(total));
        REQUIRE(loud(window).size() == 1);
        CHECK(texts(loud(window)[0]).find("198.51") == std::string::npos);
    }
}

TEST_CASE("forwarded packets that a route eats are told by the lookup's answer", "[routes_test]") {
    for (const auto& [error, id] :
         {std::pair<std::uint32_t, const char*>{EINVAL, "blackhole-route"},
          {EHOSTUNREACH, "no-route"},
          {EACCES, "no-route"}}) {
        Window window = ten_seconds();
        add_answer(window, error);
        add_drops(window, kUnsaid, kIpError, 20, 5, 4);
        const auto findings = loud(window);
        REQUIRE(findings.size() == 1);
        CHECK(findings[0].id == id);
        CHECK_FALSE(findings[0].culprit);
        CHECK(findings[0].where.remote == "203.0.113.7:443");
    }
}

TEST_CASE("a blackhole that keeps a flood away is no fault", "[routes_test]") {
    Window window = ten_seconds();
    add_answer(window, EINVAL);
    add_drops(window, kUnsaid, kIpError, 100000, 200, 1);
    CHECK(loud(window).empty());
}

TEST_CASE("forwarding that is off is a fault only where somebody waits", "[routes_test]") {
    Window window = ten_seconds();
    window.names.routing[kNetns].devices[2] = {0, 0};
    SECTION("attempts that repeat") {
        add_drops(window, kInAddrErrors, kIpError, 20, 5, 4);
        const auto findings = loud(window);
        REQUIRE(findings.size() == 1);
        CHECK(findings[0].id == "forwarding-disabled");
        CHECK(findings[0].where.device == "eth0");
        CHECK(texts(findings[0]).find("net.ipv4.conf.eth0.forwarding = 0") != std::string::npos);
    }
    SECTION("strays of a chatty network") {
        add_drops(window, kInAddrErrors, kIpError, 5000, 5, 40, IPPROTO_UDP);
        CHECK(loud(window).empty());
    }
}

TEST_CASE("filters against forged sources are a fault where they drop what is needed, or much",
          "[routes_test]") {
    const auto [reason, id] =
        GENERATE(std::pair(kRpFilter, "rp-filter-drop"), std::pair(kLocalSource, "martian-source"));
    Window window = ten_seconds();
    window.names.routing[kNetns].devices[2] = {1, 1};
    window.counters[kNetns].growth[counter("Ip.InReceives")] = 10000;
    SECTION("attempts that repeat") {
        add_drops(window, reason, kFinish, 20, 5, 4);
        REQUIRE(loud(window).size() == 1);
        CHECK(loud(window)[0].id == id);
        CHECK(loud(window)[0].where.remote == "192.0.2.1");
    }
    SECTION("a tenth of all that comes in") {
        add_drops(window, reason, kFinish, 1500, 5, 4, IPPROTO_UDP);
        REQUIRE(loud(window).size() == 1);
        CHECK(loud(window)[0].id == id);
    }
    SECTION("a few strays") {
        add_drops(window, reason, kFinish, 150, 50, 1, IPPROTO_UDP);
        CHECK(loud(window).empty());
    }
}

TEST_CASE("what routing counts is explained by lookups and drops", "[routes_test]") {
    Window window = ten_seconds();
    window.fold(bytes_of(failing("203.0.113.7", 443, 40)));
    window.counters[kNetns].growth[counter("Ip.OutNoRoutes")] = 40;
    add_drops(window, kRpFilter, kFinish, 20, 5, 4);
    window.counters[kNetns].growth[counter("TcpExt.IPReversePathFilter")] = 20;
    for (const Reconciled& row : reconcile({window, std::span(&window, 1)}))
        CHECK(row.unexplained() == 0);
}

TEST_CASE("who finds no route because a link is taken away suffers from the link",
          "[routes_test]") {
    Window window = ten_seconds();
    auto link = make<link_total>(2 * kSecondNs);
    link.netns = kNetns;
    link.ifindex = 2;
    link.up_ns = 2 * kSecondNs;
    link.rx_packets = link.tx_packets = 500;
    link.carrier_downs = link.carrier_ups = 3;
    window.fold(bytes_of(link));
    window.fold(bytes_of(failing("198.51.100.9", 443, 50)));
    const auto findings = loud(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "link-flap");
    CHECK(findings[0].severity == Severity::kCritical);
    REQUIRE(findings[0].affected.size() == 1);
    CHECK(findings[0].affected[0].owner.tgid == 7);
}

} // namespace culprit
