// SPDX-License-Identifier: MIT
// Is the process that closes first named as the one who fills TIME_WAIT, and who holds the ports as
// the one who exhausts them, while natural levels are no finding?
#include "support/catch.h"
#include "support/finding.h"
#include "support/listening.h"
#include "support/traffic.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr double kLongSeconds = 60; // a run that the test ends itself

void set_sysctl(const Side& side, const std::string& name, const std::string& value) {
    side.shell(fmt::format("echo '{}' > /proc/sys/net/ipv4/{}", value, name));
}

/// Connects, and waits for the other side to close first.
void let_close(const std::string& host, std::uint16_t port, int count) {
    for (int i = 0; i < count; i++) {
        const UniqueFd fd = connect_to(host, port);
        char byte = 0;
        while (::recv(fd.get(), &byte, 1, 0) > 0) {
        }
    }
}

/// Each source in turn has all ports of its own.
void close_first(const std::vector<std::string>& sources, const std::string& host,
                 std::uint16_t port, int count) {
    const Address to = address_of(host, port);
    const int on = 1;
    for (int i = 0; i < count; i++) {
        const Address from = address_of(sources[static_cast<std::size_t>(i) % sources.size()], 0);
        UniqueFd fd(::socket(to.bytes.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
        must(fd && ::setsockopt(fd.get(), SOL_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) == 0 &&
                 ::bind(fd.get(), from.get(), from.size) == 0 &&
                 ::connect(fd.get(), to.get(), to.size) == 0,
             "connect");
        close_gracefully(std::move(fd));
    }
}

/// Opens that many connections and keeps them.
Child hold(const Side& side, const std::string& comm, const std::string& host, std::uint16_t port,
           int count) {
    return Child(side.path(), comm, [=](const Tell& tell) {
        std::vector<UniqueFd> kept;
        for (int i = 0; i < count; i++)
            kept.push_back(connect_to(host, port));
        tell(0);
        for (;;)
            ::pause();
        return 0;
    });
}

/// What the run says of that namespace when it is ended; it has to say something.
std::optional<Json> finding_at_end(Culprit& culprit, const std::string& id, const Side& side) {
    CHECK(culprit.stop() == 3);
    return find_finding(Json::parse(culprit.out()), id, about(side.inum()));
}

} // namespace

TEST_CASE("the one client that leaves 50000 connections in TIME_WAIT is named among healthy ones",
          "[timewait_test]") {
    constexpr int kCount = 50'000;
    const WiredNs ns;
    const std::string second = "198.51.100.1"; // a search among ports in use takes too long
    ns.a.shell(fmt::format("ip addr add {}/32 dev lo", second));
    ns.b.shell(fmt::format("ip route add {} via {}", second, ns.a.v4));
    set_sysctl(ns.a, "ip_local_port_range", "1024 65535");
    const Server server(ns.b, "ct-echo", Serve::kEcho, ns.b.v4);
    Culprit culprit = diagnose({"--for", "60s"});
    culprit.wait_until_watching();
    const Child healthy(ns.a.path(), "ct-healthy", [&](const Tell&) {
        for (;; pause_ms(20))
            short_connections(ns.b.v4, server.port(), 1);
        return 0;
    });
    Child client(ns.a.path(), "ct-closes", [&](const Tell&) {
        close_first({ns.a.v4, second}, ns.b.v4, server.port(), kCount);
        return 0;
    });
    CHECK(client.wait(kLongSeconds) == 0);
    CHECK(culprit.stop() == 3);
    INFO(culprit.out().substr(0, 8000));
    const Json verdict = Json::parse(culprit.out());
    const auto finding = find_finding(verdict, "time-wait-growth", about(ns.a.inum()));
    REQUIRE(finding);
    CHECK(blames(client.pid())(*finding));
    CHECK((*finding)["severity"] == "warning");
    CHECK((*finding)["where"]["remote"] == end_text(ns.b.v4, server.port()));
    CHECK((*finding)["count"] >= kCount);
    const std::string evidence = evidence_of(*finding);
    CHECK(evidence.find("local ports to " + end_text(ns.b.v4, server.port())) != std::string::npos);
    CHECK(evidence.find("TIME_WAIT sockets there may be") != std::string::npos);
    CHECK_FALSE(find_finding(verdict, "time-wait-growth", about(ns.b.inum())));
    for (const Json& row : verdict["reconciliation"])
        if (row["counter"] == "sockstat TCP.tw" && row["netns"] == ns.a.inum())
            CHECK(std::abs(row["unexplained"].get<int>()) <= kCount / 100);
}

TEST_CASE("a natural level of TIME_WAIT is no finding", "[timewait_test]") {
    const WiredNs ns;
    const Server server(ns.b, "ct-echo", Serve::kEcho, ns.b.v4);
    Culprit culprit = diagnose({"--for", "5s", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    Child client(ns.a.path(), "ct-natural", [&](const Tell&) {
        for (int i = 0; i < 100; i++, pause_ms(30))
            short_connections(ns.b.v4, server.port(), 10);
        return 0;
    });
    CHECK(client.wait() == 0);
    const int status = culprit.wait();
    INFO(culprit.out());
    CHECK(status == 0);
    CHECK(Json::parse(culprit.out())["findings"].empty());
}

TEST_CASE("a server that closes first is named, with its port", "[timewait_test]") {
    const WiredNs ns;
    set_sysctl(ns.b, "tcp_max_tw_buckets", "2000");
    const Listening server(ns.b, "ct-hangs-up", ns.b.v4, closes_at_once, 0, 1024);
    Culprit culprit = diagnose({"--for", "60s"});
    culprit.wait_until_watching();
    ns.a.in([&] { let_close(ns.b.v4, server.port(), 1600); });
    const auto finding = finding_at_end(culprit, "time-wait-growth", ns.b);
    INFO(culprit.out().substr(0, 8000));
    REQUIRE(finding);
    CHECK(blames(server.pid())(*finding));
    CHECK((*finding)["severity"] == "warning");
    CHECK((*finding)["where"]["local"] == end_text(ns.b.v4, server.port()));
    constexpr int kMade = 1600, kSkipped = 2; // runs of programs, see support/witness.h
    const int told = (*finding)["count"];
    CHECK(told <= kMade);
    CHECK(told >= kMade - kSkipped);
}

TEST_CASE("a full TIME_WAIT table names who fills it", "[timewait_test]") {
    const WiredNs ns;
    set_sysctl(ns.a, "tcp_max_tw_buckets", "100");
    const Server server(ns.b, "ct-echo", Serve::kEcho, ns.b.v4);
    Culprit culprit = diagnose({"--for", "60s"});
    culprit.wait_until_watching();
    const Counters before = ns.a.counters();
    Child client(ns.a.path(), "ct-fills", [&](const Tell&) {
        close_first({ns.a.v4}, ns.b.v4, server.port(), 500);
        return 0;
    });
    CHECK(client.wait() == 0);
    const Counters grew = growth(ns.a.counters(), before);
    CHECK(culprit.stop() == 3);
    INFO(culprit.out().substr(0, 8000));
    const Json verdict = Json::parse(culprit.out());
    const auto finding = find_finding(verdict, "tw-overflow", about(ns.a.inum()));
    REQUIRE(finding);
    CHECK(blames(client.pid())(*finding));
    CHECK((*finding)["count"] == grew[counter("TcpExt.TCPTimeWaitOverflow")]);
    CHECK((*finding)["title"].get<std::string>().find("full at 100") != std::string::npos);
    CHECK_FALSE(find_finding(verdict, "time-wait-growth", about(ns.a.inum())));
}

TEST_CASE("who holds all ports to a destination is to blame, not who finds none",
          "[timewait_test]") {
    const WiredNs ns;
    set_sysctl(ns.a, "ip_local_port_range", "60000 60099");
    const Server server(ns.b, "ct-echo", Serve::kEcho, ns.b.v4);
    Culprit culprit = diagnose({"--for", "60s"});
    culprit.wait_until_watching();
    const Child holder = hold(ns.a, "ct-holds", ns.b.v4, server.port(), 100);
    holder.number();
    Child victim(ns.a.path(), "ct-finds-none", [&](const Tell&) {
        for (int i = 0; i < 20; i++)
            must(try_connect(ns.b.v4, server.port(), 1) == EADDRNOTAVAIL, "find no port");
        return 0;
    });
    CHECK(victim.wait() == 0);
    const auto finding = finding_at_end(culprit, "port-exhaustion", ns.a);
    INFO(culprit.out().substr(0, 8000));
    REQUIRE(finding);
    CHECK((*finding)["severity"] == "critical");
    CHECK(blames(holder.pid())(*finding));
    CHECK(hurts(victim.pid())(*finding));
    CHECK((*finding)["count"] == 20);
    CHECK((*finding)["where"]["remote"] == end_text(ns.b.v4, server.port()));
    CHECK(evidence_of(*finding).find("100 of 100 local ports") != std::string::npos);
}

TEST_CASE("ports that are nearly used up are a warning while connects still succeed",
          "[timewait_test]") {
    const WiredNs ns;
    set_sysctl(ns.a, "ip_local_port_range", "60000 60099");
    const Server server(ns.b, "ct-echo", Serve::kEcho, ns.b.v4);
    Culprit culprit = diagnose({"--for", "60s"});
    culprit.wait_until_watching();
    const Child holder = hold(ns.a, "ct-holds", ns.b.v4, server.port(), 80);
    holder.number();
    const auto finding = finding_at_end(culprit, "port-exhaustion", ns.a);
    INFO(culprit.out().substr(0, 8000));
    REQUIRE(finding);
    CHECK((*finding)["severity"] == "warning");
    CHECK(blames(holder.pid())(*finding));
}
