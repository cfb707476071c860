// SPDX-License-Identifier: MIT
// conntrack-full. Claim: the connection table of a network namespace has no room, so new flows are
// dropped (or old ones thrown out for them). Evidence: the kernel's count of such drops, the
// table's size against its limit, drops in nf_hook_slow. Looks alike: a rule that drops (the count
// stands still), a busy table below its limit (healthy).
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "abi/socket.h"
#include "detect/netfilter.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

struct Usage : TableUse {
    std::uint32_t netns = 0;
    std::uint64_t dropped = 0, evicted = 0;
};

Usage usage_of(std::uint32_t netns, const NetnsCounters& counters, const Facts& facts) {
    return {conntrack_use(netns, facts), netns, counters.growth[counter("Conntrack.drop")],
            counters.growth[counter("Conntrack.early_drop")]};
}

/// The process with most sockets in that namespace.
void add_biggest_user(Finding& finding, const Window& total) {
    std::map<std::pair<std::uint32_t, std::uint64_t>, std::pair<std::uint64_t, abi_owner>> users;
    for (const auto& [row, info] : total.rows<socket_total>(ABI_SOCKET_TOTAL))
        if (row.flow.netns == finding.where.netns && row.owner.tgid) {
            auto& [sockets, owner] = users[{row.owner.tgid, row.owner.start_ns}];
            sockets += row.sockets;
            owner = row.owner;
        }
    const auto most =
        std::ranges::max_element(users, {}, [](const auto& user) { return user.second.first; });
    if (most == users.end())
        return;
    const auto& [sockets, owner] = most->second;
    finding.evidence.push_back({fmt::format("most sockets of the namespace itself: {} with {}",
                                            owner_name(owner, total.names), sockets),
                                double(sockets), "sockets", "iter/tcp"});
}

/// Who suffers, as far as packets were sampled.
Finding from_drops(const Usage& usage, const Facts& facts, DropStory story) {
    Finding finding{.id = story.id, .layer = story.layer};
    finding.title = story.title;
    finding.advice = std::move(story.advice);
    finding.where.netns = usage.netns;
    finding.count = usage.dropped + usage.evicted;
    finding.rate_per_s = per_second(facts.total, double(finding.count));
    finding.verify = verify_in_netns(finding);
    const auto key = [&](const DropFacts& drops) {
        return fmt::format("{} {}", drops.at.netns, is_conntrack_drop(drops, facts));
    };
    story.advice = finding.advice;
    for (const DropFacts& drops : facts.drops().of("firewall-drop", key))
        if (drops.at.netns == usage.netns && is_conntrack_drop(drops, facts))
            return drop_finding(story, drops, facts.total).value_or(finding);
    return finding;
}

std::vector<Advice> advice_for(const Usage& usage, const Names& names) {
    // the sysctl is the whole host's, and only its first namespace may set it
    return {{fmt::format("raise the limit: it is {}, for each namespace of the host", usage.max),
             fmt::format("sysctl -w net.netfilter.nf_conntrack_max={}", usage.max * 2)},
            {"see what fills it, and whether idle connections are kept too long",
             in_netns(usage.netns, names) +
                 "sysctl net.netfilter.nf_conntrack_tcp_timeout_established"}};
}

Finding describe(const Usage& usage, const Facts& facts) {
    const Names& names = facts.total.names;
    const bool drops = usage.dropped >= threshold::kConntrackDropMin;
    DropStory story{.id = "conntrack-full", .layer = Layer::kNetwork, .needed = true};
    story.title =
        fmt::format("connection table of netns {} {}: {} of {}", netns_name(usage.netns, names),
                    drops           ? "is full and drops new flows"
                    : usage.evicted ? "is full and throws out connections that have no answer yet"
                                    : "is nearly full",
                    usage.count, usage.max);
    story.advice = advice_for(usage, names);
    Finding finding = from_drops(usage, facts, std::move(story));
    finding.severity = drops ? Severity::kCritical : Severity::kWarning;
    finding.confidence = drops || usage.evicted ? 0.97 : 0.9;
    finding.evidence.push_back({fmt::format("{} entries at most, the limit is {} ({})", usage.count,
                                            usage.max, percent(usage.share())),
                                double(usage.count), "entries",
                                "nf_conntrack_count, nf_conntrack_max"});
    finding.evidence.push_back(
        {fmt::format("{} packets refused and {} entries thrown out for want of room, by the "
                     "kernel's own count",
                     usage.dropped, usage.evicted),
         double(usage.dropped), "packets", "/proc/net/stat/nf_conntrack"});
    add_biggest_user(finding, facts.total);
    return finding;
}

} // namespace

std::vector<Finding> detect_conntrack_full(const Facts& facts) {
    std::vector<Finding> findings;
    for (const auto& [netns, counters] : facts.total.counters) {
        const Usage usage = usage_of(netns, counters, facts);
        if (usage.share() >= threshold::kConntrackHigh)
            findings.push_back(describe(usage, facts));
    }
    return findings;
}

} // namespace culprit
