// SPDX-License-Identifier: MIT
// conn-refused. Claim: a process keeps connecting to a port that refuses. Evidence: connection
// attempts that ended with ECONNREFUSED, their share of the attempts to that destination. Looks
// alike: a firewall of this host that rejects (firewall-reject explains it and this is not
// reported; one beyond this host cannot be told from a closed port), a scan (many ports, few each).
#include <map>
#include <tuple>

#include <fmt/format.h>

#include "abi/reset.h"
#include "detect/finding.h"
#include "detect/flows.h"
#include "detect/netfilter.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

struct Attempts {
    Party party;
    std::string to;
    std::uint64_t all = 0, refused = 0, first_ns = 0;
};

std::map<std::tuple<std::uint32_t, std::uint32_t, std::uint64_t, std::string>, Attempts>
collect(const Window& total) {
    std::map<std::tuple<std::uint32_t, std::uint32_t, std::uint64_t, std::string>, Attempts> found;
    for (const auto& [attempt, info] : total.rows<connect_event>(ABI_CONNECT)) {
        const std::string to = destination(attempt.flow);
        Attempts& a = found[{attempt.flow.netns, attempt.owner.tgid, attempt.owner.start_ns, to}];
        a.party = {attempt.owner, attempt.flow.netns};
        a.to = to;
        a.all += info.count;
        if (attempt.result != ABI_RESULT_ERROR || attempt.error != ECONNREFUSED)
            continue;
        a.refused += info.count;
        a.first_ns = a.first_ns ? std::min(a.first_ns, info.first_ns) : info.first_ns;
    }
    return found;
}

/// Resets this host itself sent from that address for want of a listener.
std::uint64_t closed_port_answers(const Window& total, const std::string& to) {
    std::uint64_t count = 0;
    const std::string host = to.substr(0, to.rfind(':'));
    for (const auto& [reset, info] : total.rows<reset_event>(ABI_RESET))
        if (reset.direction == ABI_SENT && !reset.tcp_state && address(reset.flow, true) == host)
            count += info.count;
    return count;
}

} // namespace

std::vector<Finding> detect_conn_refused(const Facts& facts) {
    std::vector<Finding> findings;
    const double seconds = facts.total.seconds();
    const std::set<std::string> rejected = rejected_destinations(facts.total);
    for (const auto& [key, a] : collect(facts.total)) {
        if (rejected.contains(a.to))
            continue;
        const double share = a.all ? double(a.refused) / double(a.all) : 0;
        const double rate = seconds > 0 ? double(a.refused) / seconds : 0;
        if (a.refused < threshold::kRefusedMin || rate < threshold::kRefusedPerSecond ||
            share < threshold::kRefusedShare)
            continue;
        Finding finding{.id = "conn-refused",
                        .severity = share >= 0.9 ? Severity::kCritical : Severity::kWarning};
        finding.confidence = 0.95;
        finding.title = fmt::format("{} is refused by {}: nobody listens there",
                                    owner_name(a.party.owner, facts.total.names), a.to);
        finding.culprit = a.party;
        finding.where = {.remote = a.to, .netns = a.party.netns};
        finding.first_ns = a.first_ns;
        finding.count = a.refused;
        finding.rate_per_s = rate;
        finding.evidence.push_back(
            {fmt::format("{} of {} attempts ended with ECONNREFUSED", a.refused, a.all), share,
             "ratio", "inet_sock_set_state"});
        if (const std::uint64_t answers = closed_port_answers(facts.total, a.to))
            finding.evidence.push_back(
                {fmt::format("this host itself answered {} times from there for want of a listener",
                             answers),
                 double(answers), "resets", "tcp_send_reset"});
        const std::string port = a.to.substr(a.to.rfind(':') + 1);
        finding.advice.push_back(
            {"start the service, or correct the address the client is configured with",
             fmt::format("ss -ltnp 'sport = :{}'", port)});
        finding.verify = fmt::format("diagnose --only conn-refused --port {} --for 30s", port);
        findings.push_back(std::move(finding));
    }
    return findings;
}

} // namespace culprit
