// SPDX-License-Identifier: MIT
// ttl-exceeded. Claim: packets run out of hops: a routing loop. Evidence: packets that this host
// should forward and drops with no hop left, while connections of the same flow suffer, or that
// would leave by the device they came in by; or attempts to connect ended by such
// an error from beyond. Looks alike: traceroute, whose probes run out of hops on purpose, a few per
// hop, and which no connection waits for.
#include <algorithm>

#include <fmt/format.h>

#include "abi/icmp.h"
#include "detect/drops.h"
#include "detect/thresholds.h"
#include "detect/unreachable.h"
#include "model/format.h"

namespace culprit {

namespace {

constexpr std::uint8_t kTimeExceeded = 11;

/// The messages about packets that ran out of hops here; ping and its like probe.
struct OutOfHops {
    std::uint64_t all = 0;
    std::uint64_t bounced = 0; // of them on their way back to where they came from

    bool is_loop() const {
        return bounced >= threshold::kTimeExceededMin &&
               double(bounced) >= threshold::kBouncedShare * double(all);
    }
};

OutOfHops out_of_hops(const Window& total, std::uint32_t netns) {
    OutOfHops sum;
    for (const auto& [icmp, info] : total.rows<icmp_event>(ABI_ICMP)) {
        if (icmp.direction != ABI_SENT || icmp.type != kTimeExceeded || icmp.code ||
            icmp.flow.netns != netns || icmp.flow.protocol == IPPROTO_ICMP)
            continue;
        const bool back =
            icmp.out_netns == netns && icmp.out_ifindex && icmp.out_ifindex == icmp.flow.ifindex;
        sum.all += info.count;
        sum.bounced += back ? info.count : 0;
    }
    return sum;
}

std::string destination_of(const DropFacts& drops) {
    return drops.samples.empty() ? "" : address(drops.samples.front().record.flow, false);
}

std::optional<Finding> near_loop(const DropFacts& drops, const Window& total) {
    const OutOfHops told = out_of_hops(total, drops.at.netns);
    const std::string to = destination_of(drops);
    DropStory story{.id = "ttl-exceeded",
                    .layer = Layer::kNetwork,
                    .needed = told.is_loop() && drops.packets >= threshold::kOutOfHopsMin};
    story.title = fmt::format("packets to {} run out of hops here: they go round in a loop",
                              to.empty() ? "a destination" : to);
    story.advice.push_back({"two routers send these packets to each other: compare their routes",
                            fmt::format("{}ip route get {}", in_netns(drops.at.netns, total.names),
                                        to.empty() ? "DESTINATION" : to)});
    auto finding = drop_finding(story, drops, total);
    if (!finding)
        return finding;
    finding->where.remote = to;
    if (told.bounced)
        finding->evidence.push_back(
            {fmt::format("{} of the {} that were answered would have left by the device they came "
                         "in by",
                         told.bounced, told.all),
             double(told.bounced), "packets", "icmp_send"});
    return finding;
}

Finding far_loop(const Unreachable& one, const Window& total) {
    Finding finding = unreachable_finding("ttl-exceeded", one, total);
    finding.confidence = 0.8;
    finding.title = fmt::format("packets of {} to {} run out of hops on their way: a routing loop",
                                owner_name(one.party.owner, total.names), one.to);
    const auto it = total.counters.find(one.party.netns);
    if (it != total.counters.end()) {
        const std::uint64_t came = it->second.growth[counter("IcmpMsg.InType11")] +
                                   it->second.growth[counter("Icmp6.InTimeExcds")];
        finding.evidence.push_back({fmt::format("{} ICMP \"time exceeded\" came", came),
                                    double(came), "messages",
                                    "IcmpMsg.InType11, Icmp6.InTimeExcds"});
    }
    finding.advice.push_back(
        {"the hops that repeat are the routers that send it to each other",
         fmt::format("{}traceroute -n {}", in_netns(one.party.netns, total.names),
                     address(one.flow, false))});
    return finding;
}

} // namespace

std::vector<Finding> detect_ttl_exceeded(const Facts& facts) {
    std::vector<Finding> findings;
    const LocalDrops drops = find_local_drops(facts.total);
    for (const DropFacts& place : facts.drops().of(
             "ttl-exceeded", [](const DropFacts& d) { return std::to_string(d.at.netns); }))
        if (auto finding = near_loop(place, facts.total))
            findings.push_back(std::move(*finding));
    const Unreachables unreachables(facts.total);
    for (const Unreachable& one : unreachables.all())
        if (one.by == UnreachableBy::kLoop && one.is_fault() && !drops.of_destination(one.flow))
            findings.push_back(far_loop(one, facts.total));
    return findings;
}

} // namespace culprit
