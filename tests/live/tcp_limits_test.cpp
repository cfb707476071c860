// SPDX-License-Identifier: MIT
// Are readers and buffers that hold TCP connections back named, and steady ones left in peace?
#include "support/catch.h"
#include "support/finding.h"
#include "support/run.h"
#include "support/tun_wire.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr unsigned kFarUs = 20'000; // each way
constexpr double kRunSeconds = 9;   // longer than culprit watches

void set_buffer(int fd, int option, int bytes) {
    must(!bytes || ::setsockopt(fd, SOL_SOCKET, option, &bytes, sizeof(bytes)) == 0,
         "set a buffer");
}

/// A server that reads what one client sends, so much at a time, or nothing.
class Taker {
public:
    Taker(const Side& side, const std::string& comm, std::size_t piece, int pause_us,
          int rcvbuf = 0)
        : x_child(side.path(), comm,
                  [=, host = side.v4](const Tell& tell) {
                      const UniqueFd listener = make_socket(host, SOCK_STREAM, kDeadlineSeconds);
                      set_buffer(listener.get(), SO_RCVBUF, rcvbuf);
                      const Address at = address_of(host, 0);
                      must(::bind(listener.get(), at.get(), at.size) == 0 &&
                               ::listen(listener.get(), 8) == 0,
                           "listen");
                      tell(local_port(listener.get()));
                      const UniqueFd fd(::accept(listener.get(), nullptr, nullptr));
                      for (std::vector<char> into(65536);; ::usleep(unsigned(pause_us)))
                          if (piece)
                              (void)!::recv(fd.get(), into.data(), piece, 0);
                      return 0;
                  }),
          x_port(static_cast<std::uint16_t>(x_child.number())) {}
    pid_t pid() const { return x_child.pid(); }
    std::uint16_t port() const { return x_port; }

private:
    Child x_child;
    std::uint16_t x_port;
};

/// Sends as fast as it may.
Child pusher(const Side& side, const std::string& to, std::uint16_t port, int sndbuf = 0) {
    return Child(side.path(), "ct-pusher", [=](const Tell&) {
        const UniqueFd fd = make_socket(to, SOCK_STREAM, kDeadlineSeconds);
        set_buffer(fd.get(), SO_SNDBUF, sndbuf);
        const Address at = address_of(to, port);
        must(::connect(fd.get(), at.get(), at.size) == 0, "connect");
        for (const Deadline end(kRunSeconds); !end.passed();)
            send_bytes(fd.get(), 16384);
        return 0;
    });
}

} // namespace

