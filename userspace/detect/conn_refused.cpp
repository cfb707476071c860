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
#include "detect/scans.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

struct Attempts {
    Party party;
    std::string to, host;
    std::uint64_t all = 0, refused = 0, first_ns = 0;
    std::size_t ports = 1; // that are summed up here

    double share() const { return all ? double(refused) / double(all) : 0; }
    std::string port() const { return to.substr(to.rfind(':') + 1); }
};

using Key = std::tuple<std::uint32_t, std::uint32_t, std::uint64_t, std::string>;

std::map<Key, Attempts> collect(const Window& total) {
    std::map<Key, Attempts> found;
    const Scans scans(total);
    const std::set<std::string> rejected = rejected_destinations(total);
    for (const auto& [attempt, info] : total.rows<connect_event>(ABI_CONNECT)) {
        const std::string to = destination(attempt.flow);
        if (scans.explains(attempt.flow, attempt.owner) || rejected.contains(to))
            continue;
        Attempts& a = found[{attempt.flow.netns, attempt.owner.tgid, attempt.owner.start_ns, to}];
        a.party = {attempt.owner, attempt.flow.netns};
        a.to = to;
        a.host = address(attempt.flow, false);
        a.all += info.count;
        if (attempt.result != ABI_RESULT_ERROR || attempt.error != ECONNREFUSED)
            continue;
        a.refused += info.count;
        a.first_ns = a.first_ns ? std::min(a.first_ns, info.first_ns) : info.first_ns;
    }
    return found;
}

/// Of a host whose services are down each may be tried a few times only.
std::vector<Attempts> by_host(const std::map<Key, Attempts>& found) {
    std::map<Key, std::vector<const Attempts*>> hosts; // the key's place is an address
    for (const auto& [key, a] : found) {
        Key host = key;
        std::get<3>(host) = a.host;
        hosts[host].push_back(&a);
    }
    std::vector<Attempts> all;
    for (const auto& [key, ports] : hosts) {
        const bool down =
            ports.size() >= threshold::kDownPorts &&
            std::ranges::all_of(ports, [](const Attempts* a) { return a->refused == a->all; });
        for (const Attempts* one : ports) {
            if (!down || one == ports.front()) {
                all.push_back(*one);
                continue;
            }
            all.back().all += one->all;
            all.back().refused += one->refused;
            all.back().first_ns = std::min(all.back().first_ns, one->first_ns);
            all.back().ports++;
        }
    }
    return all;
}

/// Resets this host itself sent from that address for want of a listener.
std::uint64_t closed_port_answers(const Window& total, const std::string& host) {
    std::uint64_t count = 0;
    for (const auto& [reset, info] : total.rows<reset_event>(ABI_RESET))
        if (reset.direction == ABI_SENT && !reset.tcp_state && address(reset.flow, true) == host)
            count += info.count;
    return count;
}

bool is_fault(const Attempts& a, double rate) {
    return a.refused >= threshold::kRefusedMin && rate >= threshold::kRefusedPerSecond &&
           a.share() >= threshold::kRefusedShare;
}

Finding describe(const Attempts& a, double rate, const Window& total) {
    Finding finding{.id = "conn-refused",
                    .severity = a.share() >= 0.9 ? Severity::kCritical : Severity::kWarning};
    finding.confidence = 0.95;
    const std::string to = a.ports == 1 ? a.to : fmt::format("{} on {} ports", a.host, a.ports);
    finding.title = fmt::format("{} is refused by {}: nobody listens there",
                                owner_name(a.party.owner, total.names), to);
    finding.culprit = a.party;
    finding.where = {.remote = a.ports == 1 ? a.to : a.host, .netns = a.party.netns};
    finding.first_ns = a.first_ns;
    finding.count = a.refused;
    finding.rate_per_s = rate;
    finding.evidence.push_back(
        {fmt::format("{} of {} attempts ended with ECONNREFUSED", a.refused, a.all), a.share(),
         "ratio", "inet_sock_set_state"});
    if (const std::uint64_t answers = closed_port_answers(total, a.host))
        finding.evidence.push_back(
            {fmt::format("this host itself answered {} times from there for want of a listener",
                         answers),
             double(answers), "resets", "tcp_send_reset"});
    finding.advice.push_back(
        {"start the service, or correct the address the client is configured with",
         a.ports == 1 ? fmt::format("ss -ltnp 'sport = :{}'", a.port()) : "ss -ltnp"});
    finding.verify = a.ports == 1
                         ? fmt::format("diagnose --only conn-refused --port {} --for 30s", a.port())
                         : verify_in_netns(finding);
    return finding;
}

} // namespace

std::vector<Finding> detect_conn_refused(const Facts& facts) {
    std::vector<Finding> findings;
    for (const Attempts& a : by_host(collect(facts.total))) {
        const double rate = per_second(facts.total, double(a.refused));
        if (is_fault(a, rate))
            findings.push_back(describe(a, rate, facts.total));
    }
    return findings;
}

} // namespace culprit
