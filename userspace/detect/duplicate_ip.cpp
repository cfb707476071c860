// SPDX-License-Identifier: MIT
// duplicate-ip. Claim: two hosts on a link have the same address. Evidence: its link-layer address
// changes back and forth between two, so both are alive; or a second one answers while the first is
// still fresh, and processes have trouble with that address. Looks alike: one change is a failover
// (VRRP, a moved virtual machine, gratuitous ARP) and healthy; so is one back minutes later, while
// one back at once cannot be told from two hosts. One host that answers from two of its devices
// (arp_ignore=0), proxy ARP and bonding in mode balance-alb answer twice too: nobody suffers there
// (info).
#include <algorithm>

#include <fmt/format.h>

#include "detect/neighbours.h"
#include "detect/thresholds.h"
#include "util/text.h"

namespace culprit {

namespace {

using Macs = NeighbourFacts::Macs;

/// The two that meet most often.
struct Pair {
    Macs macs;
    std::uint64_t changes = 0; // in both directions
    bool both_ways = false;
    std::uint64_t refused = 0;
};

std::uint64_t count_of(const std::map<Macs, std::uint64_t>& counts, const Macs& macs) {
    const auto it = counts.find(macs);
    return it == counts.end() ? 0 : it->second;
}

Pair pair_of(const NeighbourFacts& n, const Macs& there, const Window& total) {
    const Macs back(there.second, there.first);
    const std::uint64_t a = count_of(n.changed, there), b = count_of(n.changed, back);
    const bool often = per_second(total, double(a + b)) >= threshold::kDuplicatePerSecond;
    return {there, a + b, a && b && often, count_of(n.refused, there) + count_of(n.refused, back)};
}

Pair main_pair(const NeighbourFacts& n, const Window& total) {
    Pair most;
    for (const auto* counts : {&n.changed, &n.refused})
        for (const auto& [macs, count] : *counts)
            if (const Pair pair = pair_of(n, macs, total);
                pair.changes + pair.refused > most.changes + most.refused)
                most = pair;
    return most;
}

Finding describe(const NeighbourFacts& n, const Pair& pair, const Dealings& dealings,
                 const Window& total) {
    const bool hurts = dealings.failed() >= threshold::kDuplicateHurtMin;
    Finding finding = neighbour_finding("duplicate-ip", n, total);
    finding.severity = !pair.both_ways && !hurts ? Severity::kInfo
                       : hurts                   ? Severity::kCritical
                                                 : Severity::kWarning;
    finding.confidence = pair.both_ways && pair.changes > 2 ? 0.95 : pair.both_ways ? 0.8 : 0.7;
    finding.title = fmt::format("two link-layer addresses answer for {} on {}: {} and {}",
                                n.address, finding.where.device, pair.macs.first, pair.macs.second);
    finding.affected = dealings.parties;
    finding.count = pair.changes + pair.refused;
    finding.rate_per_s = per_second(total, double(finding.count));
    if (pair.changes)
        finding.evidence.push_back(
            {fmt::format("it changed between the two {} times", pair.changes), double(pair.changes),
             "changes", "neigh_update"});
    if (pair.refused)
        finding.evidence.push_back(
            {fmt::format("{} times one answered while the other's answer was fresh", pair.refused),
             double(pair.refused), "answers", "neigh_update"});
    if (dealings.failed())
        finding.evidence.push_back(
            {fmt::format(
                 "connections to there: {} attempts refused, {} without an answer, {} reset",
                 dealings.refused, dealings.unanswered, dealings.resets),
             double(dealings.failed()), "connections", "inet_sock_set_state"});
    if (finding.severity == Severity::kInfo)
        finding.evidence.push_back({"nobody is seen to suffer: one host with two devices on that "
                                    "link, or proxy ARP, answers twice too",
                                    std::nullopt, "", "neigh_update"});
    finding.advice.push_back({"find both on the switch by their link-layer addresses, and give one "
                              "of them another IP address",
                              show_neighbour(n, total.names)});
    const std::string dev = shell_word(finding.where.device);
    finding.advice.push_back(
        {"see both answer", fmt::format("{}{} {} {}", in_netns(n.netns, total.names),
                                        n.family == AF_INET6 ? "ndisc6 -m" : "arping -c 5 -I",
                                        n.family == AF_INET6 ? n.address : dev,
                                        n.family == AF_INET6 ? dev : n.address)});
    return finding;
}

} // namespace

std::vector<Finding> detect_duplicate_ip(const Facts& facts) {
    std::vector<Finding> findings;
    for (const NeighbourFacts& n : neighbours_of(facts.total)) {
        const Pair pair = main_pair(n, facts.total);
        if (!pair.both_ways && !pair.refused)
            continue;
        const Dealings dealings = dealings_with(facts.total, [&](const abi_flow& flow) {
            return flow.netns == n.netns && address(flow, false) == n.address;
        });
        findings.push_back(describe(n, pair, dealings, facts.total));
    }
    return findings;
}

} // namespace culprit
