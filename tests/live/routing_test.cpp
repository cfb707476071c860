// SPDX-License-Identifier: MIT
// Are faults of routing named with place and process, and is what only looks like them left alone?
#include <netinet/ip.h>

#include "support/catch.h"
#include "support/finding.h"
#include "support/three_ns.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr std::uint16_t kPort = 443;
constexpr const char* kNowhere4 = "203.0.113.7"; // RFC 5737
constexpr const char* kNowhere6 = "2001:db8::7";

struct Judged {
    Json verdict;
    int status = 0;
};

/// A process in that namespace while culprit watches all, or one namespace only: what others do on
/// this host is no matter where nothing is to be found.
template <typename Work>
Judged judge_while(const Side& side, pid_t* pid, const Work& work, const Side* only = nullptr) {
    Culprit::Arguments arguments = {"--for", "7s"};
    if (only)
        arguments.insert(arguments.end(), {"--netns", only->netns()});
    Culprit culprit = diagnose(arguments);
    culprit.wait_until_watching();
    Child caller(side.path(), "ct-caller", [&](const Tell&) {
        work();
        return 0;
    });
    if (pid)
        *pid = caller.pid();
    CHECK(caller.wait() == 0);
    const int status = culprit.wait();
    return {Json::parse(culprit.out()), status};
}

std::optional<Json> loud(const Json& verdict, const std::string& id, const Side& side) {
    return find_finding(verdict, id, [&](const Json& f) {
        return f["severity"] != "info" && f["where"]["netns"] == side.inum();
    });
}

/// Connection attempts side by side, each given up after that time.
void connect_side_by_side(const std::string& host, std::uint16_t port, int count, double seconds,
                          const std::string& from = "") {
    std::vector<std::thread> all;
    for (int i = 0; i < count; i++)
        all.emplace_back([&] {
            const UniqueFd fd = make_socket(host, SOCK_STREAM, seconds);
            const Address to = address_of(host, port);
            if (!from.empty()) {
                const Address own = address_of(from, 0);
                must(::bind(fd.get(), own.get(), own.size) == 0, "bind");
            }
            (void)::connect(fd.get(), to.get(), to.size);
        });
    for (std::thread& one : all)
        one.join();
}

/// UDP packets with a source of our choice.
void send_forged(const std::string& source, const std::string& to, int count) {
    const UniqueFd fd(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
    must(bool(fd), "make a raw socket");
    struct {
        iphdr ip;
        std::uint16_t udp[4];
        char data[32];
    } packet{};
    packet.ip.version = 4;
    packet.ip.ihl = 5;
    packet.ip.ttl = 64;
    packet.ip.protocol = IPPROTO_UDP;
    packet.ip.tot_len = htons(sizeof(packet));
    must(::inet_pton(AF_INET, source.c_str(), &packet.ip.saddr) == 1, "read the source");
    must(::inet_pton(AF_INET, to.c_str(), &packet.ip.daddr) == 1, "read the destination");
    packet.udp[0] = packet.udp[1] = htons(9999);
    packet.udp[2] = htons(sizeof(packet) - sizeof(packet.ip));
    const Address at = address_of(to, 0);
    for (int i = 0; i < count; i++, pause_ms(2))
        ::sendto(fd.get(), &packet, sizeof(packet), 0, at.get(), at.size);
}

} // namespace

TEST_CASE("a process without a route to its destination is named", "[routing_test]") {
    const WiredNs ns;
    pid_t pid = 0;
    const auto [verdict, status] = judge_while(ns.a, &pid, [] {
        for (int i = 0; i < 40; i++, pause_ms(50))
            try_connect(kNowhere4, kPort, 1);
    });
    INFO(verdict.dump(1).substr(0, 8000));
    CHECK(status == 3);
    const auto finding = loud(verdict, "no-route", ns.a);
    REQUIRE(finding);
    CHECK(blames(pid)(*finding));
    CHECK((*finding)["where"]["remote"] == end_text(kNowhere4, kPort));
    CHECK((*finding)["count"] == 40);
    for (const Json& row : verdict["reconciliation"])
        if (row["netns"] == ns.a.inum() && row["counter"] == "Ip.OutNoRoutes")
            CHECK(row["unexplained"] == 0);
}

