// SPDX-License-Identifier: MIT
// Are devices that stop told with who did it, and their counters as the kernel has them?
#include "abi/link.h"
#include "support/catch.h"
#include "support/run.h"
#include "support/saved.h"
#include "support/traffic.h"

using namespace culprit;
using namespace culprit::test;

TEST_CASE("a device that is taken down names the process, its other end loses its carrier",
          "[link_test]") {
    const WiredNs ns;
    // two queues at one root: the device resets both, and it is one event
    ns.b.try_shell("tc qdisc replace dev " + ns.b.device + " root pfifo");
    Culprit culprit = watch({"link"});
    culprit.wait_until_watching();
    ns.b.shell("ip link set " + ns.b.device + " down");
    const auto of = [&](const Side& side) {
        return [&, inum = side.inum()](const Json& event) { return event["netns"] == inum; };
    };
    const auto off = culprit.await(of(ns.b));
    CHECK(off[0]["type"] == "off");
    CHECK(off[0]["device"] == ns.b.device);
    CHECK(off[0]["comm"] == "ip");
    const auto lost = culprit.await(of(ns.a));
    CHECK(lost[0]["type"] == "no-carrier");
    CHECK(lost[0]["pid"].is_null());
    CHECK(culprit.stop() == 0);
    CHECK(culprit.events(of(ns.b)).size() == 1);
}

TEST_CASE("a queue that is configured anew is no device that stops", "[link_test]") {
    const WiredNs ns;
    Culprit culprit = watch({"link", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    ns.a.shell("tc qdisc replace dev " + ns.a.device + " root pfifo && tc qdisc del dev " +
               ns.a.device + " root");
    ns.a.shell("ip link set " + ns.a.device + " down");
    culprit.await(is("link"));
    CHECK(culprit.stop() == 0);
    CHECK(culprit.events(is("link")).size() == 1);
}

TEST_CASE("lost carriers are counted as the kernel counts them", "[link_test]") {
    constexpr std::uint64_t kTimes = 3;
    const WiredNs ns;
    const SaveFile save;
    Culprit culprit = diagnose({"--for", "4s", "--save", save.path()});
    culprit.wait_until_watching();
    for (std::uint64_t i = 0; i < kTimes; i++)
        ns.b.shell("ip link set " + ns.b.device + " down && ip link set " + ns.b.device + " up");
    culprit.wait();
    for (const Side* side : {&ns.a, &ns.b}) {
        std::uint64_t downs = 0, ups = 0, veths = 0;
        for (const auto& [row, info] : save.total().rows<link_total>(ABI_LINK_TOTAL)) {
            if (row.netns != side->inum() || std::string(row.type) != "veth")
                continue;
            veths++;
            downs += row.carrier_downs;
            ups += row.carrier_ups;
            CHECK(row.mtu == 1500);
            CHECK(row.up_ns > row.off_ns);
        }
        CHECK(veths == 1);
        CHECK(downs == kTimes);
        CHECK(ups == kTimes);
    }
}
