// SPDX-License-Identifier: MIT
// Are datagrams that never complete told, with where their fragments come from?
#include <vector>

#include "support/catch.h"
#include "support/finding.h"
#include "support/router.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr std::size_t kDatagram = 4000;
constexpr std::uint16_t kPort = 4444;

void send_large(const std::string& to, int datagrams) {
    for (int i = 0; i < datagrams; i++, pause_ms(30))
        send_udp(to, kPort, 1, kDatagram);
}

} // namespace

TEST_CASE("fragments that a filter keeps back are told where the others wait",
          "[reassembly_test]") {
    const RoutedNs ns;
    ns.router.nft("forward", "ip frag-off & 0x1fff != 0 drop");
    ns.server.shell("sysctl -qw net.ipv4.ipfrag_time=1");
    Culprit culprit = diagnose({"--for", "6s"});
    culprit.wait_until_watching();
    ns.client.in([&] { send_large(ns.server.v4, 60); });
    CHECK(culprit.wait() == 3);
    INFO(culprit.out().substr(0, 12000));
    const auto finding =
        find_finding(Json::parse(culprit.out()), "reassembly-failure", about(ns.server.inum()));
    REQUIRE(finding);
    CHECK((*finding)["severity"] == "critical");
    CHECK((*finding)["where"]["remote"] == ns.client.v4);
    CHECK((*finding)["where"]["device"] == ns.server.device);
    CHECK(evidence_of(*finding).find("drops later fragments") != std::string::npos);
}

TEST_CASE("datagrams in fragments that all come are healthy", "[reassembly_test]") {
    const RoutedNs ns;
    const Child reader(ns.server.path(), "ct-reader", [&](const Tell& tell) {
        const UniqueFd fd = make_socket(ns.server.v4, SOCK_DGRAM, kDeadlineSeconds);
        const Address at = address_of(ns.server.v4, kPort);
        must(::bind(fd.get(), at.get(), at.size) == 0, "bind");
        tell(1);
        for (std::vector<char> into(kDatagram);;)
            (void)!::recv(fd.get(), into.data(), into.size(), 0);
        return 0;
    });
    Culprit culprit = diagnose({"--for", "4s"});
    culprit.wait_until_watching();
    ns.client.in([&] { send_large(ns.server.v4, 60); });
    culprit.wait();
    INFO(culprit.out().substr(0, 12000));
    CHECK_FALSE(loud_finding(Json::parse(culprit.out()), ns));
}

TEST_CASE("a fragment lost now and then is healthy", "[reassembly_test]") {
    const RoutedNs ns;
    ns.router.nft("forward", "ip frag-off & 0x1fff != 0 numgen inc mod 40 == 0 drop");
    ns.server.shell("sysctl -qw net.ipv4.ipfrag_time=1");
    Culprit culprit = diagnose({"--for", "5s"});
    culprit.wait_until_watching();
    ns.client.in([&] { send_large(ns.server.v4, 100); });
    culprit.wait();
    INFO(culprit.out().substr(0, 12000));
    CHECK_FALSE(
        find_finding(Json::parse(culprit.out()), "reassembly-failure", about(ns.server.inum())));
}
