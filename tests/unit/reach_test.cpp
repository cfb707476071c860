// SPDX-License-Identifier: MIT
// Is a client's trouble explained only by a listener that it really reaches, also when containers
// have the same addresses?
#include <algorithm>

#include "detect/finding.h"
#include "detect/reach.h"
#include "support/catch.h"
#include "support/event_builder.h"
#include "support/fake_names.h"
#include "support/readable.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr std::uint16_t kPort = 8080;
constexpr std::uint32_t kBlue = 4026532001, kRed = 4026532002, kHost = kNetns;

abi_flow listening(const std::string& address, std::uint32_t netns) {
    const char* nobody = address.find(':') == std::string::npos ? "0.0.0.0" : "::";
    return tcp_flow(address, kPort, nobody, 0, netns);
}

abi_flow client(const std::string& to, std::uint32_t netns, const std::string& from = "10.0.0.9") {
    return tcp_flow(from, 40000, to, kPort, netns);
}

/// One conversation, seen by the socket of each end.
void add_met(Window& window, std::uint32_t client_netns, std::uint32_t server_netns,
             std::uint16_t port) {
    auto again = make<retransmit_event>();
    again.flow = tcp_flow("10.0.0.9", port, "10.0.0.2", kPort, client_netns);
    window.fold(bytes_of(again));
    auto answer = make<retransmit_event>();
    answer.flow = tcp_flow("10.0.0.2", kPort, "10.0.0.9", port, server_netns);
    answer.type = ABI_RETRANSMIT_SYNACK;
    window.fold(bytes_of(answer));
}

} // namespace

TEST_CASE("the one listener of an address is reached from every namespace", "[reach_test]") {
    const Window window;
    Reach reach(window);
    reach.add(listening("10.0.0.2", kBlue), 7);
    reach.meet();
    CHECK(reach.to(client("10.0.0.2", kHost), false) == 7);
    CHECK(reach.to(listening("10.0.0.2", kHost), true) == 7); // an answer of it, seen on its way
    CHECK_FALSE(reach.to(client("10.0.0.3", kHost), false));
}

TEST_CASE("of two namespaces with the same address each reaches its own, others none",
          "[reach_test]") {
    const Window window;
    Reach reach(window);
    reach.add(listening("10.0.0.2", kBlue), 0);
    reach.add(listening("10.0.0.2", kRed), 1);
    reach.meet();
    CHECK(reach.to(client("10.0.0.2", kBlue), false) == 0);
    CHECK(reach.to(client("10.0.0.2", kRed), false) == 1);
    CHECK_FALSE(reach.to(client("10.0.0.2", kHost), false));
}

TEST_CASE("conversations seen at both ends tell which of them is reached", "[reach_test]") {
    Window window;
    add_met(window, kHost, kRed, 30000);
    Reach reach(window);
    reach.add(listening("10.0.0.2", kBlue), 0);
    reach.add(listening("10.0.0.2", kRed), 1);
    reach.meet();
    CHECK(reach.to(client("10.0.0.2", kHost), false) == 1);
    CHECK_FALSE(reach.to(client("10.0.0.2", kHost + 1), false));
}

TEST_CASE("conversations with both of them tell nothing", "[reach_test]") {
    Window window;
    add_met(window, kHost, kRed, 30000);
    add_met(window, kHost, kBlue, 30001);
    Reach reach(window);
    reach.add(listening("10.0.0.2", kBlue), 0);
    reach.add(listening("10.0.0.2", kRed), 1);
    reach.meet();
    CHECK_FALSE(reach.to(client("10.0.0.2", kHost), false));
}

TEST_CASE("loopback and own addresses are not looked for elsewhere", "[reach_test]") {
    Window window;
    window.names.addresses[kHost] = {"127.0.0.1", "10.0.0.2"};
    Reach reach(window);
    for (const char* address : {"127.0.0.1", "::1", "10.0.0.2"})
        reach.add(listening(address, kBlue), 0);
    reach.meet();
    CHECK(reach.to(client("127.0.0.1", kBlue), false) == 0);
    CHECK_FALSE(reach.to(client("127.0.0.1", kHost), false));
    CHECK_FALSE(reach.to(client("::1", kHost, "::1"), false));
    CHECK_FALSE(reach.to(client("10.0.0.2", kHost), false)); // nobody listens on it there
    CHECK(reach.to(client("10.0.0.2", kRed), false) == 0);
}

TEST_CASE("a listener on every IPv4 address has none of IPv6, one of IPv6 has both",
          "[reach_test]") {
    Window window;
    window.names.addresses[kBlue] = window.names.addresses[kRed] = {"10.0.0.2", "fd00::2"};
    Reach four(window), six(window);
    four.add(listening("0.0.0.0", kBlue), 4);
    six.add(listening("::", kBlue), 6);
    CHECK(four.to(client("10.0.0.2", kHost), false) == 4);
    CHECK_FALSE(four.to(client("fd00::2", kHost, "fd00::9"), false));
    CHECK(six.to(client("10.0.0.2", kHost), false) == 6);
    CHECK(six.to(client("fd00::2", kHost, "fd00::9"), false) == 6);
}

TEST_CASE("repeats to a healthy container are not laid to its troubled twin", "[reach_test]") {
    Window window;
    window.from_ns = kSecondNs;
    window.to_ns = 11 * kSecondNs;
    window.names = fake_names();
    for (const std::uint32_t netns : {kBlue, kRed}) {
        auto total = make<listen_total>();
        total.flow = listening("10.0.0.2", netns);
        total.since_ns = netns;
        total.owner = process("server", netns == kBlue ? 41 : 42);
        total.sockets = 1;
        total.looks = 50;
        total.limit = 128;
        if (netns == kBlue) {
            total.looks_full = 45;
            total.depth = 129;
            total.drops = 60;
        }
        window.fold(bytes_of(total));
    }
    for (std::uint16_t i = 0; i < 20; i++) {
        auto again = make<retransmit_event>();
        again.flow = tcp_flow("10.0.0.9", static_cast<std::uint16_t>(30000 + i), "10.0.0.2", kPort);
        again.owner = process("client", 7);
        again.type = ABI_RETRANSMIT_SYN;
        again.segs = 1;
        window.fold(bytes_of(again));
    }
    const auto findings = test::readable_findings({window, std::span(&window, 1)});
    CHECK(std::ranges::count(findings, "listen-overflow", &Finding::id) == 1);
    CHECK(std::ranges::count(findings, "connect-timeout", &Finding::id) == 1);
}