TEST_CASE("routes and rules that refuse a process are named", "[routing_test]") {
    const WiredNs ns;
    ns.a.shell("ip route add unreachable 203.0.113.0/24 && ip rule add to 192.0.2.0/24 prohibit "
               "&& ip route add blackhole 2001:db8::/32");
    pid_t pid = 0;
    const auto [verdict, status] = judge_while(ns.a, &pid, [] {
        for (int i = 0; i < 20; i++, pause_ms(50)) {
            try_connect(kNowhere4, kPort, 1);
            try_connect("192.0.2.1", kPort, 1);
            try_connect(kNowhere6, kPort + 1, 1);
        }
    });
    INFO(verdict.dump(1).substr(0, 8000));
    CHECK(status == 3);
    std::string said;
    for (const Json& finding : verdict["findings"])
        if (finding["id"] == "no-route" && blames(pid)(finding))
            said += evidence_of(finding);
    CHECK(said.find("unreachable route 203.0.113.0/24") != std::string::npos);
    CHECK(said.find("prohibit rule") != std::string::npos);
    const auto eaten = loud(verdict, "blackhole-route", ns.a);
    REQUIRE(eaten);
    CHECK(blames(pid)(*eaten));
    CHECK(evidence_of(*eaten).find("blackhole route 2001:db8::/32") != std::string::npos);
}

TEST_CASE("IPv6 tried first on a host that has IPv4 only is healthy", "[routing_test]") {
    const WiredNs ns;
    const Server echo(ns.b, "ct-echo", Serve::kEcho, ns.b.v4);
    const auto eyeballs = [&] {
        try_connect(kNowhere6, echo.port(), 1);
        short_connections(ns.b.v4, echo.port(), 1);
    };
    const auto [verdict, status] = judge_while(
        ns.a, nullptr,
        [&] {
            for (int i = 0; i < 60; i++, pause_ms(20))
                eyeballs();
            for (int i = 0; i < 30; i++) { // each time another process
                Child one("", "ct-short", [&](const Tell&) {
                    eyeballs();
                    return 0;
                });
                one.wait();
            }
        },
        &ns.a);
    INFO(verdict.dump(1).substr(0, 8000));
    CHECK(status == 0);
}

TEST_CASE("datagram sockets connected only to see which address would do are healthy",
          "[routing_test]") {
    const WiredNs ns;
    const Server echo(ns.b, "ct-echo", Serve::kEcho, ns.b.v4);
    const auto [verdict, status] = judge_while(
        ns.a, nullptr,
        [&] {
            for (int i = 0; i < 60; i++, pause_ms(20)) {
                for (const char* host : {kNowhere6, kNowhere4}) {
                    const UniqueFd fd = make_socket(host, SOCK_DGRAM, 1);
                    const Address to = address_of(host, echo.port());
                    (void)::connect(fd.get(), to.get(), to.size);
                }
                short_connections(ns.b.v4, echo.port(), 1);
            }
        },
        &ns.a);
    INFO(verdict.dump(1).substr(0, 8000));
    CHECK(status == 0);
}

TEST_CASE("one call without a route now and then is healthy", "[routing_test]") {
    const WiredNs ns;
    const auto [verdict, status] = judge_while(
        ns.a, nullptr,
        [] {
            for (int i = 0; i < 3; i++, pause_ms(500))
                try_connect(kNowhere4, kPort, 1);
        },
        &ns.a);
    INFO(verdict.dump(1).substr(0, 8000));
    CHECK(status == 0);
}

TEST_CASE("a router's blackhole route is named, and explains the timeouts", "[routing_test]") {
    const ThreeNs ns;
    ns.router.shell("ip route add blackhole " + ns.server.v4 + "/32");
    pid_t pid = 0;
    const auto [verdict, status] =
        judge_while(ns.client, &pid, [&] { connect_side_by_side(ns.server.v4, kPort, 4, 4); });
    INFO(verdict.dump(1).substr(0, 8000));
    CHECK(status == 3);
    const auto finding = loud(verdict, "blackhole-route", ns.router);
    REQUIRE(finding);
    CHECK((*finding)["where"]["device"] == ThreeNs::kToClient);
    CHECK(hurts(pid)(*finding));
    CHECK(evidence_of(*finding).find("blackhole route " + ns.server.v4) != std::string::npos);
    CHECK_FALSE(find_finding(verdict, "connect-timeout", hurts(pid)));
    CHECK_FALSE(loud(verdict, "local-drop", ns.router));
}

