// SPDX-License-Identifier: MIT
// Loss takes SYNs here and there while their neighbours get through; an outage takes all for a
// while. So both have to be seen in the same seconds.
#include "detect/handshakes.h"

#include <algorithm>

#include <fmt/format.h>

#include "abi/flow.h"
#include "detect/drops.h"
#include "detect/flows.h"
#include "detect/listeners.h"
#include "detect/thresholds.h"
#include "detect/unreachable.h"
#include "model/format.h"

namespace culprit {

namespace {

using Key = std::pair<std::uint32_t, std::string>; // netns, destination
using All = std::map<Key, Handshakes>;

Handshakes& entry(All& all, const abi_flow& flow) {
    Handshakes& one = all[{flow.netns, destination(flow)}];
    one.flow = flow;
    return one;
}

void add_attempts(All& all, const Window& window) {
    for (const auto& [attempt, info] : window.rows<connect_event>(ABI_CONNECT)) {
        if (!attempt.flow.family)
            continue; // what did not fit into the table
        Handshakes& one = entry(all, attempt.flow);
        const bool silent = attempt.error == ETIMEDOUT || attempt.result == ABI_RESULT_ABANDONED;
        if (attempt.result == ABI_RESULT_OK) {
            one.ok += info.count;
            one.late += std::min<std::uint64_t>(info.count, attempt.syn_retransmits);
        } else if (silent && attempt.syn_retransmits) {
            one.failed += std::min<std::uint64_t>(info.count, attempt.syn_retransmits);
        }
    }
}

void add_repeats(All& all, const Window& window) {
    std::set<std::string> answers; // conversations
    for (const auto& [again, info] : window.rows<retransmit_event>(ABI_RETRANSMIT))
        if (again.type == ABI_RETRANSMIT_SYNACK)
            answers.insert(conversation(again.flow));
    for (const auto& [again, info] : window.rows<retransmit_event>(ABI_RETRANSMIT)) {
        if (again.type != ABI_RETRANSMIT_SYN || !again.segs || !again.flow.family)
            continue;
        Handshakes& one = entry(all, again.flow);
        one.repeats += again.segs;
        one.conversations++; // the flow is in the key: one row per attempt
        one.answered_twice += answers.contains(conversation(again.flow));
        one.first_ns = one.first_ns ? std::min(one.first_ns, info.first_ns) : info.first_ns;
        add_party(one.parties, {again.owner, again.flow.netns});
    }
}

void count_mixed_windows(All& all, std::span<const Window> windows) {
    for (const Window& window : windows) {
        All here;
        add_attempts(here, window);
        add_repeats(here, window);
        for (const auto& [key, one] : here)
            if (const auto known = all.find(key); known != all.end())
                known->second.mixed_windows += one.at_once() && one.repeats;
    }
}

bool is_lossy(const Handshakes& one, std::size_t windows) {
    return one.repeats >= threshold::kHandshakeRepeatsMin &&
           one.at_once() >= threshold::kHandshakeAnsweredMin &&
           one.share() >= threshold::kHandshakeLoss &&
           one.mixed_windows >= std::min(threshold::kHandshakeWindowsMin.value, windows);
}

/// Of the connections of that namespace with that peer that were looked at.
DataLoss looked_at(const Window& total, std::uint32_t netns, const std::string& peer) {
    DataLoss loss;
    for (const auto& [row, info] : total.rows<flow_total>(ABI_FLOW_TOTAL)) {
        if (row.flow.netns != netns || address(row.flow, false) != peer)
            continue;
        loss.sent += row.segs_out;
        loss.again += row.retransmits - std::min(row.retransmits, row.spurious);
    }
    // what young connections sent again has their SYNs in it
    for (const auto& [again, info] : total.rows<retransmit_event>(ABI_RETRANSMIT))
        if (again.type == ABI_RETRANSMIT_SYN && again.flow.netns == netns &&
            address(again.flow, false) == peer)
            loss.again -= std::min<std::uint64_t>(loss.again, again.segs);
    return loss;
}

} // namespace

double Handshakes::share() const {
    const std::uint64_t sent = attempts() + repeats;
    return sent ? double(repeats) / double(sent) : 0;
}

DataLoss data_loss(const Window& total, std::uint32_t netns, const std::string& peer) {
    DataLoss loss = looked_at(total, netns, peer);
    if (loss.sent)
        return loss;
    std::uint64_t handshakes = 0;
    for (const auto& [again, info] : total.rows<retransmit_event>(ABI_RETRANSMIT)) {
        if (again.flow.netns != netns)
            continue;
        const bool handshake =
            again.type == ABI_RETRANSMIT_SYN || again.type == ABI_RETRANSMIT_SYNACK;
        (handshake ? handshakes : loss.again) += again.segs;
    }
    const auto known = total.counters.find(netns);
    if (known == total.counters.end())
        return loss;
    const Counters& grew = known->second.growth;
    const std::uint64_t sent = grew[counter("Tcp.OutSegs")];
    loss.sent = sent - std::min(sent, handshakes);
    loss.again -= std::min<std::uint64_t>(loss.again, grew[counter("TcpExt.TCPDSACKRecvSegs")]);
    return loss;
}

HandshakeLosses::HandshakeLosses(const Facts& facts) {
    All all;
    add_attempts(all, facts.total);
    add_repeats(all, facts.total);
    count_mixed_windows(all, facts.windows);
    const Listeners listeners(facts.total);
    const Unreachables unreachables(facts.total);
    for (auto& [key, one] : all) {
        if (!is_lossy(one, facts.windows.size()) || listeners.at(one.flow, false) ||
            unreachables.explains(one.flow))
            continue;
        one.server_here = listeners.of(one.flow, false);
        const DataLoss data = data_loss(facts.total, one.flow.netns, address(one.flow, false));
        one.like_data = data.again >= threshold::kLossSegsMin &&
                        data.share() >= threshold::kHandshakeLikeData * one.share();
        x_all.push_back(one);
        x_places.insert(key);
    }
}

bool HandshakeLosses::has(const abi_flow& flow) const {
    return x_places.contains({flow.netns, destination(flow)});
}

Finding client_finding(const char* id, const Handshakes& lost, const Facts& facts) {
    const Window& total = facts.total;
    const std::string peer = address(lost.flow, false);
    Finding finding{.id = id};
    finding.severity = lost.share() >= threshold::kHandshakeLossCritical ? Severity::kCritical
                                                                         : Severity::kWarning;
    finding.affected = lost.parties;
    finding.where = {.remote = destination(lost.flow), .netns = lost.flow.netns};
    finding.first_ns = lost.first_ns;
    finding.count = lost.repeats;
    finding.rate_per_s = per_second(total, double(lost.repeats));
    finding.evidence.push_back(
        {fmt::format("{} SYNs were sent again by {} attempts, {} of all SYNs sent there; {} "
                     "attempts were answered at once, {} later",
                     lost.repeats, lost.conversations, percent(lost.share()), lost.at_once(),
                     lost.ok - lost.at_once()),
         lost.share(), "ratio", "tcp_retransmit_skb, inet_sock_set_state"});
    if (lost.failed)
        finding.evidence.push_back(
            {fmt::format("{} attempts ended without any answer", lost.failed), double(lost.failed),
             "attempts", "inet_sock_set_state"});
    const DataLoss data = data_loss(total, lost.flow.netns, peer);
    finding.evidence.push_back(
        {fmt::format("of {} other segments {} were lost ({}): established traffic is {}", data.sent,
                     data.again, percent(data.share()), lost.like_data ? "hit as well" : "fine"),
         data.share(), "ratio", "tcp_retransmit_skb / Tcp.OutSegs"});
    // a drop here that is worth a finding of its own explains this one
    const LocalDrops drops = find_local_drops(total);
    if (const DropPlace* at = drops.of_destination(lost.flow))
        finding.excuses.push_back(drop_owner(*at, total));
    else
        finding.evidence.push_back(no_local_drop(total));
    if (lost.like_data)
        finding.excuses.push_back({"packet-loss", lost.flow.netns});
    finding.verify =
        fmt::format("diagnose --only {} --port {} --for 30s", id, lost.flow.remote_port);
    return finding;
}

} // namespace culprit
