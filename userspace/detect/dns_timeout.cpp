// SPDX-License-Identifier: MIT
// dns-timeout, dns-unreachable. Claim: a process gets no answer from a name server, or the network
// tells it that there is none to be had. Evidence: questions without an answer in time; errors the
// kernel reported at the asking socket. Looks alike: a single lost packet (a small share of many);
// drops on this host and a path that loses TCP's packets too, which their own findings tell.
#include <algorithm>

#include <fmt/format.h>

#include "detect/resolution.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

bool is_silent(const dns_event& event) {
    return event.outcome == DNS_NO_ANSWER;
}
bool is_failed(const dns_event& event) {
    return event.outcome == DNS_FAILED;
}

Finding timeout(const Asking& asking, const Window& total) {
    const dns_counts& sum = asking.sum;
    Finding finding = about(asking, "dns-timeout", sum.silent, total);
    finding.severity = asking.share(sum.silent, sum.questions) >= threshold::kDnsHurtShare
                           ? Severity::kCritical
                           : Severity::kWarning;
    finding.confidence = sum.answers ? 0.85 : 0.9;
    finding.title =
        fmt::format("{} gets {} from name server {}", owner_name(asking.party.owner, total.names),
                    sum.answers ? "often no answer" : "no answer", asking.server_text());
    finding.evidence.insert(
        finding.evidence.begin(),
        {fmt::format("{} of {} questions had no answer within {}; {} were repeats, {} answers came",
                     sum.silent, sum.questions, duration(DNS_TIMEOUT_NS), sum.retries, sum.answers),
         static_cast<double>(sum.silent), "questions", "net_dev_queue, sock_recv_length"});
    if (const auto drop = dropped_here(asking, total))
        finding.excuses.push_back(*drop);
    else
        finding.evidence.push_back(no_local_drop(total));
    if (finding.severity != Severity::kCritical) // no path that works at all loses that much
        finding.excuses.push_back({"packet-loss", asking.party.netns});
    finding.advice.push_back(
        {"the server is down or overloaded, or packets are filtered or lost on the way",
         fmt::format("{}dig @{} -p {} +tries=1 NAME", in_netns(asking.party.netns, total.names),
                     address(asking.flow, false), asking.flow.remote_port)});
    return finding;
}

Finding unreachable(const Asking& asking, const Window& total) {
    const dns_counts& sum = asking.sum;
    Finding finding = about(asking, "dns-unreachable", sum.failed, total);
    const auto main = std::ranges::max_element(asking.errors, {}, [](auto& e) { return e.second; });
    const std::string error = main == asking.errors.end() ? "an error" : errno_name(main->first);
    finding.severity = asking.share(sum.failed, sum.questions) >= threshold::kDnsHurtShare
                           ? Severity::kCritical
                           : Severity::kWarning;
    finding.confidence = 0.95;
    finding.culprit.reset(); // whoever should serve there does not
    finding.title =
        fmt::format("{} cannot reach name server {}: {}",
                    owner_name(asking.party.owner, total.names), asking.server_text(), error);
    finding.where.reason = error;
    finding.evidence.insert(finding.evidence.begin(),
                            {fmt::format("{} of {} questions ended with {}, {} answers came",
                                         sum.failed, sum.questions, error, sum.answers),
                             static_cast<double>(sum.failed), "questions", "sock_recv_length"});
    finding.advice.push_back(
        {"start the name server, or correct the address in the resolver's configuration",
         fmt::format("{}cat /etc/resolv.conf", in_netns(asking.party.netns, total.names))});
    return finding;
}

/// One without any answer needs less proof than one that answers most of the time.
bool is_fault(const Asking& asking, std::uint64_t questions) {
    if (!asking.sum.answers)
        return questions >= threshold::kDnsSilentMin;
    return questions >= threshold::kDnsLostMin &&
           asking.share(questions, asking.sum.questions) >= threshold::kDnsLostShare;
}

} // namespace

std::vector<Finding> detect_dns_timeout(const Facts& facts) {
    std::vector<Finding> findings;
    for (const Asking& asking : askings(facts, is_silent))
        if (is_fault(asking, asking.sum.silent))
            findings.push_back(timeout(asking, facts.total));
    fold_through_resolvers(findings);
    limit_per_process(findings);
    return findings;
}

std::vector<Finding> detect_dns_unreachable(const Facts& facts) {
    std::vector<Finding> findings;
    for (const Asking& asking : askings(facts, is_failed))
        if (is_fault(asking, asking.sum.failed))
            findings.push_back(unreachable(asking, facts.total));
    limit_per_process(findings);
    return findings;
}

} // namespace culprit
