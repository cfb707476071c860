// SPDX-License-Identifier: MIT
// Are egress queues that overflow or delay found, with who fills them and who suffers, and are busy
// but healthy ones left alone?
#include "support/catch.h"
#include "support/finding.h"
#include "support/traffic.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr std::uint16_t kNobody = 4444;

void shape(const Side& side, const std::string& tbf) {
    if (side.try_shell("tc qdisc add dev " + side.device + " root " + tbf) != 0)
        skip("this kernel has no such qdisc: " + tbf);
}

/// Sends as fast as TCP lets it, over several connections, until it is killed.
int fill(const std::string& host, std::uint16_t port, int connections) {
    std::vector<UniqueFd> fds;
    for (int i = 0; i < connections; i++) {
        fds.push_back(connect_to(host, port));
        ::setsockopt(fds.back().get(), IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
        ::fcntl(fds.back().get(), F_SETFL, O_NONBLOCK);
    }
    const std::vector<char> zeros(65536);
    for (;;) {
        std::vector<pollfd> ready;
        for (const UniqueFd& fd : fds)
            ready.push_back({fd.get(), POLLOUT, 0});
        must(::poll(ready.data(), ready.size(), -1) > 0, "wait for room");
        for (const pollfd& one : ready)
            if (one.revents)
                ::send(one.fd, zeros.data(), zeros.size(), MSG_NOSIGNAL);
    }
}

/// Datagrams as fast as the socket takes them, until it is killed.
int flood(const std::string& host) {
    send_udp(host, kNobody, ~0UL, 1000);
    return 0;
}

/// A question of some packets and its answer, again and again, until it is killed.
int talk(const std::string& host, std::uint16_t port) {
    constexpr std::size_t kBytes = 3000;
    const UniqueFd fd = connect_to(host, port, 60);
    for (;;) {
        send_bytes(fd.get(), kBytes);
        receive_bytes(fd.get(), kBytes);
        pause_ms(5);
    }
}

/// Findings of these namespaces that make a verdict unhealthy.
std::vector<std::string> loud(const Json& verdict, const TwoNs& ns) {
    std::vector<std::string> ids;
    for (const Json& finding : verdict["findings"])
        if (finding["severity"] != "info" &&
            (about(ns.a.inum())(finding) || about(ns.b.inum())(finding)))
            ids.push_back(finding["id"]);
    return ids;
}

/// The queue's own count against the drops seen.
void check_reconciled(const Json& verdict, const Side& side) {
    for (const Json& row : verdict["reconciliation"])
        if (row["netns"] == side.inum() &&
            row["counter"].get<std::string>().starts_with("qdisc drops")) {
            INFO(row.dump());
            const double kernel = row["kernel"], unexplained = row["unexplained"];
            CHECK(std::abs(unexplained) <= 0.02 * kernel + 20);
            CHECK((unexplained == 0 || !row["note"].get<std::string>().empty()));
            return;
        }
    FAIL("the queue's drops are not reconciled: " << verdict["reconciliation"].dump());
}

} // namespace

TEST_CASE("bulk traffic that overflows a short queue is to blame, and its neighbour suffers",
          "[queue_findings_test]") {
    const WiredNs ns;
    const Server sink(ns.b, "ct-sink", Serve::kSink, ns.b.v4);
    const Server echo(ns.b, "ct-echo", Serve::kEcho, ns.b.v4);
    shape(ns.a, "tbf rate 20mbit burst 10kb limit 20kb");
    const Child hog(ns.a.path(), "ct-backup",
                    [&](const Tell&) { return fill(ns.b.v4, sink.port(), 4); });
    const Child shop(ns.a.path(), "ct-shop",
                     [&](const Tell&) { return talk(ns.b.v4, echo.port()); });
    Culprit culprit = diagnose({"--for", "6s"});
    const Json verdict = verdict_of(culprit);
    const auto finding = find_finding(verdict, "qdisc-drop", about(ns.a.inum()));
    INFO(verdict["findings"].dump(1));
    REQUIRE(finding);
    CHECK(blames(hog.pid())(*finding));
    CHECK(hurts(shop.pid())(*finding));
    CHECK_FALSE(hurts(hog.pid())(*finding));
    CHECK(finding->at("severity") == "critical");
    CHECK(finding->at("where")["device"] == ns.a.device);
    CHECK(finding->at("title").get<std::string>().find("(tbf ") != std::string::npos);
    CHECK(evidence_of(*finding).find("limited to 20 KB at 20 Mbit/s") != std::string::npos);
    CHECK_FALSE(find_finding(verdict, "packet-loss", about(ns.a.inum())));
    check_reconciled(verdict, ns.a);
}

