// SPDX-License-Identifier: MIT
// Do ICMP records tell which packet was answered with an error, and which socket was hit by one?
#include "abi/icmp.h"
#include "support/catch.h"
#include "support/finding.h"
#include "support/router.h"
#include "support/saved.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr std::uint16_t kNobody = 9;

auto sent(int type, int code) {
    return [=](const Json& e) {
        return e["kind"] == "icmp" && e["direction"] == "sent" && e["type"] == type &&
               e["code"] == code;
    };
}

bool received(const Json& e) {
    return e["kind"] == "icmp" && e["direction"] == "received";
}

/// A datagram of that size to a port, with a hop limit; 0 the usual one.
void send_datagram(const std::string& to, std::uint16_t port, std::size_t bytes, int hops = 0) {
    const UniqueFd fd = make_socket(to, SOCK_DGRAM, 1);
    const Address address = address_of(to, port);
    const std::vector<char> zeros(bytes);
    if (hops)
        must(::setsockopt(fd.get(), IPPROTO_IP, IP_TTL, &hops, sizeof(hops)) == 0, "set the TTL");
    must(::connect(fd.get(), address.get(), address.size) == 0, "connect");
    ::send(fd.get(), zeros.data(), bytes, 0);
    pause_ms(20); // the answer comes while the socket is there
}

} // namespace

TEST_CASE("an error for a closed port is seen where it is sent and where it hits", "[icmp_test]") {
    const WiredNs ns;
    Culprit at_a = watch({"icmp", "--netns", ns.a.netns()});
    Culprit at_b = watch({"icmp", "--netns", ns.b.netns()});
    at_a.wait_until_watching();
    at_b.wait_until_watching();
    ns.a.in([&] { send_datagram(ns.b.v4, kNobody, 100); });
    const Json hit = at_a.await(received).at(0), answer = at_b.await(sent(3, 3)).at(0);
    CHECK(answer["local"].get<std::string>().starts_with(ns.a.v4 + ":"));
    CHECK(answer["remote"] == end_text(ns.b.v4, kNobody));
    CHECK(answer["netns"] == ns.b.inum());
    CHECK(answer["path"] == "input");
    CHECK(answer["bytes"] == 100 + 8); // the IP header is taken off by then
    CHECK(hit["error"] == "ECONNREFUSED");
    CHECK(hit["local"] == answer["local"]);
    CHECK(hit["remote"] == answer["remote"]);
}

TEST_CASE("a packet too big for its way out is told with device and MTU", "[icmp_test]") {
    const RoutedNs ns;
    ns.router.shell("ip link set to-s mtu 1300");
    Culprit culprit = watch({"icmp", "--netns", ns.router.netns()});
    culprit.wait_until_watching();
    ns.client.in([&] {
        const UniqueFd fd = make_socket(ns.server.v4, SOCK_DGRAM, 1);
        const int always = IP_PMTUDISC_DO;
        must(::setsockopt(fd.get(), IPPROTO_IP, IP_MTU_DISCOVER, &always, sizeof(always)) == 0,
             "forbid fragments");
        const Address to = address_of(ns.server.v4, kNobody);
        const std::vector<char> zeros(1400);
        must(::sendto(fd.get(), zeros.data(), zeros.size(), 0, to.get(), to.size) > 0, "send");
    });
    const Json event = culprit.await(sent(3, 4)).at(0);
    CHECK(event["path"] == "forward");
    CHECK(event["out_netns"] == ns.router.inum());
    CHECK(event["out_ifindex"] == RoutedNs::kToServer);
    CHECK(event["mtu"] == 1300);
    CHECK(event["local"].get<std::string>().starts_with(ns.client.v4 + ":"));
}

TEST_CASE("a connection that a router refuses belongs to its process", "[icmp_test]") {
    const RoutedNs ns;
    ns.router.shell("ip route add unreachable 203.0.113.0/24");
    Culprit culprit = watch({"icmp", "--netns", ns.client.netns()});
    culprit.wait_until_watching();
    Child client(ns.client.path(), "ct-lost",
                 [&](const Tell&) { return try_connect("203.0.113.7", 80, 5); });
    const Json event = culprit.await(received).at(0);
    CHECK(client.wait() == EHOSTUNREACH);
    CHECK(event["error"] == "EHOSTUNREACH");
    CHECK(event["remote"] == end_text("203.0.113.7", 80));
    CHECK(event["pid"] == client.pid());
}

TEST_CASE("errors sent add up to what the kernel counts", "[icmp_test]") {
    const WiredNs ns;
    const SaveFile save;
    Culprit culprit = diagnose({"--for", "4s", "--save", save.path()});
    culprit.wait_until_watching();
    const Counters before = ns.b.counters();
    ns.a.in([&] {
        for (int i = 0; i < 30; i++)
            send_datagram(ns.b.v4, kNobody, 100);
    });
    const std::uint64_t expected = growth(ns.b.counters(), before)[counter("IcmpMsg.OutType3")];
    culprit.wait();
    CHECK(expected > 0);
    std::uint64_t total = 0;
    for (const auto& [row, info] : save.total().rows<icmp_total>(ABI_ICMP_TOTAL))
        if (row.netns == ns.b.inum() && row.direction == ABI_SENT && row.type == 3)
            total += row.packets;
    CHECK(total == expected);
}
