// SPDX-License-Identifier: MIT
// Do qdisc records show a queue in which packets wait too long?
#include "abi/qdisc.h"
#include "support/catch.h"
#include "support/run.h"
#include "support/saved.h"
#include "support/traffic.h"

using namespace culprit;
using namespace culprit::test;

namespace {

/// 100 KB of queue at 2 Mbit/s: a packet waits up to 0.4 s.
void slow_down(const Side& side) {
    if (side.try_shell("tc qdisc add dev " + side.device +
                       " root tbf rate 2mbit burst 5kb limit 100kb") != 0)
        skip("this kernel has no tbf qdisc");
}

/// Fills the queue until it is killed.
int flood(const std::string& host) {
    for (;;)
        send_udp(host, 4444, 1000, 1000);
    return 0;
}

} // namespace

TEST_CASE("packets that wait in a slow queue are shown with the queue and the time",
          "[qdisc_test]") {
    const WiredNs ns;
    slow_down(ns.a);
    Culprit culprit = watch({"qdisc", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    const Child client(ns.a.path(), "ct-flood", [&](const Tell&) { return flood(ns.b.v4); });
    const Json event = culprit.await(is("qdisc")).at(0);
    INFO(event.dump());
    CHECK(event["id"] == "tbf");
    CHECK(event["sojourn_ns"] > 100'000'000);
    CHECK(event["device"] == ns.a.device);
    CHECK(event["netns"] == ns.a.inum());
    CHECK(event["parent"] == 0xffffffffU);
    CHECK(event["backlog_bytes"] > 0);
    CHECK(culprit.stop() == 0);
}

TEST_CASE("the totals of a slow queue have its waiting times", "[qdisc_test]") {
    const WiredNs ns;
    const SaveFile save;
    slow_down(ns.a);
    Culprit culprit = diagnose({"--for", "4s", "--save", save.path(), "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    const Child client(ns.a.path(), "ct-flood", [&](const Tell&) { return flood(ns.b.v4); });
    culprit.wait();
    const Window window = save.total();
    std::uint64_t timed = 0, slow = 0, histogram = 0;
    for (const auto& [total, info] : window.rows<qdisc_total>(ABI_QDISC_TOTAL)) {
        REQUIRE(total.netns == ns.a.inum());
        if (std::string(total.id) != "tbf")
            continue;
        timed += total.timed;
        slow += total.slow;
        for (const __u64 slot : total.slots)
            histogram += slot;
        CHECK(total.backlog_bytes > 0);
    }
    CHECK(timed > 0);
    CHECK(slow > 0);
    CHECK(slow <= timed);
    CHECK(histogram == timed);
}