TEST_CASE("a flood of datagrams both overflows a queue and makes its neighbour wait",
          "[queue_findings_test]") {
    const WiredNs ns;
    const Server echo(ns.b, "ct-echo", Serve::kEcho, ns.b.v4);
    shape(ns.a, "tbf rate 2mbit burst 5kb limit 60kb");
    const Child hog(ns.a.path(), "ct-flood", [&](const Tell&) { return flood(ns.b.v4); });
    const Child shop(ns.a.path(), "ct-shop",
                     [&](const Tell&) { return talk(ns.b.v4, echo.port()); });
    Culprit culprit = diagnose({"--for", "6s"});
    const Json verdict = verdict_of(culprit);
    INFO(verdict["findings"].dump(1));
    for (const char* id : {"qdisc-drop", "qdisc-latency"}) {
        const auto finding = find_finding(verdict, id, about(ns.a.inum()));
        REQUIRE(finding);
        CHECK(blames(hog.pid())(*finding));
        CHECK(finding->at("severity") != "info");
        CHECK(finding->at("where")["device"] == ns.a.device);
    }
    check_reconciled(verdict, ns.a);
}

TEST_CASE("bulk traffic that fills a long queue makes its neighbour wait",
          "[queue_findings_test]") {
    const WiredNs ns;
    const Server sink(ns.b, "ct-sink", Serve::kSink, ns.b.v4);
    const Server echo(ns.b, "ct-echo", Serve::kEcho, ns.b.v4);
    shape(ns.a, "tbf rate 10mbit burst 10kb limit 1000kb");
    const Child hog(ns.a.path(), "ct-backup",
                    [&](const Tell&) { return fill(ns.b.v4, sink.port(), 12); });
    const Child shop(ns.a.path(), "ct-shop",
                     [&](const Tell&) { return talk(ns.b.v4, echo.port()); });
    Culprit culprit = diagnose({"--for", "6s"});
    const Json verdict = verdict_of(culprit);
    INFO(verdict["findings"].dump(1));
    const auto finding = find_finding(verdict, "qdisc-latency", about(ns.a.inum()));
    REQUIRE(finding);
    CHECK(blames(hog.pid())(*finding));
    CHECK(hurts(shop.pid())(*finding));
    CHECK(finding->at("severity") != "info");
    CHECK(finding->at("where")["device"] == ns.a.device);
    CHECK(loud(verdict, ns) == std::vector<std::string>{"qdisc-latency"});
}

TEST_CASE("the queue of a class is named, not only the root above it", "[queue_findings_test]") {
    const WiredNs ns;
    const Server sink(ns.b, "ct-sink", Serve::kSink, ns.b.v4);
    shape(ns.a, "handle 1: htb default 10");
    ns.a.shell(fmt::format("tc class add dev {0} parent 1: classid 1:10 htb rate 10mbit && "
                           "tc qdisc add dev {0} parent 1:10 handle 10: pfifo limit 3",
                           ns.a.device));
    const Child hog(ns.a.path(), "ct-backup",
                    [&](const Tell&) { return fill(ns.b.v4, sink.port(), 8); });
    Culprit culprit = diagnose({"--for", "5s"});
    const Json verdict = verdict_of(culprit);
    INFO(verdict["findings"].dump(1));
    const auto finding = find_finding(verdict, "qdisc-drop", about(ns.a.inum()));
    REQUIRE(finding);
    CHECK(blames(hog.pid())(*finding));
    CHECK(finding->at("title").get<std::string>().find("pfifo 10: below 1:10") !=
          std::string::npos);
    CHECK(evidence_of(*finding).find("limited to 3 packets") != std::string::npos);
}

