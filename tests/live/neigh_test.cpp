// SPDX-License-Identifier: MIT
// Neighbours that do not answer, go away, or answer twice: are they named, with who waits for them?
// A full table is caused by the unit test only: its limits are the whole host's.
#include "support/catch.h"
#include "support/finding.h"
#include "support/switched_ns.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr unsigned kNobody = 77;
constexpr std::uint16_t kPort = 8080;

/// Connects again and again for as long as it lives.
Child seeker(const Side& side, const std::string& host, std::uint16_t port) {
    return Child(side.path(), "ct-seeker", [=](const Tell&) -> int {
        for (;;) {
            try_connect(host, port, 5);
            pause_ms(50);
        }
    });
}

auto of_address(const std::string& host) {
    return [=](const Json& finding) { return finding["where"]["remote"] == host; };
}

bool says(const Json& verdict, const std::string& id) {
    return find_finding(verdict, id, [](const Json&) { return true; }).has_value();
}

bool is_quiet(const Json& verdict) {
    for (const Json& finding : verdict["findings"])
        if (finding["severity"] != "info")
            return false;
    return true;
}

} // namespace

TEST_CASE("an address that nobody has is named with the process that wants it", "[neigh_test]") {
    const SwitchedNs ns;
    const std::string ghost = ns.address(kNobody);
    Culprit culprit = diagnose({"--for", "5s", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    const Child child = seeker(ns.a, ghost, kPort);
    const Json verdict = verdict_of(culprit);
    INFO(verdict.dump(1));
    const auto finding = find_finding(verdict, "neigh-failure", of_address(ghost));
    REQUIRE(finding);
    CHECK(finding->at("severity") == "critical");
    CHECK(finding->at("layer") == "data link");
    CHECK(finding->at("where")["device"] == "eth0");
    CHECK(blames(child.pid())(*finding));
    CHECK(hurts(child.pid())(*finding));
    CHECK(evidence_of(*finding).find("does not know it from before") != std::string::npos);
    for (const char* symptom : {"local-drop", "connect-timeout", "packet-loss", "host-unreachable"})
        CHECK(!says(verdict, symptom));
}

TEST_CASE("a host that goes away under a connection is named, with whose connection it is",
          "[neigh_test]") {
    const SwitchedNs ns;
    const Server server(ns.b, "ct-sink", Serve::kSink, ns.b.v4);
    const Child child(ns.a.path(), "ct-writer", [&](const Tell& tell) -> int {
        const UniqueFd fd = connect_to(ns.b.v4, server.port());
        tell(0);
        for (;; pause_ms(20))
            if (::send(fd.get(), "x", 1, MSG_NOSIGNAL) != 1)
                pause_ms(1000);
    });
    child.number();
    Culprit culprit = diagnose({"--for", "10s", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    ns.b.shell("ip link set eth0 down");
    const Json verdict = verdict_of(culprit);
    INFO(verdict.dump(1));
    const auto finding = find_finding(verdict, "neigh-failure", of_address(ns.b.v4));
    REQUIRE(finding);
    CHECK(finding->at("severity") == "critical");
    CHECK(hurts(child.pid())(*finding));
    CHECK(finding->at("culprit").is_null());
    CHECK(evidence_of(*finding).find("answered before, as 02:00:00:00:00:02") != std::string::npos);
    CHECK(!says(verdict, "packet-loss"));
    CHECK(!says(verdict, "local-drop"));
}

TEST_CASE("a gateway that does not answer is called one", "[neigh_test]") {
    const SwitchedNs ns;
    const std::string gateway = ns.address(254);
    ns.a.shell("ip route add default via " + gateway);
    Culprit culprit = diagnose({"--for", "5s", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    const Child child = seeker(ns.a, "203.0.113.5", kPort); // for documentation (RFC 5737)
    const Json verdict = verdict_of(culprit);
    INFO(verdict.dump(1));
    const auto finding = find_finding(verdict, "neigh-failure", of_address(gateway));
    REQUIRE(finding);
    CHECK(finding->at("severity") == "critical");
    CHECK(finding->at("title").get<std::string>().starts_with("the gateway " + gateway));
    CHECK(hurts(child.pid())(*finding));
    CHECK(!says(verdict, "connect-timeout"));
    CHECK(!says(verdict, "local-drop"));
}

TEST_CASE("two hosts with one address are named by their link-layer addresses", "[neigh_test]") {
    const SwitchedNs ns;
    ns.c.shell(fmt::format("ip addr flush dev eth0 && ip addr add {}/24 dev eth0", ns.b.v4));
    const Server server(ns.b, "ct-echo", Serve::kEcho, ns.b.v4); // nobody listens at c
    Culprit culprit = diagnose({"--for", "6s", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    const Child child = seeker(ns.a, ns.b.v4, server.port());
    for (int i = 0; i < 5; i++) {
        announce(ns.b, 2, ns.b.v4);
        pause_ms(400);
        announce(ns.c, 3, ns.b.v4);
        pause_ms(400);
    }
    const Json verdict = verdict_of(culprit);
    INFO(verdict.dump(1));
    const auto finding = find_finding(verdict, "duplicate-ip", of_address(ns.b.v4));
    REQUIRE(finding);
    const std::string title = finding->at("title");
    CHECK(finding->at("severity") == "critical");
    CHECK(title.find("02:00:00:00:00:02") != std::string::npos);
    CHECK(title.find("02:00:00:00:00:03") != std::string::npos);
    CHECK(finding->at("where")["device"] == "eth0");
    CHECK(hurts(child.pid())(*finding));
    CHECK(!says(verdict, "conn-refused"));
    CHECK(!says(verdict, "connect-timeout"));
}

TEST_CASE("a second answer is an event, though the first one stays", "[neigh_test]") {
    const SwitchedNs ns;
    ns.c.shell(fmt::format("ip addr flush dev eth0 && ip addr add {}/24 dev eth0", ns.b.v4));
    Culprit culprit = watch({"neigh", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    ns.a.in([&] { try_connect(ns.b.v4, kPort, 1); });
    const Json event = culprit.await(is("neigh")).at(0);
    INFO(event.dump());
    CHECK(event["type"] == "refused");
    CHECK(event["address"] == ns.b.v4);
    CHECK(event["device"] == "eth0");
    const std::string one = "02:00:00:00:00:02", other = "02:00:00:00:00:03";
    CHECK(((event["old_mac"] == one && event["new_mac"] == other) ||
           (event["old_mac"] == other && event["new_mac"] == one)));
}

TEST_CASE("a failed address is an event with the process that waited", "[neigh_test]") {
    const SwitchedNs ns;
    Culprit culprit = watch({"neigh", "--netns", ns.a.netns(), "--addr", ns.address(kNobody)});
    culprit.wait_until_watching();
    const Child child = seeker(ns.a, ns.address(kNobody), kPort);
    const Json event = culprit.await(is("neigh")).at(0);
    INFO(event.dump());
    CHECK(event["type"] == "failed");
    CHECK(event["address"] == ns.address(kNobody));
    CHECK(event["old_state"] == "incomplete");
    CHECK(event["new_state"] == "failed");
    CHECK(event["pid"] == child.pid());
    CHECK(event["packets"] >= 1);
    CHECK(event["routed"] == 0);
    CHECK(event["old_mac"].is_null());
}

TEST_CASE("an IPv6 address that nobody has is named too", "[neigh_test]") {
    const SwitchedNs ns;
    ns.a.shell("ip addr add fd00:7::1/64 dev eth0 nodad && "
               "echo 200 > /proc/sys/net/ipv6/neigh/eth0/retrans_time_ms");
    Culprit culprit = diagnose({"--for", "5s", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    const Child child = seeker(ns.a, "fd00:7::77", kPort);
    const Json verdict = verdict_of(culprit);
    INFO(verdict.dump(1));
    const auto finding = find_finding(verdict, "neigh-failure", of_address("fd00:7::77"));
    REQUIRE(finding);
    CHECK(blames(child.pid())(*finding));
    CHECK(!says(verdict, "local-drop"));
}

TEST_CASE("ordinary resolution, one failover and one probe of an unused address are healthy",
          "[neigh_test]") {
    const SwitchedNs ns;
    const Server server(ns.b, "ct-echo", Serve::kEcho, ns.b.v4);
    ns.a.in([&] { short_connections(ns.b.v4, server.port(), 1); }); // b is known
    Culprit culprit = diagnose({"--for", "6s", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    ns.a.in([&] { try_connect(ns.address(kNobody), kPort, 3); });
    ns.a.in([&] { short_connections(ns.b.v4, server.port(), 20); });
    ns.b.shell("ip addr flush dev eth0");
    ns.c.shell(fmt::format("ip addr add {}/24 dev eth0", ns.b.v4));
    announce(ns.c, 3, ns.b.v4);
    const Server after(ns.c, "ct-echo", Serve::kEcho, ns.b.v4);
    ns.a.in([&] { short_connections(ns.b.v4, after.port(), 20); });
    const Json verdict = verdict_of(culprit);
    INFO(verdict.dump(1));
    CHECK(is_quiet(verdict));
    CHECK(verdict["verdict"] == "healthy");
    const auto probe = find_finding(verdict, "neigh-failure", of_address(ns.address(kNobody)));
    CHECK(probe);
    CHECK(!says(verdict, "duplicate-ip"));
}
