// SPDX-License-Identifier: MIT
// synack-loss. Claim: the answers of this host's listeners to SYNs are lost beyond it. Evidence:
// SYN-ACKs sent again to clients whose other connections are established, while the listener's
// queues are fine; or, with both ends here, a client that repeats SYNs the server had answered.
// Looks alike: a flood, scans (their sources complete nothing: not reported), a full accept queue
// (listen-overflow), the client's last ACK lost.
#include <fmt/format.h>

#include "abi/flow.h"
#include "detect/flows.h"
#include "detect/handshakes.h"
#include "detect/listeners.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

/// What one listener repeats.
struct Answers {
    std::uint64_t repeats = 0, first_ns = 0;
    std::set<std::string> conversations;
    std::map<std::string, std::uint64_t> known, unknown; // clients with connections; the others

    std::uint64_t to_known() const {
        std::uint64_t sum = 0;
        for (const auto& [client, segs] : known)
            sum += segs;
        return sum;
    }
};

using Peers = std::set<std::pair<std::uint32_t, std::string>>; // netns, address

/// Peers that connections are established with.
Peers established_peers(const Window& total) {
    Peers peers;
    for (const auto& [row, info] : total.rows<flow_total>(ABI_FLOW_TOTAL))
        if (row.segs_in)
            peers.emplace(row.flow.netns, address(row.flow, false));
    for (const auto& [again, info] : total.rows<retransmit_event>(ABI_RETRANSMIT))
        if (again.acked_segs)
            peers.emplace(again.flow.netns, address(again.flow, false));
    return peers;
}

std::map<const ListenerFacts*, Answers> collect(const Window& total, const Listeners& listeners) {
    const Peers peers = established_peers(total);
    std::set<std::string> asked_here; // told of with their clients
    const auto rows = total.rows<retransmit_event>(ABI_RETRANSMIT);
    for (const auto& [again, info] : rows)
        if (again.type == ABI_RETRANSMIT_SYN)
            asked_here.insert(conversation(again.flow));
    std::map<const ListenerFacts*, Answers> found;
    for (const auto& [again, info] : rows) {
        // who acknowledged one had it: the listener waits for its data (TCP_DEFER_ACCEPT)
        if (again.type != ABI_RETRANSMIT_SYNACK || !again.segs || again.acked_segs)
            continue;
        const ListenerFacts* listener = listeners.of(again.flow, true);
        if (!listener || listener->trouble != ListenTrouble::kNone ||
            asked_here.contains(conversation(again.flow)))
            continue;
        Answers& answers = found[listener];
        const std::string client = address(again.flow, false);
        answers.repeats += again.segs;
        answers.conversations.insert(conversation(again.flow));
        (peers.contains({again.flow.netns, client}) ? answers.known : answers.unknown)[client] +=
            again.segs;
        answers.first_ns =
            answers.first_ns ? std::min(answers.first_ns, info.first_ns) : info.first_ns;
    }
    return found;
}

double share_of(const Answers& answers, const ListenerFacts& listener) {
    const double sent = double(listener.established + answers.repeats);
    return sent > 0 ? double(answers.to_known()) / sent : 0;
}

Finding server_finding(const ListenerFacts& listener, const Answers& answers, const Window& total) {
    const double share = share_of(answers, listener);
    Finding finding = listener_finding("synack-loss", listener, total);
    finding.severity =
        share >= threshold::kHandshakeLossCritical ? Severity::kCritical : Severity::kWarning;
    finding.confidence = 0.75;
    finding.first_ns = answers.first_ns;
    finding.count = answers.repeats;
    finding.rate_per_s = per_second(total, double(answers.repeats));
    finding.title = fmt::format("answers of {} on {} to new clients are lost on the way ({})",
                                owner_name(listener.sum.owner, total.names),
                                listener_name(listener), percent(share));
    add_party(finding.affected, {listener.sum.owner, listener.sum.flow.netns});
    if (answers.known.size() == 1)
        finding.where.remote = answers.known.begin()->first;
    finding.evidence.push_back(
        {fmt::format("{} SYN-ACKs were sent again to {} clients, of which {} have other "
                     "connections; {} connections were established",
                     answers.repeats, answers.known.size() + answers.unknown.size(),
                     answers.known.size(), listener.established),
         share, "ratio", "tcp_retransmit_synack"});
    finding.evidence.push_back({fmt::format("its accept queue was never full ({} of {} at most)",
                                            listener.sum.depth, listener.sum.limit),
                                double(listener.sum.depth), "connections", "sk_ack_backlog"});
    finding.evidence.push_back(no_local_drop(total));
    finding.advice.push_back({"check the way back to the clients: asymmetric routing, a firewall "
                              "that did not see the SYN, loss",
                              "mtr --tcp -rwzc 50 " + answers.known.begin()->first});
    return finding;
}

void add_clients(const Facts& facts, std::vector<Finding>& findings) {
    const HandshakeLosses losses(facts);
    for (const Handshakes& lost : losses.all()) {
        if (!lost.lost_on_return())
            continue;
        Finding finding = client_finding("synack-loss", lost, facts);
        finding.confidence = lost.like_data ? 0.6 : 0.9;
        finding.title = fmt::format("SYN-ACKs of {} are lost on the way back ({} of the SYNs to it "
                                    "were sent again)",
                                    destination(lost.flow), percent(lost.share()));
        finding.evidence.push_back(
            {fmt::format("the server is on this host: for {} of the {} attempts it repeated its "
                         "answer",
                         lost.answered_twice, lost.conversations),
             double(lost.answered_twice), "attempts", "tcp_retransmit_synack"});
        finding.advice.push_back({"check the way back from the server: asymmetric routing, a "
                                  "firewall that did not see the SYN, loss",
                                  ""});
        findings.push_back(std::move(finding));
    }
}

} // namespace

std::vector<Finding> detect_synack_loss(const Facts& facts) {
    std::vector<Finding> findings;
    add_clients(facts, findings);
    const Listeners listeners(facts.total);
    for (const auto& [listener, answers] : collect(facts.total, listeners))
        if (answers.to_known() >= threshold::kHandshakeRepeatsMin &&
            share_of(answers, *listener) >= threshold::kHandshakeLoss)
            findings.push_back(server_finding(*listener, answers, facts.total));
    return findings;
}

} // namespace culprit
