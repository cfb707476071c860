// SPDX-License-Identifier: MIT
// vlan-mismatch. Claim: frames with a VLAN that nothing here handles arrive, and somebody waits for
// an answer to them. Evidence: packets dropped as another host's although they are for this device;
// connection attempts and segments that are sent again. Looks alike: strays of other VLANs on a
// trunk (nobody waits: healthy), frames for another host's address (no tag), LLDP and STP.
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "detect/drops.h"
#include "detect/flows.h"
#include "detect/thresholds.h"
#include "model/format.h"
#include "util/text.h"

namespace culprit {

namespace {

/// The VLAN of most samples; 0 when the kernel no longer says.
std::uint32_t main_vlan(const DropFacts& drops) {
    std::map<std::uint32_t, std::uint64_t> vlans;
    for (const auto& [drop, info] : drops.samples)
        if (drop.vlan)
            vlans[drop.vlan] += info.count;
    const auto most = std::ranges::max_element(vlans, {}, [](const auto& v) { return v.second; });
    return most == vlans.end() ? 0 : most->first;
}

/// Peers elsewhere that ask again: connections whose SYNs keep coming.
std::uint64_t asking_again(const DropFacts& drops) {
    constexpr unsigned kSyn = 2, kAck = 16;
    std::map<std::string, std::uint64_t> syns;
    for (const auto& [drop, info] : drops.samples)
        if (drop.tagged && (drop.tcp_flags & (kSyn | kAck)) == kSyn)
            syns[conversation(drop.flow)] += info.count;
    return static_cast<std::uint64_t>(std::ranges::count_if(
        syns, [](const auto& one) { return one.second >= threshold::kUnansweredMin; }));
}

std::optional<Finding> describe(const DropFacts& drops, std::uint64_t asking, const Window& total) {
    const std::uint32_t vlan = main_vlan(drops);
    const std::string name = device(drops.at.netns, drops.main_device(), total.names);
    const std::string in = in_netns(drops.at.netns, total.names);
    const std::string id = vlan ? std::to_string(vlan) : "ID";
    DropStory story{.id = "vlan-mismatch", .layer = Layer::kDataLink, .needed = asking > 0};
    story.title = fmt::format("{} gets frames of {}, which nothing there handles", name,
                              vlan ? fmt::format("VLAN {}", vlan) : "a VLAN");
    if (!vlan)
        story.advice.push_back({"see which VLAN it is: the kernel has forgotten it by the time it "
                                "drops the packet",
                                fmt::format("{}tcpdump -eni {} -c 5 vlan", in, shell_word(name))});
    story.advice.push_back({"make the switch's port untagged, or give the device that VLAN",
                            fmt::format("{}ip link add link {} name {} type vlan id {}", in,
                                        shell_word(name), shell_word(name + "." + id), id)});
    auto finding = drop_finding(story, drops, total);
    if (finding && asking)
        finding->evidence.push_back(
            {fmt::format("{} peers ask for a connection again and again", asking), double(asking),
             "attempts", "kfree_skb"});
    return finding;
}

} // namespace

std::vector<Finding> detect_vlan_mismatch(const Facts& facts) {
    std::vector<Finding> findings;
    for (const DropFacts& drops : facts.drops().of("vlan-mismatch")) {
        const std::uint64_t asking = asking_again(drops);
        if (drops.conversations || asking)
            if (auto finding = describe(drops, asking, facts.total))
                findings.push_back(std::move(*finding));
    }
    return findings;
}

} // namespace culprit
