// SPDX-License-Identifier: MIT
// peer-dead. Claim: the peer of established connections answers nothing any more. Evidence:
// timeouts in a row, no segment from it since, until the end of the run; attempts to connect to it.
// Looks alike: a burst of losses (something comes again), a peer whose packets are too big for the
// path (small ones pass), drops or a dead link of this host, a router that says there is no way.
// Where others to the same address go on, a firewall or NAT on the way forgot these connections.
// A client of the Internet that goes away without a word (a phone out of reach) is normal life.
#include <fmt/format.h>

#include "detect/dead_peers.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

bool is_forgotten(const DeadPeer& dead) {
    return dead.alive || dead.others_heard;
}

std::string connections(const DeadPeer& dead) {
    const std::size_t count = dead.conversations.size();
    return fmt::format("{} established connection{}", count, count == 1 ? "" : "s");
}

void add_evidence(Finding& finding, const DeadPeer& dead, const Window& total) {
    finding.evidence.push_back(
        {fmt::format("{}: {} timeouts in a row, nothing heard for {}", connections(dead),
                     dead.attempts, duration(dead.quiet_ns)),
         double(dead.quiet_ns) / 1e9, "seconds", "tcp_retransmit_skb, tcp_sock.rcv_tstamp"});
    if (is_forgotten(dead))
        finding.evidence.push_back({fmt::format("other connections to {} go on{}", dead.peer,
                                                dead.alive ? ", new ones succeed" : ""),
                                    double(dead.alive), "connections",
                                    "inet_sock_set_state, tcp_sock.segs_in"});
    else if (dead.unanswered_syns)
        finding.evidence.push_back(
            {fmt::format("{} attempts to connect to it since then got no answer",
                         dead.unanswered_syns),
             double(dead.unanswered_syns), "attempts", "inet_sock_set_state"});
    finding.evidence.push_back(no_local_drop(total));
}

bool went_away(const DeadPeer& dead) {
    return dead.serves && is_global(dead.flow, false) &&
           dead.conversations.size() < threshold::kDeadClientFlows;
}

Finding describe(const DeadPeer& dead, const Window& total) {
    Finding finding{.id = "peer-dead"};
    finding.severity = went_away(dead) ? Severity::kInfo : Severity::kCritical;
    finding.confidence = is_forgotten(dead) ? 0.75 : 0.9;
    const std::string who = owner_name(dead.party.owner, total.names);
    finding.title =
        is_forgotten(dead)
            ? fmt::format("{} of {} to {} {} dead, while others there go on", connections(dead),
                          who, dead.peer, dead.conversations.size() == 1 ? "is" : "are")
            : fmt::format("{} stopped answering {} on {}", dead.peer, who, connections(dead));
    add_party(finding.affected, dead.party);
    finding.where = {.remote = dead.peer, .netns = dead.party.netns};
    finding.first_ns = dead.heard_ns;
    finding.count = dead.segs;
    finding.rate_per_s = per_second(total, double(dead.segs));
    add_evidence(finding, dead, total);
    if (is_forgotten(dead))
        finding.advice = {
            {"keep idle connections alive more often than firewalls and NATs forget "
             "them, often after 350 s to an hour; the process has to ask for it "
             "(SO_KEEPALIVE)",
             in_netns(dead.party.netns, total.names) + "sysctl net.ipv4.tcp_keepalive_time"}};
    else
        finding.advice = {
            {"is the host there at all? Then the way to it, both directions",
             fmt::format("{}ping -c 3 {}", in_netns(dead.party.netns, total.names), dead.peer)}};
    finding.verify = verify_in_netns(finding);
    return finding;
}

} // namespace

std::vector<Finding> detect_peer_dead(const Facts& facts) {
    const DeadPeers& peers = facts.dead_peers();
    std::vector<Finding> findings;
    for (const DeadPeer& dead : peers.all())
        findings.push_back(describe(dead, facts.total));
    limit_per_process(findings);
    return findings;
}

} // namespace culprit
