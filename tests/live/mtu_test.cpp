// SPDX-License-Identifier: MIT
// Is a path that swallows full-size segments told from one that says so, and from loss?
#include "support/catch.h"
#include "support/finding.h"
#include "support/router.h"
#include "support/tun_wire.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr const char* kNoNews = "icmp type destination-unreachable drop";

/// Sends that much over each connection, which ends after that time.
int upload(const std::string& to, std::uint16_t port, int connections, std::size_t bytes,
           double seconds) {
    std::vector<UniqueFd> open;
    for (int i = 0; i < connections; i++) {
        open.push_back(connect_to(to, port, seconds));
        send_bytes(open.back().get(), bytes);
    }
    pause_ms(static_cast<int>(seconds * 1000));
    return 0;
}

} // namespace

TEST_CASE("a router that drops what it should say about packets too big is named", "[mtu_test]") {
    const RoutedNs ns;
    ns.router.shell("ip link set to-s mtu 1300");
    ns.router.nft("output", kNoNews);
    const Server sink(ns.server, "ct-sink", Serve::kSink, ns.server.v4);
    Culprit culprit = diagnose({"--for", "6s"});
    culprit.wait_until_watching();
    Child client(ns.client.path(), "ct-upload",
                 [&](const Tell&) { return upload(ns.server.v4, sink.port(), 2, 16384, 5); });
    CHECK(culprit.wait() == 3);
    INFO(culprit.out().substr(0, 12000));
    const Json verdict = Json::parse(culprit.out());
    const auto finding = find_finding(verdict, "mtu-blackhole", about(ns.router.inum()));
    REQUIRE(finding);
    CHECK((*finding)["severity"] == "critical");
    CHECK((*finding)["culprit"].is_null());
    CHECK((*finding)["where"]["device"] == RoutedNs::kToServer);
    CHECK((*finding)["title"].get<std::string>().find("1300 bytes") != std::string::npos);
    CHECK(evidence_of(*finding).find("NETFILTER_DROP") != std::string::npos);
    CHECK(hurts(client.pid())(*finding));
    CHECK_FALSE(find_finding(verdict, "packet-loss", hurts(client.pid())));
    CHECK_FALSE(find_finding(verdict, "local-drop", hurts(client.pid())));
}

TEST_CASE("a sender's own firewall that drops the news is named", "[mtu_test]") {
    const RoutedNs ns;
    ns.router.shell("ip link set to-s mtu 1300");
    ns.client.nft("input", kNoNews);
    const Server sink(ns.server, "ct-sink", Serve::kSink, ns.server.v4);
    Culprit culprit = diagnose({"--for", "6s"});
    culprit.wait_until_watching();
    Child client(ns.client.path(), "ct-upload",
                 [&](const Tell&) { return upload(ns.server.v4, sink.port(), 1, 16384, 5); });
    CHECK(culprit.wait() == 3);
    INFO(culprit.out().substr(0, 12000));
    const auto finding =
        find_finding(Json::parse(culprit.out()), "mtu-blackhole", hurts(client.pid()));
    REQUIRE(finding);
    CHECK(evidence_of(*finding).find(ns.client.netns()) != std::string::npos);
}

TEST_CASE("path MTU discovery at work is healthy", "[mtu_test]") {
    const RoutedNs ns;
    ns.router.shell("ip link set to-s mtu 1300");
    const Server sink(ns.server, "ct-sink", Serve::kSink, ns.server.v4);
    Culprit culprit = diagnose({"--for", "5s"});
    culprit.wait_until_watching();
    Child client(ns.client.path(), "ct-upload", [&](const Tell&) {
        for (int i = 0; i < 20; i++) {
            // forgets what it learnt, so that each connection meets it anew
            ::system("ip route flush cache 2>/dev/null");
            upload(ns.server.v4, sink.port(), 1, 65536, 0.1);
        }
        return 0;
    });
    CHECK(client.wait() == 0);
    culprit.wait();
    INFO(culprit.out().substr(0, 12000));
    const auto loud = loud_finding(Json::parse(culprit.out()), ns);
    CHECK_FALSE(loud);
}

TEST_CASE("a hole beyond this host is told by what arrives and what does not", "[mtu_test]") {
    if (!LossyWire::possible())
        skip("there is no /dev/net/tun to make a wire with a hole");
    constexpr unsigned kNever = 1'000'000'000;
    const TwoNs ns(TwoNs::Wire::kNone);
    const LossyWire wire(ns, kNever, 1300);
    const Server sink(ns.b, "ct-sink", Serve::kSink, ns.b.v4);
    Culprit culprit = diagnose({"--for", "6s"});
    culprit.wait_until_watching();
    Child client(ns.a.path(), "ct-upload",
                 [&](const Tell&) { return upload(ns.b.v4, sink.port(), 3, 16384, 5); });
    CHECK(culprit.wait() == 3);
    INFO(culprit.out().substr(0, 12000));
    const Json verdict = Json::parse(culprit.out());
    const auto finding = find_finding(verdict, "mtu-blackhole", hurts(client.pid()));
    REQUIRE(finding);
    CHECK((*finding)["where"]["remote"] == ns.b.v4);
    CHECK_FALSE(find_finding(verdict, "packet-loss", hurts(client.pid())));
}

TEST_CASE("a wire that dies under a bulk transfer is no such hole", "[mtu_test]") {
    const WiredNs ns;
    const Server sink(ns.b, "ct-sink", Serve::kSink, ns.b.v4);
    Culprit culprit = diagnose({"--for", "6s"});
    culprit.wait_until_watching();
    Child client(ns.a.path(), "ct-bulk", [&](const Tell&) {
        bulk_for(ns.b.v4, sink.port(), 5);
        return 0;
    });
    pause_ms(1000);
    // frames for a stranger: the peer throws them away as not its own
    ns.a.shell(
        fmt::format("ip neigh replace {} lladdr 02:00:00:00:00:99 dev {}", ns.b.v4, ns.a.device));
    culprit.wait();
    INFO(culprit.out().substr(0, 8000));
    CHECK_FALSE(find_finding(Json::parse(culprit.out()), "mtu-blackhole", hurts(client.pid())));
}