TEST_CASE("a server that does not read is named once, its client waits", "[tcp_limits_test]") {
    const WiredNs ns;
    const Taker still(ns.b, "ct-still", 0, 100'000);
    Culprit culprit = diagnose({"--for", "7s"});
    culprit.wait_until_watching();
    const Child client = pusher(ns.a, ns.b.v4, still.port());
    CHECK(culprit.wait() == 3);
    const Json verdict = Json::parse(culprit.out());
    INFO(verdict.dump(1).substr(0, 9000));
    const auto found = find_finding(verdict, "zero-window", blames(still.pid()));
    REQUIRE(found);
    CHECK((*found)["severity"] != "info");
    CHECK((*found)["where"]["local"] == end_text(ns.b.v4, still.port()));
    CHECK(hurts(client.pid())(*found));
    CHECK_FALSE(find_finding(verdict, "zero-window", about(ns.a.inum())));
    CHECK_FALSE(find_finding(verdict, "packet-loss", hurts(client.pid())));
    CHECK_FALSE(find_finding(verdict, "receiver-limited", blames(still.pid())));
}

TEST_CASE("a stopped reader is said to be stopped, and who waits for it", "[tcp_limits_test]") {
    const WiredNs ns;
    const Taker sink(ns.b, "ct-stopped", 65536, 0);
    Culprit culprit = diagnose({"--for", "7s"});
    culprit.wait_until_watching();
    const Child client = pusher(ns.a, ns.b.v4, sink.port());
    pause_ms(500);
    ::kill(sink.pid(), SIGSTOP);
    const Json verdict = verdict_of(culprit);
    INFO(verdict.dump(1).substr(0, 9000));
    const auto found = find_finding(verdict, "app-hang", blames(sink.pid()));
    REQUIRE(found);
    CHECK((*found)["title"].get<std::string>().find("is stopped") != std::string::npos);
    CHECK((*found)["severity"] == "critical");
    CHECK(hurts(client.pid())(*found));
    CHECK_FALSE(find_finding(verdict, "zero-window", blames(sink.pid())));
}

TEST_CASE("a server that reads slowly what clients push is named", "[tcp_limits_test]") {
    const WiredNs ns;
    const Taker slow(ns.b, "ct-slow", 4000, 100'000);
    Culprit culprit = diagnose({"--for", "7s"});
    culprit.wait_until_watching();
    const Child client = pusher(ns.a, ns.b.v4, slow.port());
    const Json verdict = verdict_of(culprit);
    INFO(verdict.dump(1).substr(0, 9000));
    const auto limited = find_finding(verdict, "receiver-limited", blames(slow.pid()));
    const auto closed = find_finding(verdict, "zero-window", blames(slow.pid()));
    REQUIRE((limited || closed));
    CHECK_FALSE((limited && closed));
    const Json& found = limited ? *limited : *closed;
    CHECK(found["severity"] != "info");
    CHECK(hurts(client.pid())(found));
}

TEST_CASE("a player that takes its stream at its own rate is healthy", "[tcp_limits_test]") {
    const WiredNs ns;
    const Child media(ns.b.path(), "ct-media", [&](const Tell& tell) {
        const UniqueFd listener = make_socket(ns.b.v4, SOCK_STREAM, kDeadlineSeconds);
        const Address at = address_of(ns.b.v4, 0);
        must(::bind(listener.get(), at.get(), at.size) == 0 && ::listen(listener.get(), 1) == 0,
             "listen");
        tell(local_port(listener.get()));
        const UniqueFd fd(::accept(listener.get(), nullptr, nullptr));
        for (;;)
            send_bytes(fd.get(), 65536);
        return 0;
    });
    const auto port = static_cast<std::uint16_t>(media.number());
    Culprit culprit = diagnose({"--for", "6s"});
    culprit.wait_until_watching();
    const Child player(ns.a.path(), "ct-player", [&](const Tell&) {
        const UniqueFd fd = connect_to(ns.b.v4, port);
        for (;; pause_ms(100))
            receive_bytes(fd.get(), 65536);
        return 0;
    });
    check_silent(verdict_of(culprit), ns);
}

TEST_CASE("a receive buffer set too small for its path is named", "[tcp_limits_test]") {
    if (!tun_possible())
        skip("there is no /dev/net/tun to make a long path with");
    const TwoNs ns(TwoNs::Wire::kNone);
    const PathWire wire(ns, kFarUs);
    const Taker small(ns.b, "ct-small", 65536, 0, 10'000);
    Culprit culprit = diagnose({"--for", "7s"});
    culprit.wait_until_watching();
    const Child client = pusher(ns.a, ns.b.v4, small.port());
    const Json verdict = verdict_of(culprit);
    INFO(verdict.dump(1).substr(0, 9000));
    const auto found = find_finding(verdict, "bdp-limited", blames(small.pid()));
    REQUIRE(found);
    CHECK((*found)["severity"] == "warning");
    CHECK(hurts(client.pid())(*found));
    CHECK_FALSE(find_finding(verdict, "receiver-limited", blames(small.pid())));
}

TEST_CASE("a send buffer set too small for its path is named", "[tcp_limits_test]") {
    if (!tun_possible())
        skip("there is no /dev/net/tun to make a long path with");
    const TwoNs ns(TwoNs::Wire::kNone);
    const PathWire wire(ns, kFarUs);
    const Taker sink(ns.b, "ct-sink", 65536, 0);
    Culprit culprit = diagnose({"--for", "7s"});
    culprit.wait_until_watching();
    const Child client = pusher(ns.a, ns.b.v4, sink.port(), 20'000);
    const Json verdict = verdict_of(culprit);
    INFO(verdict.dump(1).substr(0, 9000));
    const auto found = find_finding(verdict, "sndbuf-limited", blames(client.pid()));
    REQUIRE(found);
    CHECK((*found)["severity"] == "warning");
}

TEST_CASE("a long path with buffers that fit is healthy", "[tcp_limits_test]") {
    if (!tun_possible())
        skip("there is no /dev/net/tun to make a long path with");
    const TwoNs ns(TwoNs::Wire::kNone);
    const PathWire wire(ns, 60'000);
    const Taker sink(ns.b, "ct-sink", 65536, 0);
    Culprit culprit = diagnose({"--for", "7s"});
    culprit.wait_until_watching();
    const Child client(ns.a.path(), "ct-steady", [&](const Tell&) {
        const UniqueFd fd = connect_to(ns.b.v4, sink.port());
        for (const Deadline end(kRunSeconds); !end.passed(); pause_ms(20))
            send_bytes(fd.get(), 10'000);
        return 0;
    });
    check_silent(verdict_of(culprit), ns);
}
