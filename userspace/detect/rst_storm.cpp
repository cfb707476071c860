// SPDX-License-Identifier: MIT
// rst-storm. Claim: connections of a service end by reset instead of FIN, at a rate and share that
// is not normal, and this side sends them. Evidence: closed connections that carried data and ended
// by reset. Looks alike: health checks that reset without data (left out), refused connections
// (never established: conn-refused), idle kills by a middlebox.
#include <map>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "detect/finding.h"
#include "detect/flows.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

struct Service {
    Party party;
    bool server = false;
    std::uint16_t port = 0;
    std::string local, remote;
    std::uint64_t ended = 0, sent = 0, received = 0, first_ns = 0;
    double lived_ns = 0;
};

using Key = std::tuple<std::uint32_t, std::uint32_t, std::uint64_t, std::uint16_t, bool>;

std::map<Key, Service> collect(const Window& total) {
    std::map<Key, Service> found;
    for (const auto& [closed, info] : total.rows<close_event>(ABI_CLOSE)) {
        if (!closed.had_data)
            continue;
        const bool server = closed.service_port == closed.flow.local_port;
        Service& s = found[{closed.flow.netns, closed.owner.tgid, closed.owner.start_ns,
                            closed.service_port, server}];
        s.party = {closed.owner, closed.flow.netns};
        s.server = server;
        s.port = closed.service_port;
        s.local = address(closed.flow, true);
        s.remote = address(closed.flow, false);
        s.ended += info.count;
        // a reset after both sides began to close is an untidy goodbye, no more
        constexpr std::uint32_t kEstablished = 1, kCloseWait = 8;
        const bool open = closed.last_state == kEstablished || closed.last_state == kCloseWait;
        const bool sent = open && closed.ending == ABI_ENDING_RESET_SENT;
        const bool received = open && closed.ending == ABI_ENDING_RESET_RECEIVED;
        s.sent += sent ? info.count : 0;
        s.received += received ? info.count : 0;
        if (!sent && !received)
            continue;
        s.lived_ns += double(closed.established_ns);
        if (!s.first_ns || info.first_ns < s.first_ns)
            s.first_ns = info.first_ns;
    }
    return found;
}

Finding describe(const Service& s, double rate, const Names& names) {
    const bool ours = s.sent >= s.received;
    const std::uint64_t resets = ours ? s.sent : s.received;
    Finding finding{.id = "rst-storm"};
    finding.severity =
        double(resets) >= 0.8 * double(s.ended) ? Severity::kCritical : Severity::kWarning;
    finding.confidence = ours ? 0.9 : 0.8;
    const std::string service = fmt::format("{} port {}", s.server ? "its own" : "remote", s.port);
    finding.title = ours ? fmt::format("{} resets its connections ({})",
                                       owner_name(s.party.owner, names), service)
                         : fmt::format("peers reset the connections of {} ({})",
                                       owner_name(s.party.owner, names), service);
    if (ours)
        finding.culprit = s.party;
    else
        add_party(finding.affected, s.party);
    finding.where.netns = s.party.netns;
    (s.server ? finding.where.local : finding.where.remote) =
        fmt::format("{}:{}", s.server ? s.local : s.remote, s.port);
    finding.first_ns = s.first_ns;
    finding.count = resets;
    finding.rate_per_s = rate;
    finding.evidence.push_back(
        {fmt::format("{} of {} connections that carried data ended by reset ({} sent, {} received)",
                     s.sent + s.received, s.ended, s.sent, s.received),
         double(s.sent + s.received) / double(s.ended), "ratio", "inet_sock_set_state"});
    if (s.lived_ns > 0)
        finding.evidence.push_back(
            {fmt::format(
                 "they lived {} on average",
                 duration(static_cast<std::uint64_t>(s.lived_ns / double(s.sent + s.received)))),
             s.lived_ns / 1e9 / double(s.sent + s.received), "seconds", "inet_sock_set_state"});
    finding.advice.push_back(
        ours ? Advice{"the process closes with unread data or SO_LINGER 0: look into its error log",
                      fmt::format("culprit watch reset --port {} --for 10s", s.port)}
             : Advice{"the peer, or a firewall on the way, ends these connections: look there",
                      fmt::format("culprit watch reset close --port {} --for 10s", s.port)});
    finding.verify = fmt::format("diagnose --only rst-storm --port {} --for 30s", s.port);
    return finding;
}

} // namespace

std::vector<Finding> detect_rst_storm(const Facts& facts) {
    std::vector<Finding> findings;
    const auto services = collect(facts.total);
    std::set<std::uint16_t>
        resetting; // ports with a local process that resets: the other end is its victim
    const auto rate = [&](std::uint64_t resets) {
        return facts.total.seconds() > 0 ? double(resets) / facts.total.seconds() : 0;
    };
    const auto enough = [&](std::uint64_t resets, const Service& s) {
        return resets >= threshold::kResetMin && rate(resets) >= threshold::kResetPerSecond &&
               double(resets) >= threshold::kResetShare * double(s.ended);
    };
    for (const auto& [key, s] : services)
        if (enough(s.sent, s)) {
            resetting.insert(s.port);
            findings.push_back(describe(s, rate(s.sent), facts.total.names));
        }
    for (const auto& [key, s] : services) {
        if (!enough(s.received, s) || s.received <= s.sent)
            continue;
        if (!resetting.contains(s.port))
            findings.push_back(describe(s, rate(s.received), facts.total.names));
        else
            for (Finding& finding : findings)
                if (finding.where.local.ends_with(fmt::format(":{}", s.port)) ||
                    finding.where.remote.ends_with(fmt::format(":{}", s.port)))
                    add_party(finding.affected, s.party);
    }
    return findings;
}

} // namespace culprit
