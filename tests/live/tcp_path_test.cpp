// SPDX-License-Identifier: MIT
// Are reordering, duplication and a dead peer told from loss?
#include "support/catch.h"
#include "support/finding.h"
#include "support/run.h"
#include "support/tun_wire.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr unsigned kDelayUs = 10'000; // each way

/// Two namespaces with a path between them that nobody here sees.
struct FarNs : TwoNs {
    FarNs() : TwoNs(need_tun()), wire(*this, kDelayUs) {}

    PathWire wire;

private:
    static Wire need_tun() {
        if (!tun_possible())
            skip("there is no /dev/net/tun to make a path with");
        return Wire::kNone;
    }
};

/// Sends at a steady pace until it is killed.
Child steady(const Side& side, const std::string& to, std::uint16_t port) {
    return Child(side.path(), "ct-steady", [=](const Tell&) {
        for (const UniqueFd fd = connect_to(to, port);; pause_ms(10))
            send_bytes(fd.get(), 8000);
        return 0;
    });
}

} // namespace

TEST_CASE("a path that reorders is told from one that loses", "[tcp_path_test]") {
    const FarNs ns;
    const Server sink(ns.b, "ct-sink", Serve::kSink, ns.b.v4);
    ns.wire.path().late_us = 4'000;
    ns.wire.path().late_every = 7;
    Culprit culprit = diagnose({"--for", "7s"});
    culprit.wait_until_watching();
    const Child client = steady(ns.a, ns.b.v4, sink.port());
    const Json verdict = verdict_of(culprit);
    INFO(verdict.dump(1).substr(0, 9000));
    const auto found = find_finding(verdict, "reordering", about(ns.a.inum()));
    REQUIRE(found);
    CHECK((*found)["severity"] == "warning");
    CHECK((*found)["culprit"].is_null());
    CHECK((*found)["where"]["remote"] == ns.b.v4);
    CHECK(hurts(client.pid())(*found));
    CHECK_FALSE(find_finding(verdict, "packet-loss", hurts(client.pid())));
}

TEST_CASE("a path that duplicates is told from one that loses", "[tcp_path_test]") {
    const FarNs ns;
    const Server sink(ns.b, "ct-sink", Serve::kSink, ns.b.v4);
    ns.wire.path().twice_every = 10;
    Culprit culprit = diagnose({"--for", "7s"});
    culprit.wait_until_watching();
    const Child client = steady(ns.a, ns.b.v4, sink.port());
    const Json verdict = verdict_of(culprit);
    INFO(verdict.dump(1).substr(0, 9000));
    const auto found = find_finding(verdict, "duplicate-packets", about(ns.a.inum()));
    REQUIRE(found);
    CHECK((*found)["culprit"].is_null());
    CHECK(hurts(client.pid())(*found));
    CHECK_FALSE(find_finding(verdict, "packet-loss", hurts(client.pid())));
}

TEST_CASE("a path that keeps order and number is healthy", "[tcp_path_test]") {
    const FarNs ns;
    const Server sink(ns.b, "ct-sink", Serve::kSink, ns.b.v4);
    Culprit culprit = diagnose({"--for", "5s"});
    culprit.wait_until_watching();
    const Child client = steady(ns.a, ns.b.v4, sink.port());
    const Json verdict = verdict_of(culprit);
    for (const char* id : {"reordering", "duplicate-packets", "peer-dead", "packet-loss"}) {
        INFO(id << verdict.dump(1).substr(0, 9000));
        CHECK_FALSE(find_finding(verdict, id, about(ns.a.inum())));
    }
}

TEST_CASE("a peer that vanishes is dead, not lossy", "[tcp_path_test]") {
    const FarNs ns;
    const Server sink(ns.b, "ct-sink", Serve::kSink, ns.b.v4);
    Culprit culprit = diagnose({"--for", "9s"});
    culprit.wait_until_watching();
    const Child client = steady(ns.a, ns.b.v4, sink.port());
    pause_ms(1500);
    ns.wire.path().dead = true;
    CHECK(culprit.wait() == 3);
    const Json verdict = Json::parse(culprit.out());
    INFO(verdict.dump(1).substr(0, 9000));
    const auto found = find_finding(verdict, "peer-dead", hurts(client.pid()));
    REQUIRE(found);
    CHECK((*found)["severity"] == "critical");
    CHECK((*found)["culprit"].is_null());
    CHECK((*found)["where"]["remote"] == ns.b.v4);
    CHECK_FALSE(find_finding(verdict, "packet-loss", hurts(client.pid())));
}
