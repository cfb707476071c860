// SPDX-License-Identifier: MIT
// blackhole-route. Claim: a blackhole route or rule of this host eats what somebody needs: a
// process's own calls fail with EINVAL, which looks like a programming error, or packets that this
// host should forward vanish without a word to their sender. Evidence: lookups that answered
// EINVAL, drops of the packets they were for. Looks alike: loss beyond this host (no drop here), a
// blackhole that keeps a flood away (its packets are no attempts that repeat: info at most).
#include <fmt/format.h>

#include "detect/routes.h"
#include "model/format.h"

namespace culprit {

namespace {

Advice advice(std::uint32_t netns, const Names& names) {
    return {"remove the route, or add a better one for what is needed",
            in_netns(netns, names) + "ip route show table all type blackhole"};
}

Finding calls_finding(const RefusedCalls& calls, const Window& total) {
    Finding finding = refused_calls_finding("blackhole-route", calls, total);
    finding.title =
        fmt::format("a blackhole route refuses {} the way to {}",
                    owner_name(finding.culprit->owner, total.names), endpoint(calls.to, false));
    finding.evidence.push_back(
        {"the calls fail with EINVAL", std::nullopt, "", "fib_table_lookup"});
    finding.advice.push_back(advice(calls.to.netns, total.names));
    return finding;
}

} // namespace

std::vector<Finding> detect_blackhole_route(const Facts& facts) {
    std::vector<Finding> findings;
    for (const RefusedCalls& calls : refused_calls(facts.total))
        if (calls.why == Refused::kBlackhole)
            findings.push_back(calls_finding(calls, facts.total));
    for (const RefusedPackets& packets : refused_packets(facts)) {
        if (packets.why != Refused::kBlackhole)
            continue;
        const std::string to = main_destination(packets.drops);
        auto finding = refused_packets_finding(
            "blackhole-route", packets,
            fmt::format("a blackhole route eats packets to {}", to.empty() ? "somewhere" : to),
            {advice(packets.drops.at.netns, facts.total.names)}, facts.total);
        if (finding)
            findings.push_back(std::move(*finding));
    }
    return findings;
}

} // namespace culprit
