// SPDX-License-Identifier: MIT
// syn-loss. Claim: SYNs of this host are lost beyond it while established traffic is fine.
// Evidence: in the same seconds some attempts to a destination are answered at once and others only
// after repeats, or never; of other segments far fewer are lost; no drop, refusal or ICMP error
// here. Looks alike: lost SYN-ACKs (told apart only where the server is on this host: synack-loss),
// a far server that drops SYNs because its queues are full, a destination that never answers
// (connect-timeout), loss of everything (packet-loss).
#include <fmt/format.h>

#include "detect/flows.h"
#include "detect/handshakes.h"
#include "model/format.h"

namespace culprit {

namespace {

std::string sufferer(const Handshakes& lost, const Names& names) {
    if (lost.parties.empty())
        return "processes of this host";
    return owner_name(lost.parties.front().owner, names) +
           (lost.parties.size() > 1 ? " and others" : "");
}

void say_direction(Finding& finding, const Handshakes& lost) {
    finding.evidence.push_back(
        {lost.server_here
             ? "the server is on this host and never saw these SYNs: none of its answers was "
               "repeated"
             : "whether the SYN or the answer to it was lost cannot be seen from this end",
         std::nullopt, "", "tcp_retransmit_synack"});
}

} // namespace

std::vector<Finding> detect_syn_loss(const Facts& facts) {
    const HandshakeLosses losses(facts);
    std::vector<Finding> findings;
    for (const Handshakes& lost : losses.all()) {
        if (lost.lost_on_return())
            continue;
        Finding finding = client_finding("syn-loss", lost, facts);
        finding.confidence = lost.like_data ? 0.6 : lost.server_here ? 0.95 : 0.8;
        finding.title = fmt::format("SYNs of {} to {} are lost beyond this host ({}), data is not",
                                    sufferer(lost, facts.total.names), destination(lost.flow),
                                    percent(lost.share()));
        say_direction(finding, lost);
        finding.advice.push_back(
            {"look for what treats new connections differently on the way: a firewall's rate "
             "limit or full state table, a load balancer, protection against floods",
             fmt::format("{}mtr --tcp --port {} -rwzc 50 {}",
                         in_netns(lost.flow.netns, facts.total.names), lost.flow.remote_port,
                         address(lost.flow, false))});
        finding.advice.push_back({"on the far host: full queues of the listener drop SYNs as well",
                                  fmt::format("ss -ltn 'sport = :{}'; nstat -az TcpExtListenDrops",
                                              lost.flow.remote_port)});
        findings.push_back(std::move(finding));
    }
    limit_per_process(findings);
    return findings;
}

} // namespace culprit
