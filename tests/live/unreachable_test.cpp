// SPDX-License-Identifier: MIT
// Are routers that refuse and routes that go round told apart, and from probes that mean no harm?
#include "support/catch.h"
#include "support/finding.h"
#include "support/router.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr const char* kElsewhere = "203.0.113.7"; // RFC 5737: nobody's

int knock(int times) {
    for (int i = 0; i < times; i++, pause_ms(200))
        try_connect(kElsewhere, 80, 1);
    return 0;
}

} // namespace

TEST_CASE("a router without a way makes the destination unreachable for the process",
          "[unreachable_test]") {
    const RoutedNs ns;
    ns.router.shell("ip route add unreachable 203.0.113.0/24");
    Culprit culprit = diagnose({"--for", "6s"});
    culprit.wait_until_watching();
    Child client(ns.client.path(), "ct-lost", [](const Tell&) { return knock(15); });
    CHECK(culprit.wait() == 3);
    INFO(culprit.out().substr(0, 12000));
    const Json verdict = Json::parse(culprit.out());
    const auto finding = find_finding(verdict, "host-unreachable", hurts(client.pid()));
    REQUIRE(finding);
    CHECK((*finding)["where"]["remote"] == end_text(kElsewhere, 80));
    CHECK((*finding)["where"]["netns"] == ns.client.inum());
    CHECK((*finding)["severity"] == "critical");
    CHECK(evidence_of(*finding).find(ns.router.netns()) != std::string::npos);
    CHECK_FALSE(find_finding(verdict, "connect-timeout", hurts(client.pid())));
    CHECK_FALSE(find_finding(verdict, "ttl-exceeded", hurts(client.pid())));
}

TEST_CASE("a neighbour that does not answer is no router's word", "[unreachable_test]") {
    const WiredNs ns;
    ns.b.shell("ip addr flush dev to-a");
    ns.a.shell(fmt::format("ip neigh del {} dev {}", ns.b.v4, ns.a.device));
    Culprit culprit = diagnose({"--for", "8s"});
    culprit.wait_until_watching();
    Child client(ns.a.path(), "ct-alone", [&](const Tell&) {
        for (int i = 0; i < 2; i++)
            try_connect(ns.b.v4, 80, 4);
        return 0;
    });
    culprit.wait();
    INFO(culprit.out().substr(0, 8000));
    CHECK_FALSE(find_finding(Json::parse(culprit.out()), "host-unreachable", hurts(client.pid())));
}

TEST_CASE("two routers that send packets to each other are a loop", "[unreachable_test]") {
    const RoutedNs ns;
    ns.router.shell(fmt::format("ip route add 203.0.113.0/24 via {}", ns.server.v4));
    ns.server.shell("sysctl -qw net.ipv4.ip_forward=1"); // its default route leads back
    Culprit culprit = diagnose({"--for", "6s"});
    culprit.wait_until_watching();
    Child client(ns.client.path(), "ct-dizzy", [](const Tell&) { return knock(20); });
    CHECK(culprit.wait() == 3);
    INFO(culprit.out().substr(0, 12000));
    const Json verdict = Json::parse(culprit.out());
    const auto finding = find_finding(verdict, "ttl-exceeded", [&](const Json& f) {
        return f["where"]["netns"] == ns.router.inum() || f["where"]["netns"] == ns.server.inum();
    });
    REQUIRE(finding);
    CHECK((*finding)["where"]["remote"] == kElsewhere);
    CHECK((*finding)["severity"] != "info");
    CHECK(hurts(client.pid())(*finding));
    CHECK_FALSE(find_finding(verdict, "host-unreachable", hurts(client.pid())));
    CHECK_FALSE(find_finding(verdict, "connect-timeout", hurts(client.pid())));
}

TEST_CASE("probes that run out of hops on purpose are healthy", "[unreachable_test]") {
    const RoutedNs ns;
    Culprit culprit = diagnose({"--for", "4s"});
    culprit.wait_until_watching();
    Child client(ns.client.path(), "ct-trace", [&](const Tell&) {
        for (int round = 0; round < 10; round++, pause_ms(100))
            for (int hops = 1; hops <= 3; hops++) {
                const UniqueFd fd = make_socket(ns.server.v4, SOCK_DGRAM, 1);
                const int yes = 1;
                must(::setsockopt(fd.get(), IPPROTO_IP, IP_TTL, &hops, sizeof(hops)) == 0 &&
                         ::setsockopt(fd.get(), IPPROTO_IP, IP_RECVERR, &yes, sizeof(yes)) == 0,
                     "set options");
                const Address to =
                    address_of(ns.server.v4, static_cast<std::uint16_t>(33434 + 3 * round + hops));
                ::sendto(fd.get(), "probe", 5, 0, to.get(), to.size);
                pause_ms(10);
            }
        return 0;
    });
    CHECK(client.wait() == 0);
    culprit.wait();
    INFO(culprit.out().substr(0, 8000));
    CHECK_FALSE(loud_finding(Json::parse(culprit.out()), ns));
}
