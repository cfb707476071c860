// SPDX-License-Identifier: MIT
// Are full receive buffers, closed UDP ports and corrupted packets named with the process or the
// peer, and are their healthy twins left in peace?
#include "support/catch.h"
#include "support/datagrams.h"
#include "support/finding.h"
#include "support/raw_packet.h"
#include "support/run.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr int kSmall = 20000;

/// A child that reads its socket at that address of its host with pauses; tells its port.
class Reader {
public:
    Reader(const Side& side, const std::string& host, const std::string& comm, int rcvbuf,
           int pause_us)
        : x_child(side.path(), comm,
                  [host, rcvbuf, pause_us](const Tell& tell) {
                      const UniqueFd fd = bind_udp(host, 0, rcvbuf);
                      tell(local_port(fd.get()));
                      for (std::vector<char> into(2048);; ::usleep(unsigned(pause_us)))
                          (void)!::recv(fd.get(), into.data(), into.size(), 0);
                      return 0;
                  }),
          x_port(static_cast<std::uint16_t>(x_child.number())) {}
    pid_t pid() const { return x_child.pid(); }
    std::uint16_t port() const { return x_port; }

private:
    Child x_child;
    std::uint16_t x_port;
};

/// A child that does this for some time between the first and the last look, and stays.
Child busy(const Side& side, const std::function<void()>& work, int pause_us) {
    constexpr double kSeconds = 2.2;
    return Child(side.path(), "ct-sender", [=](const Tell&) {
        for (const Deadline end(kSeconds); !end.passed(); ::usleep(unsigned(pause_us)))
            work();
        ::pause();
        return 0;
    });
}

/// Sends that many datagrams at once, pauses, and so on.
Child sender(const Side& side, const std::string& to, std::uint16_t port, std::size_t burst,
             int pause_us) {
    const auto fd = std::make_shared<UniqueFd>();
    return busy(
        side,
        [=, host = to.find(':') == std::string::npos ? side.v4 : side.v6] {
            if (!*fd)
                *fd = bind_udp(host);
            send_to(fd->get(), to, port, burst, 500);
        },
        pause_us);
}

std::optional<Json> in(const Json& verdict, const std::string& id, const Side& side) {
    return find_finding(verdict, id, about(side.inum()));
}

/// No finding of that namespace that would change the exit code.
void check_silent(const Json& verdict, const Side& side) {
    for (const Json& finding : verdict["findings"])
        if (finding["where"]["netns"] == side.inum()) {
            INFO(finding.dump(1));
            CHECK(finding["severity"] == "info");
        }
}

/// The verdict on a reader who is sent more than it reads.
Json overflow(const WiredNs& ns, const Reader& reader, const std::string& to) {
    Culprit culprit = diagnose({"--for", "4s"});
    culprit.wait_until_watching();
    const Child source = sender(ns.a, to, reader.port(), 10, 2000);
    return verdict_of(culprit);
}

/// The counter's row of that namespace leaves nothing, and counted something.
void check_exact(const Json& verdict, const std::string& counter, const Side& side) {
    for (const Json& row : verdict["reconciliation"])
        if (row["counter"] == counter && row["netns"] == side.inum()) {
            INFO(row.dump());
            CHECK(row["kernel"] > 0);
            CHECK(row["unexplained"] == 0);
            return;
        }
    FAIL("no row of " + counter);
}

} // namespace

TEST_CASE("a slow reader of UDP is named with what it lost, over IPv6 too", "[receive_test]") {
    const WiredNs ns;
    const bool v6 = GENERATE(false, true);
    const std::string from = v6 ? ns.a.v6 : ns.a.v4, to = v6 ? ns.b.v6 : ns.b.v4;
    const Reader reader(ns.b, to, "ct-slow", kSmall, 5000);
    const Json verdict = overflow(ns, reader, to);
    const auto found = in(verdict, "udp-rcvbuf-overflow", ns.b);
    INFO(verdict.dump(1));
    REQUIRE(found);
    CHECK(found->at("culprit")["pid"] == reader.pid());
    CHECK(found->at("severity") == "critical");
    CHECK(found->at("where")["local"] == end_text(to, reader.port()));
    CHECK(found->at("title").get<std::string>().find("too slowly") != std::string::npos);
    CHECK(evidence_of(*found).find("they come from " + from) != std::string::npos);
    CHECK_FALSE(in(verdict, "local-drop", ns.b));
    check_exact(verdict, v6 ? "Udp6.RcvbufErrors" : "Udp.RcvbufErrors", ns.b);
}

TEST_CASE("a stopped reader of UDP is said to be stopped", "[receive_test]") {
    const WiredNs ns;
    const Reader reader(ns.b, ns.b.v4, "ct-stopped", kSmall, 0);
    ::kill(reader.pid(), SIGSTOP);
    const Json verdict = overflow(ns, reader, ns.b.v4);
    const auto found = in(verdict, "udp-rcvbuf-overflow", ns.b);
    INFO(verdict.dump(1));
    REQUIRE(found);
    CHECK(found->at("culprit")["pid"] == reader.pid());
    CHECK(found->at("title").get<std::string>().find("is stopped") != std::string::npos);
}

