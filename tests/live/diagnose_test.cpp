// SPDX-License-Identifier: MIT
// Does `diagnose` name the fault that a test made, and nothing when there is none?
#include <cmath>

#include "support/catch.h"
#include "support/finding.h"
#include "support/run.h"
#include "support/traffic.h"
#include "support/tun_wire.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr std::uint16_t kNobody = 9;

/// A local drop worse than informative, in one of the two namespaces.
bool warns_of_drops(const Json& verdict, const TwoNs& ns) {
    return find_finding(verdict, "local-drop",
                        [&](const Json& f) {
                            const auto netns = f["where"]["netns"];
                            return f["severity"] != "info" &&
                                   (netns == ns.a.inum() || netns == ns.b.inum());
                        })
        .has_value();
}

} // namespace

TEST_CASE("an idle namespace is healthy", "[diagnose_test]") {
    const WiredNs ns;
    Culprit culprit = diagnose({"--for", "4s", "--netns", ns.a.netns()});
    const int status = culprit.wait();
    INFO(culprit.out());
    CHECK(status == 0);
    CHECK(Json::parse(culprit.out())["verdict"] == "healthy");
}

TEST_CASE("a busy namespace without faults is healthy", "[diagnose_test]") {
    const WiredNs ns;
    const Server echo(ns.b, "ct-echo", Serve::kEcho, ns.b.v4);
    const Server sink(ns.b, "ct-sink", Serve::kSink, ns.b.v4);
    Culprit culprit = diagnose({"--for", "4s", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    Child many(ns.a.path(), "ct-many", [&](const Tell&) {
        short_connections(ns.b.v4, echo.port(), 2000);
        return 0;
    });
    Child bulk(ns.a.path(), "ct-bulk", [&](const Tell&) {
        bulk_for(ns.b.v4, sink.port(), 2);
        return 0;
    });
    CHECK(many.wait() == 0);
    CHECK(bulk.wait() == 0);
    const int status = culprit.wait();
    INFO(culprit.out());
    CHECK(status == 0);
    const Json verdict = Json::parse(culprit.out());
    CHECK(verdict["verdict"] == "healthy");
    CHECK(verdict["findings"].empty());
}

TEST_CASE("packets lost in this host's firewall are its drops, with place and sender",
          "[diagnose_test]") {
    const WiredNs ns;
    const Server sink(ns.b, "ct-sink", Serve::kSink, ns.b.v4);
    ns.b.nft("input", fmt::format("tcp dport {} numgen random mod 100 < 5 drop", sink.port()));
    Culprit culprit = diagnose({"--for", "6s"});
    culprit.wait_until_watching();
    const Counters before = ns.a.counters();
    Child client(ns.a.path(), "ct-bulk", [&](const Tell&) {
        bulk_for(ns.b.v4, sink.port(), 3);
        return 0;
    });
    REQUIRE(client.wait() == 0);
    const Counters grew = growth(ns.a.counters(), before);
    CHECK(culprit.wait() == 3);
    INFO(culprit.out().substr(0, 8000));
    const Json verdict = Json::parse(culprit.out());
    const auto finding = find_finding(verdict, "firewall-drop", [&](const Json& f) {
        return f["where"]["netns"] == ns.b.inum() && f["where"]["reason"] == "NETFILTER_DROP";
    });
    REQUIRE(finding);
    CHECK((*finding)["severity"] != "info");
    const std::string place = (*finding)["where"]["kernel"];
    CHECK((place.starts_with("nft") || place.starts_with("nf_hook")));
    CHECK((*finding)["where"]["device"] == ns.b.device);
    CHECK(hurts(client.pid())(*finding));
    CHECK_FALSE(find_finding(verdict, "packet-loss", hurts(client.pid())));
    const auto real = static_cast<double>(grew[counter("Tcp.RetransSegs")]) /
                      static_cast<double>(grew[counter("Tcp.OutSegs")]);
    std::optional<double> told;
    for (const Json& evidence : (*finding)["evidence"])
        if (evidence["source"] == "Tcp.RetransSegs / Tcp.OutSegs")
            told = evidence["value"].get<double>();
    REQUIRE(told);
    CHECK(std::abs(*told - real) <= 0.2 * real);
}

TEST_CASE("a process that knocks at a closed port is named as refused", "[diagnose_test]") {
    const WiredNs ns;
    Culprit culprit = diagnose({"--for", "5s"});
    culprit.wait_until_watching();
    Child client(ns.a.path(), "ct-knocks", [&](const Tell&) {
        for (int i = 0; i < 60; i++, pause_ms(50))
            try_connect(ns.b.v4, kNobody, 1);
        return 0;
    });
    CHECK(client.wait() == 0);
    CHECK(culprit.wait() == 3);
    INFO(culprit.out().substr(0, 8000));
    const auto finding =
        find_finding(Json::parse(culprit.out()), "conn-refused", blames(client.pid()));
    REQUIRE(finding);
    CHECK((*finding)["culprit"]["comm"] == "ct-knocks");
    CHECK((*finding)["culprit"]["netns"] == ns.a.inum());
    CHECK((*finding)["where"]["remote"] == end_text(ns.b.v4, kNobody));
    CHECK((*finding)["count"] == 60);
}

TEST_CASE("a server that resets after its answer is named as the storm's source",
          "[diagnose_test]") {
    const WiredNs ns;
    const Server server(ns.b, "ct-resets", Serve::kReset, ns.b.v4);
    Culprit culprit = diagnose({"--for", "5s"});
    culprit.wait_until_watching();
    Child client(ns.a.path(), "ct-victim", [&](const Tell&) {
        for (int i = 0; i < 100; i++, pause_ms(20)) {
            const UniqueFd fd = connect_to(ns.b.v4, server.port());
            send_bytes(fd.get(), 100);
            char byte = 0;
            while (::recv(fd.get(), &byte, 1, 0) > 0) {
            }
        }
        return 0;
    });
    CHECK(client.wait() == 0);
    CHECK(culprit.wait() == 3);
    INFO(culprit.out().substr(0, 8000));
    const Json verdict = Json::parse(culprit.out());
    const auto finding = find_finding(verdict, "rst-storm", blames(server.pid()));
    REQUIRE(finding);
    CHECK((*finding)["culprit"]["comm"] == "ct-resets");
    CHECK((*finding)["count"] == 100);
    CHECK(hurts(client.pid())(*finding));
    CHECK_FALSE(find_finding(verdict, "rst-storm", blames(client.pid())));
}

TEST_CASE("connects into the void are a timeout, not a drop of this host", "[diagnose_test]") {
    const WiredNs ns;
    // frames for a stranger: the peer throws them away as not its own, which is normal life
    ns.a.shell(
        fmt::format("ip neigh replace {} lladdr 02:00:00:00:00:99 dev {}", ns.b.v4, ns.a.device));
    Culprit culprit = diagnose({"--for", "5s"});
    culprit.wait_until_watching();
    Child client(ns.a.path(), "ct-waits", [&](const Tell&) {
        std::vector<UniqueFd> open;
        const Address to = address_of(ns.b.v4, 80);
        for (int i = 0; i < 5; i++) {
            open.push_back(make_socket(ns.b.v4, SOCK_STREAM | SOCK_NONBLOCK, 1));
            ::connect(open.back().get(), to.get(), to.size);
        }
        pause_ms(3000);
        return 0;
    });
    CHECK(client.wait() == 0);
    CHECK(culprit.wait() == 3);
    INFO(culprit.out().substr(0, 8000));
    const Json verdict = Json::parse(culprit.out());
    const auto finding = find_finding(verdict, "connect-timeout", hurts(client.pid()));
    REQUIRE(finding);
    CHECK((*finding)["where"]["remote"] == end_text(ns.b.v4, 80));
    CHECK((*finding)["severity"] == "critical");
    CHECK_FALSE(warns_of_drops(verdict, ns));
}

TEST_CASE("loss beyond this host is packet loss, not a local drop", "[diagnose_test]") {
    if (!LossyWire::possible())
        skip("there is no /dev/net/tun to make a lossy wire with");
    const TwoNs ns(TwoNs::Wire::kNone);
    const LossyWire wire(ns, 20);
    const Server sink(ns.b, "ct-sink", Serve::kSink, ns.b.v4);
    Culprit culprit = diagnose({"--for", "6s"});
    culprit.wait_until_watching();
    Child client(ns.a.path(), "ct-bulk", [&](const Tell&) {
        bulk_for(ns.b.v4, sink.port(), 3);
        return 0;
    });
    CHECK(client.wait() == 0);
    CHECK(culprit.wait() == 3);
    INFO(culprit.out().substr(0, 8000));
    const Json verdict = Json::parse(culprit.out());
    const auto finding = find_finding(verdict, "packet-loss", hurts(client.pid()));
    REQUIRE(finding);
    CHECK((*finding)["severity"] == "critical");
    CHECK((*finding)["where"]["remote"] == ns.b.v4);
    CHECK_FALSE(warns_of_drops(verdict, ns));
}
