// SPDX-License-Identifier: MIT
// Are packets that a device refuses counted for that device?
#include "abi/nic.h"
#include "support/catch.h"
#include "support/run.h"
#include "support/saved.h"
#include "support/traffic.h"

using namespace culprit;
using namespace culprit::test;

TEST_CASE("packets a device does not take are counted for it", "[nic_test]") {
    constexpr std::size_t kCount = 200;
    const WiredNs ns;
    const SaveFile save;
    ns.b.shell("ip link set " + ns.b.device +
               " mtu 600"); // veth refuses what its peer could not take
    Culprit culprit = diagnose({"--for", "2s", "--save", save.path(), "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    ns.a.in([&] { send_udp(ns.b.v4, 4444, kCount, 1200); });
    culprit.wait();
    const Window window = save.total();
    std::uint64_t refused = 0;
    for (const auto& [total, info] : window.rows<nic_total>(ABI_NIC_TOTAL)) {
        const auto name = window.names.devices.find({total.netns, total.ifindex});
        if (total.netns == ns.a.inum() && name != window.names.devices.end() &&
            name->second == ns.a.device)
            refused += total.refused;
    }
    CHECK(refused == kCount);
}

TEST_CASE("a refused packet is an event, and a flood of them is not a flood of events",
          "[nic_test]") {
    constexpr std::size_t kCount = 200;
    const WiredNs ns;
    ns.b.shell("ip link set " + ns.b.device + " mtu 600");
    Culprit culprit = watch({"nic", "--netns", ns.a.netns(), "--dev", ns.a.device});
    culprit.wait_until_watching();
    ns.a.in([&] { send_udp(ns.b.v4, 4444, kCount, 1200); });
    const Json event = culprit.await(is("nic")).at(0);
    CHECK(culprit.stop() == 0);
    CHECK(event["type"] == "refused");
    CHECK(event["netns"] == ns.a.inum());
    CHECK(event["device"] == ns.a.device);
    CHECK(event["result"] == 1); // NET_XMIT_DROP
    CHECK(event["bytes"] == 1200 + 8 + 20 + 14);
    const Json counts = culprit.lines().back()["kinds"]["nic"];
    INFO(counts.dump());
    CHECK(counts["shown"] < kCount);
    // other devices' refusals of the host may be among the seen and filtered
    CHECK(counts["shown"].get<std::uint64_t>() + counts["limited"].get<std::uint64_t>() == kCount);
    CHECK(counts["seen"] == kCount + counts["filtered"].get<std::uint64_t>());
}

TEST_CASE("a healthy device refuses nothing", "[nic_test]") {
    const WiredNs ns;
    const SaveFile save;
    Culprit culprit = diagnose({"--for", "2s", "--save", save.path(), "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    ns.a.in([&] { send_udp(ns.b.v4, 4444, 200, 1200); });
    culprit.wait();
    for (const auto& [total, info] : save.total().rows<nic_total>(ABI_NIC_TOTAL))
        CHECK(total.refused == 0);
}