TEST_CASE("bursts that fit the buffer are no fault", "[receive_test]") {
    const WiredNs ns;
    const Reader reader(ns.b, ns.b.v4, "ct-steady", 0, 0);
    Culprit culprit = diagnose({"--for", "3s"});
    culprit.wait_until_watching();
    const Child source = sender(ns.a, ns.b.v4, reader.port(), 40, 20000);
    check_silent(verdict_of(culprit), ns.b);
}

TEST_CASE("who goes on sending to a closed UDP port is named", "[receive_test]") {
    constexpr std::uint16_t kClosed = 8125;
    const WiredNs ns;
    Culprit culprit = diagnose({"--for", "4s"});
    culprit.wait_until_watching();
    const Child source = sender(ns.a, ns.b.v4, kClosed, 1, 10000);
    const Json verdict = verdict_of(culprit);
    const auto found = in(verdict, "udp-port-unreachable", ns.b);
    INFO(verdict.dump(1));
    REQUIRE(found);
    CHECK(found->at("severity") == "warning");
    CHECK(found->at("culprit")["pid"] == source.pid());
    CHECK(found->at("where")["local"] == end_text(ns.b.v4, kClosed));
    CHECK(found->at("where")["remote"] == ns.a.v4);
    check_exact(verdict, "Udp.NoPorts", ns.b);
}

TEST_CASE("an optional UDP endpoint that is tried now and then is no fault", "[receive_test]") {
    const WiredNs ns;
    Culprit culprit = diagnose({"--for", "4s"});
    culprit.wait_until_watching();
    const Child source = sender(ns.a, ns.b.v4, 8125, 1, 400000);
    check_silent(verdict_of(culprit), ns.b);
}

TEST_CASE("corrupted datagrams are told with device and peer", "[receive_test]") {
    const WiredNs ns;
    const Reader reader(ns.b, ns.b.v4, "ct-reader", 0, 0);
    Culprit culprit = diagnose({"--for", "4s"});
    culprit.wait_until_watching();
    const Child source = busy(
        ns.a, [&] { RawSender(ns.a.v4, ns.b.v4).send_corrupt_udp(1000, reader.port()); }, 5000);
    const Json verdict = verdict_of(culprit);
    const auto found = in(verdict, "csum-errors", ns.b);
    INFO(verdict.dump(1));
    REQUIRE(found);
    CHECK(found->at("severity") != "info");
    CHECK(found->at("where")["remote"] == ns.a.v4);
    CHECK(hurts(reader.pid())(*found));
    check_exact(verdict, "Udp.InCsumErrors", ns.b);
}

TEST_CASE("corrupted segments are told with device and peer", "[receive_test]") {
    const WiredNs ns;
    const Server server(ns.b, "ct-server", Serve::kEcho, ns.b.v4);
    Culprit culprit = diagnose({"--for", "4s"});
    culprit.wait_until_watching();
    const Child source = busy(
        ns.a, [&] { RawSender(ns.a.v4, ns.b.v4).send_corrupt_tcp(1000, server.port()); }, 5000);
    const Json verdict = verdict_of(culprit);
    const auto found = in(verdict, "csum-errors", ns.b);
    INFO(verdict.dump(1));
    REQUIRE(found);
    CHECK(found->at("where")["device"] == ns.b.device);
    CHECK(found->at("where")["remote"] == ns.a.v4);
    check_exact(verdict, "Tcp.InCsumErrors", ns.b);
}

TEST_CASE("a reader whose small TCP buffer is pruned is named", "[receive_test]") {
    const WiredNs ns;
    const Child reader(ns.b.path(), "ct-small", [&](const Tell& tell) {
        const UniqueFd listener = make_socket(ns.b.v4, SOCK_STREAM, kDeadlineSeconds);
        constexpr int kTiny = 8192;
        ::setsockopt(listener.get(), SOL_SOCKET, SO_RCVBUF, &kTiny, sizeof(kTiny));
        const Address at = address_of(ns.b.v4, 0);
        must(::bind(listener.get(), at.get(), at.size) == 0 && ::listen(listener.get(), 1) == 0,
             "listen");
        tell(local_port(listener.get()));
        const UniqueFd fd(::accept(listener.get(), nullptr, nullptr));
        for (char into[100];; ::usleep(20000))
            (void)!::recv(fd.get(), into, sizeof(into), 0);
        return 0;
    });
    const auto port = static_cast<std::uint16_t>(reader.number());
    Culprit culprit = diagnose({"--for", "4s"});
    culprit.wait_until_watching();
    const Child source(ns.a.path(), "ct-sender", [&](const Tell&) {
        const UniqueFd fd = connect_to(ns.b.v4, port);
        const int now = 1;
        ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &now, sizeof(now));
        for (;; ::usleep(200))
            (void)!::send(fd.get(), "0123456789", 10, MSG_NOSIGNAL);
        return 0;
    });
    const Json verdict = verdict_of(culprit);
    INFO(verdict.dump(1));
    const auto found = in(verdict, "rcvbuf-prune", ns.b);
    REQUIRE(found);
    CHECK(found->at("culprit")["pid"] == reader.pid());
}
