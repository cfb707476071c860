// SPDX-License-Identifier: MIT
// Is each lookup that finds no way counted for its caller, and none that does?
#include "abi/route.h"
#include "support/catch.h"
#include "support/finding.h"
#include "support/saved.h"
#include "support/traffic.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr std::uint16_t kPort = 443;
constexpr const char* kNowhere4 = "203.0.113.7"; // RFC 5737
constexpr const char* kNowhere6 = "2001:db8::7";

std::uint64_t failures(const Window& window, const Side& side, std::uint32_t error) {
    std::uint64_t failed = 0;
    for (const auto& [row, info] : window.rows<route_total>(ABI_ROUTE_TOTAL))
        if (row.flow.netns == side.inum() && (!error || row.error == error))
            failed += row.failed;
    return failed;
}

/// Calls of a process of that side while culprit watches.
template <typename Work>
Window watched(const TwoNs& ns, const Work& work) {
    const SaveFile save;
    Culprit culprit = diagnose({"--for", "2s", "--save", save.path(), "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    Child caller(ns.a.path(), "ct-caller", [&](const Tell&) {
        work();
        return 0;
    });
    CHECK(caller.wait() == 0);
    culprit.wait();
    return save.total();
}

int send_to(const std::string& host, std::uint16_t port) {
    const UniqueFd fd = make_socket(host, SOCK_DGRAM, 1);
    const Address to = address_of(host, port);
    return ::sendto(fd.get(), "x", 1, 0, to.get(), to.size) < 0 ? errno : 0;
}

int send_message_to(const std::string& host, std::uint16_t port) {
    const UniqueFd fd = make_socket(host, SOCK_DGRAM, 1);
    Address to = address_of(host, port);
    char byte = 'x';
    iovec part = {&byte, 1};
    msghdr message{};
    message.msg_name = &to.bytes;
    message.msg_namelen = to.size;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    return ::sendmsg(fd.get(), &message, 0) < 0 ? errno : 0;
}

} // namespace