TEST_CASE("a packet that is forwarded is its sender's, in whatever namespace that lives",
          "[queue_findings_test]") {
    const WiredNs ns;
    // a third namespace behind b: b forwards
    const Side c("side-c");
    ns.b.shell(fmt::format("ip link add to-c type veth peer name to-b netns {} && "
                           "ip link set to-c up && ip addr add 203.0.113.1/30 dev to-c && "
                           "sysctl -w net.ipv4.ip_forward=1",
                           c.holder()));
    c.shell(fmt::format("ip link set lo up && ip link set to-b up && "
                        "ip addr add 203.0.113.2/30 dev to-b && ip route add {} via 203.0.113.1",
                        ns.a.v4));
    ns.a.shell(fmt::format("ip route add 203.0.113.0/30 via {}", ns.b.v4));
    if (ns.b.try_shell("tc qdisc add dev to-c root tbf rate 10mbit burst 10kb limit 500kb") != 0)
        skip("this kernel has no tbf qdisc");
    const Server sink(c, "ct-sink", Serve::kSink, "203.0.113.2");
    const Server echo(c, "ct-echo", Serve::kEcho, "203.0.113.2");
    const Child hog(ns.a.path(), "ct-backup",
                    [&](const Tell&) { return fill("203.0.113.2", sink.port(), 4); });
    const Child shop(ns.a.path(), "ct-shop",
                     [&](const Tell&) { return talk("203.0.113.2", echo.port()); });
    Culprit culprit = diagnose({"--for", "6s"});
    const Json verdict = verdict_of(culprit);
    INFO(verdict["findings"].dump(1));
    const auto finding = find_finding(verdict, "qdisc-latency", about(ns.b.inum()));
    REQUIRE(finding);
    CHECK(blames(hog.pid())(*finding));
    CHECK(hurts(shop.pid())(*finding));
    CHECK(finding->at("where")["device"] == "to-c");
}

TEST_CASE("bulk traffic through a queue that keeps up is healthy", "[queue_findings_test]") {
    const WiredNs ns;
    const Server sink(ns.b, "ct-sink", Serve::kSink, ns.b.v4);
    shape(ns.a, "pfifo limit 1000");
    const Child bulk(ns.a.path(), "ct-bulk",
                     [&](const Tell&) { return fill(ns.b.v4, sink.port(), 2); });
    Culprit culprit = diagnose({"--for", "4s"});
    const Json verdict = verdict_of(culprit);
    INFO(verdict["findings"].dump(1));
    CHECK(loud(verdict, ns).empty());
}

TEST_CASE("one connection that fills its shaper alone is healthy", "[queue_findings_test]") {
    const WiredNs ns;
    const Server sink(ns.b, "ct-sink", Serve::kSink, ns.b.v4);
    shape(ns.a, "tbf rate 50mbit burst 20kb limit 200kb");
    const Child bulk(ns.a.path(), "ct-bulk",
                     [&](const Tell&) { return fill(ns.b.v4, sink.port(), 1); });
    Culprit culprit = diagnose({"--for", "4s"});
    const Json verdict = verdict_of(culprit);
    INFO(verdict["findings"].dump(1));
    CHECK(loud(verdict, ns).empty());
}

TEST_CASE("a paced sender below the rate, and a burst now and then, are healthy",
          "[queue_findings_test]") {
    const WiredNs ns;
    const Server sink(ns.b, "ct-sink", Serve::kSink, ns.b.v4);
    shape(ns.a, "tbf rate 10mbit burst 10kb limit 100kb");
    const Child paced(ns.a.path(), "ct-paced", [&](const Tell&) {
        const UniqueFd fd = connect_to(ns.b.v4, sink.port());
        for (;;) {
            send_bytes(fd.get(), 4000);
            pause_ms(10);
        }
        return 0;
    });
    const Child bursts(ns.a.path(), "ct-bursts", [&](const Tell&) {
        const UniqueFd fd = connect_to(ns.b.v4, sink.port());
        for (;;) {
            send_bytes(fd.get(), 30000);
            pause_ms(500);
        }
        return 0;
    });
    Culprit culprit = diagnose({"--for", "4s"});
    const Json verdict = verdict_of(culprit);
    INFO(verdict["findings"].dump(1));
    CHECK(loud(verdict, ns).empty());
}
