// SPDX-License-Identifier: MIT
// dns-slow. Claim: a name server answers a process late, as a rule and not now and then. Evidence:
// exact histogram of latencies, each taken where the answer is read. Looks alike: a process that
// does not come to reading its answers; a long way to the server (its round trip is in the
// latency).
#include <fmt/format.h>

#include "detect/resolution.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

bool is_late(const dns_event& event) {
    return event.outcome == DNS_ANSWERED && event.latency_ns >= threshold::kDnsSlowUs * 1000;
}

Finding describe(const Asking& asking, std::uint64_t late, const Window& total) {
    Finding finding = about(asking, "dns-slow", late, total);
    const std::uint64_t mean = asking.sum.latency_ns / asking.sum.answers;
    const bool hurts = asking.share(answers_above(asking.sum, threshold::kDnsLookupUs),
                                    asking.sum.answers) >= threshold::kDnsShare;
    finding.severity = hurts ? Severity::kCritical : Severity::kWarning;
    finding.confidence = asking.server.tgid ? 0.9 : 0.85;
    finding.title = fmt::format("{} waits {} for the answers of name server {}",
                                owner_name(asking.party.owner, total.names), duration(mean),
                                asking.server_text());
    finding.evidence.insert(
        finding.evidence.begin(),
        {fmt::format("{} of {} answers took longer than {}, on average {}, the longest {}", late,
                     asking.sum.answers, duration(threshold::kDnsSlowUs * 1000), duration(mean),
                     duration(asking.sum.latency_max_ns)),
         static_cast<double>(mean) / 1e9, "seconds", "sock_recv_length"});
    finding.advice.push_back(
        {"the server is slow or far, or waits for servers of its own: ask it alone",
         fmt::format("{}dig @{} -p {} +tries=1 NAME", in_netns(asking.party.netns, total.names),
                     address(asking.flow, false), asking.flow.remote_port)});
    return finding;
}

} // namespace

std::vector<Finding> detect_dns_slow(const Facts& facts) {
    std::vector<Finding> findings;
    for (const Asking& asking : askings(facts, is_late)) {
        const std::uint64_t late = answers_above(asking.sum, threshold::kDnsSlowUs);
        if (late >= threshold::kDnsMin &&
            asking.share(late, asking.sum.answers) >= threshold::kDnsSlowShare)
            findings.push_back(describe(asking, late, facts.total));
    }
    fold_through_resolvers(findings);
    limit_per_process(findings);
    return findings;
}

} // namespace culprit