TEST_CASE("a router's unreachable route is named", "[routing_test]") {
    const ThreeNs ns;
    ns.router.shell("ip route add unreachable " + ns.server.v4 + "/32");
    const auto [verdict, status] =
        judge_while(ns.client, nullptr, [&] { connect_side_by_side(ns.server.v4, kPort, 6, 4); });
    INFO(verdict.dump(1).substr(0, 8000));
    CHECK(status == 3);
    const auto finding = loud(verdict, "no-route", ns.router);
    REQUIRE(finding);
    CHECK(evidence_of(*finding).find("unreachable route " + ns.server.v4) != std::string::npos);
}

TEST_CASE("a router that does not forward is named", "[routing_test]") {
    const ThreeNs ns;
    const bool ipv6 = GENERATE(false, true);
    ns.router.shell(ipv6 ? "sysctl -qw net.ipv6.conf.all.forwarding=0"
                         : "sysctl -qw net.ipv4.ip_forward=0");
    pid_t pid = 0;
    const auto [verdict, status] = judge_while(ns.client, &pid, [&] {
        connect_side_by_side(ipv6 ? ns.server.v6 : ns.server.v4, kPort, 4, 4);
    });
    INFO(verdict.dump(1).substr(0, 8000));
    CHECK(status == 3);
    const auto finding = loud(verdict, "forwarding-disabled", ns.router);
    REQUIRE(finding);
    CHECK((*finding)["where"]["device"] == ThreeNs::kToClient);
    CHECK(hurts(pid)(*finding));
    CHECK(evidence_of(*finding).find(" = 0") != std::string::npos);
    CHECK_FALSE(find_finding(verdict, "connect-timeout", hurts(pid)));
}

TEST_CASE("a reverse path filter that drops what somebody needs is named", "[routing_test]") {
    const WiredNs ns;
    const Server echo(ns.b, "ct-echo", Serve::kEcho, ns.b.v4);
    ns.a.shell("ip addr add 203.0.113.5/32 dev lo");
    ns.b.shell("sysctl -qw net.ipv4.conf.to-a.rp_filter=1");
    pid_t pid = 0;
    const auto [verdict, status] = judge_while(
        ns.a, &pid, [&] { connect_side_by_side(ns.b.v4, echo.port(), 4, 4, "203.0.113.5"); });
    INFO(verdict.dump(1).substr(0, 8000));
    CHECK(status == 3);
    const auto finding = loud(verdict, "rp-filter-drop", ns.b);
    REQUIRE(finding);
    CHECK((*finding)["where"]["device"] == ns.b.device);
    CHECK((*finding)["where"]["remote"] == "203.0.113.5");
    CHECK(hurts(pid)(*finding));
    CHECK(evidence_of(*finding).find("to-a.rp_filter = 1: strict") != std::string::npos);
}

TEST_CASE("forged packets that the reverse path filter keeps away are healthy", "[routing_test]") {
    const WiredNs ns;
    const Server echo(ns.b, "ct-echo", Serve::kEcho, ns.b.v4);
    ns.b.shell("sysctl -qw net.ipv4.conf.to-a.rp_filter=1");
    const auto [verdict, status] = judge_while(
        ns.a, nullptr,
        [&] {
            short_connections(ns.b.v4, echo.port(), 500);
            send_forged("203.0.113.5", ns.b.v4, 60);
        },
        &ns.b);
    INFO(verdict.dump(1).substr(0, 8000));
    CHECK(status == 0);
}

TEST_CASE("packets from impossible sources are named with device and source", "[routing_test]") {
    const WiredNs ns;
    const bool loopback = GENERATE(false, true);
    const std::string source = loopback ? "127.0.0.5" : ns.b.v4;
    const auto [verdict, status] =
        judge_while(ns.a, nullptr, [&] { send_forged(source, ns.b.v4, 600); });
    INFO(verdict.dump(1).substr(0, 8000));
    CHECK(status == 3);
    const auto finding = loud(verdict, "martian-source", ns.b);
    REQUIRE(finding);
    CHECK((*finding)["where"]["device"] == ns.b.device);
    CHECK((*finding)["where"]["remote"] == source);
}

TEST_CASE("strays to a broadcast address of another network are healthy", "[routing_test]") {
    const WiredNs ns;
    ns.a.shell("ip route add 203.0.113.255 dev to-b && "
               "ip neigh replace 203.0.113.255 lladdr ff:ff:ff:ff:ff:ff dev to-b");
    const auto [verdict, status] = judge_while(
        ns.a, nullptr, [] { send_udp("203.0.113.255", 137, 300, 50); }, &ns.b);
    INFO(verdict.dump(1).substr(0, 8000));
    CHECK(status == 0);
}
