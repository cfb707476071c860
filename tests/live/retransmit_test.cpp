// SPDX-License-Identifier: MIT
// Do retransmit records tell what was sent again, why and by whom, and do they add up?
#include <set>

#include "support/catch.h"
#include "support/run.h"
#include "support/traffic.h"
#include "support/witness.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr std::uint64_t kTrain = 45; // segments of 1448 bytes in a GSO packet

std::uint64_t segments(const Culprit& culprit) {
    std::uint64_t sum = 0;
    for (const Json& event : culprit.events(is("retransmit")))
        sum += event["segs"].get<std::uint64_t>();
    return sum;
}

/// What the kernel says left that namespace again.
std::uint64_t sent_again(const Side& side, const Counters& before) {
    const Counters grew = growth(side.counters(), before);
    return grew[counter("Tcp.RetransSegs")] - grew[counter("TcpExt.TCPRetransFail")];
}

} // namespace

TEST_CASE("lost data is sent again, by fast retransmit or timer, and adds up",
          "[retransmit_test]") {
    const WiredNs ns;
    const Server server(ns.b, "ct-sink", Serve::kSink, ns.b.v4);
    ns.b.nft("input", fmt::format("tcp dport {} numgen inc mod 20 == 7 drop", server.port()));
    const Witness witness("tcp/tcp_retransmit_skb", fmt::format("dport == {}", server.port()));
    Culprit culprit = watch({"retransmit", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    const Counters before = ns.a.counters();
    Child client(ns.a.path(), "ct-bulk", [&](const Tell&) {
        bulk_for(ns.b.v4, server.port(), 2);
        return 0;
    });
    REQUIRE(client.wait() == 0);
    const std::uint64_t expected = sent_again(ns.a, before);
    CHECK(expected > 0);
    // a firing of the hook that no program was run for is a train of at most 64 KiB
    const auto skipped = [&] { return witness.skipped(culprit.events(is("retransmit")).size()); };
    CHECK(eventually([&] { return segments(culprit) + skipped() * kTrain >= expected; }));
    CHECK(culprit.stop() == 0);
    INFO(segments(culprit) << " segments in events, " << expected << " counted, " << skipped()
                           << " firings skipped");
    CHECK(segments(culprit) <= expected);
    CHECK(segments(culprit) + skipped() * kTrain >= expected);
    const std::set<std::string> known = {"fast", "rto", "tlp"};
    for (const Json& event : culprit.events(is("retransmit"))) {
        INFO(event.dump());
        CHECK(known.contains(event["type"]));
        CHECK(event["pid"] == client.pid());
        CHECK(event["comm"] == "ct-bulk");
        CHECK(event["remote"] == end_text(ns.b.v4, server.port()));
        CHECK(event["seq"] > 0);
    }
}

TEST_CASE("a segment that never arrives is probed and then sent by the timer",
          "[retransmit_test]") {
    const WiredNs ns;
    const Server server(ns.b, "ct-echo", Serve::kEcho, ns.b.v4);
    ns.b.nft("input", fmt::format("tcp dport {} meta length > 100 drop", server.port()));
    Culprit culprit = watch({"retransmit", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    Child client(ns.a.path(), "ct-tail", [&](const Tell&) {
        UniqueFd fd = connect_to(ns.b.v4, server.port());
        send_bytes(fd.get(), 500);
        receive_bytes(fd.get(), 500);
        close_gracefully(std::move(fd));
        return 0;
    });
    const auto by_timer = [](const Json& e) {
        return e["kind"] == "retransmit" && e["type"] == "rto";
    };
    const Json first = culprit.await(by_timer).at(0);
    ns.b.nft_clear();
    CHECK(client.wait() == 0);
    CHECK(first["segs"] == 1);
    CHECK(first["bytes"] == 500);
    CHECK(first["tcp_state"] == "ESTABLISHED");
    for (const Json& event : culprit.events(is("retransmit")))
        CHECK(event["seq"] == first["seq"]);
}

TEST_CASE("a SYN without answer is sent again by its process", "[retransmit_test]") {
    const WiredNs ns;
    ns.b.nft("input", "tcp flags syn drop");
    Culprit culprit = watch({"retransmit", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    const Counters before = ns.a.counters();
    Child client(ns.a.path(), "ct-syn", [&](const Tell&) { return try_connect(ns.b.v4, 80, 1.5); });
    const Json event = culprit.await(is("retransmit")).at(0);
    CHECK(client.wait() == EINPROGRESS);
    CHECK(event["type"] == "syn");
    CHECK(event["segs"] == 1);
    CHECK(event["tcp_state"] == "SYN_SENT");
    CHECK(event["pid"] == client.pid());
    CHECK(event["remote"] == end_text(ns.b.v4, 80));
    const std::uint64_t expected = sent_again(ns.a, before);
    CHECK(eventually([&] { return segments(culprit) == expected; }));
}

TEST_CASE("a SYN-ACK without answer is sent again by the listening process", "[retransmit_test]") {
    const WiredNs ns;
    const Server server(ns.b, "ct-listener", Serve::kEcho, ns.b.v4);
    ns.a.nft("input", fmt::format("tcp sport {} drop", server.port()));
    Culprit culprit = watch({"retransmit", "--netns", ns.b.netns()});
    culprit.wait_until_watching();
    const Counters before = ns.b.counters();
    Child client(ns.a.path(), "ct-syn",
                 [&](const Tell&) { return try_connect(ns.b.v4, server.port(), 1.5); });
    const Json event = culprit.await(is("retransmit")).at(0);
    CHECK(client.wait() == EINPROGRESS);
    CHECK(event["type"] == "syn-ack");
    CHECK(event["segs"] == 1);
    CHECK(event["pid"] == server.pid());
    CHECK(event["comm"] == "ct-listener");
    CHECK(event["local"] == end_text(ns.b.v4, server.port()));
    // the request lives on and its timer may fire between the two looks
    CHECK(eventually([&] { return segments(culprit) == sent_again(ns.b, before); }));
}