TEST_CASE("connect() without a route is an event with its caller", "[route_test]") {
    const WiredNs ns;
    Culprit culprit = watch({"route", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    Child caller(ns.a.path(), "ct-caller", [&](const Tell&) {
        return try_connect(kNowhere4, kPort, 1) == ENETUNREACH ? 0 : 1;
    });
    CHECK(caller.wait() == 0);
    const Json event = culprit.await(is("route")).at(0);
    CHECK(culprit.stop() == 0);
    INFO(event.dump());
    CHECK(event["remote"] == end_text(kNowhere4, kPort));
    CHECK(event["netns"] == ns.a.inum());
    CHECK(event["error"] == "ENETUNREACH");
    CHECK(event["via"] == "connect");
    CHECK(event["pid"] == caller.pid());
    CHECK(event["comm"] == "ct-caller");
    CHECK(event["provenance"] == "creator");
}

TEST_CASE("every failed call is counted once, IPv6 too", "[route_test]") {
    constexpr int kCalls = 40;
    const WiredNs ns;
    const Window window = watched(ns, [] {
        for (int i = 0; i < kCalls; i++) {
            try_connect(kNowhere4, kPort, 1);
            try_connect(kNowhere6, kPort, 1);
            send_to(kNowhere4, 53);
            send_message_to(kNowhere6, 53);
        }
    });
    std::map<std::tuple<int, int, unsigned>, std::uint64_t> counted; // family, protocol, via
    for (const auto& [row, info] : window.rows<route_total>(ABI_ROUTE_TOTAL)) {
        CHECK(row.error == ENETUNREACH);
        CHECK(std::string(row.owner.comm) == "ct-caller");
        counted[{row.flow.family, row.flow.protocol, row.via}] += row.failed;
    }
    CHECK(counted[{AF_INET, IPPROTO_TCP, ABI_ROUTE_CONNECT}] == kCalls);
    CHECK(counted[{AF_INET6, IPPROTO_TCP, ABI_ROUTE_CONNECT}] == kCalls);
    CHECK(counted[{AF_INET, IPPROTO_UDP, ABI_ROUTE_SEND}] == kCalls);
    CHECK(counted[{AF_INET6, IPPROTO_UDP, ABI_ROUTE_SEND}] == kCalls);
    CHECK(window.counters.at(ns.a.inum()).growth[counter("Ip.OutNoRoutes")] == 2 * kCalls);
}

TEST_CASE("routes that refuse are told apart by their answer", "[route_test]") {
    const WiredNs ns;
    ns.a.shell("ip route add blackhole 203.0.113.1 && ip route add unreachable 203.0.113.2 && "
               "ip route add prohibit 203.0.113.3 && ip -6 route add blackhole 2001:db8::1 && "
               "ip -6 route add unreachable 2001:db8::2 && ip -6 route add prohibit 2001:db8::3");
    const Window window = watched(ns, [] {
        for (const char* net : {"203.0.113.", "2001:db8::"})
            for (const char* last : {"1", "2", "3"})
                try_connect(net + std::string(last), kPort, 1);
    });
    for (const std::uint32_t error : {EINVAL, EHOSTUNREACH, EACCES})
        CHECK(failures(window, ns.a, error) == 2);
    const auto routing = window.names.routing.find(ns.a.inum());
    REQUIRE(routing != window.names.routing.end());
    std::set<std::string> refusals;
    for (const Refusal& refusal : routing->second.refusals)
        refusals.insert(refusal_text(refusal));
    CHECK(refusals.contains("blackhole route 203.0.113.1/32 in table 254"));
    CHECK(refusals.contains("prohibit route 2001:db8::3/128 in table 254"));
}

TEST_CASE("a table without an answer is no failure when a later one has it", "[route_test]") {
    const WiredNs ns;
    const Server echo(ns.b, "ct-echo", Serve::kEcho, ns.b.v4);
    ns.a.shell("ip route add 203.0.113.0/24 dev to-b table 100 && "
               "ip rule add pref 100 lookup 100 && ip rule add pref 50 to 203.0.113.9 prohibit && "
               "ip -6 rule add pref 100 lookup 100");
    const Window window = watched(ns, [&] {
        short_connections(ns.b.v4, echo.port(), 200);
        for (int i = 0; i < 20; i++) {
            send_to(ns.b.v4, 9);
            try_connect("203.0.113.9", kPort, 1); // the rule refuses
            try_connect("203.0.114.1", kPort, 1); // no table knows it
            try_connect(kNowhere6, kPort, 1);
        }
    });
    std::map<std::string, std::uint64_t> counted;
    for (const auto& [row, info] : window.rows<route_total>(ABI_ROUTE_TOTAL)) {
        char text[INET6_ADDRSTRLEN] = "";
        ::inet_ntop(row.flow.family, row.flow.remote, text, sizeof(text));
        counted[text] += row.failed;
    }
    CHECK(counted == std::map<std::string, std::uint64_t>{
                         {"203.0.113.9", 20}, {"203.0.114.1", 20}, {kNowhere6, 20}});
}

TEST_CASE("calls that find a way are no events", "[route_test]") {
    const WiredNs ns;
    const Server echo(ns.b, "ct-echo", Serve::kEcho, ns.b.v4);
    const Window window = watched(ns, [&] {
        short_connections(ns.b.v4, echo.port(), 100);
        send_udp(ns.b.v4, 9, 100, 100);
        // bound to a device nothing needs a route: the destination is on the link
        const UniqueFd fd = make_socket(kNowhere4, SOCK_DGRAM, 1);
        const Address to = address_of(kNowhere4, kPort);
        must(::setsockopt(fd.get(), SOL_SOCKET, SO_BINDTODEVICE, "to-b", 5) == 0, "bind");
        must(::connect(fd.get(), to.get(), to.size) == 0, "connect on the link");
    });
    CHECK(failures(window, ns.a, 0) == 0);
}

TEST_CASE("lookups that nobody called for have no caller", "[route_test]") {
    const WiredNs ns;
    // a busy process, and questions about a route beside it
    const Window window = watched(ns, [] {
        for (int i = 0; i < 20; i++)
            (void)!::system("ip route get 203.0.113.7 >/dev/null 2>&1");
    });
    CHECK(failures(window, ns.a, 0) == 0);
}
