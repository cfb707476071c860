// SPDX-License-Identifier: MIT
// One place decides what is wrong with a listener, so that no two detectors claim it.
#include "detect/listeners.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <tuple>

#include <sys/socket.h>

#include <fmt/format.h>

#include "abi/retransmit.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

bool is_any(const abi_flow& flow) {
    return std::ranges::all_of(flow.local, [](std::uint8_t byte) { return byte == 0; });
}

void add_up(listen_total& sum, const listen_total& row) {
    const Kind& kind = *find_kind(ABI_LISTEN_TOTAL);
    Table table(kind);
    listen_total same = row;
    std::memcpy(&same.owner, &sum.owner, sizeof(same.owner));
    table.fold(bytes_of(sum), {});
    table.fold(bytes_of(same), {});
    std::memcpy(&sum, table.record(0).data(), sizeof(sum));
}

/// SYNs that a full SYN queue turned away, or answered by a cookie that never came back.
bool is_flood(const ListenerFacts& l) {
    if (!l.sum.looks_syn_full || !l.counters)
        return false;
    const std::uint64_t sent = l.counted(counter("TcpExt.SyncookiesSent"));
    const std::uint64_t answered = l.counted(counter("TcpExt.SyncookiesRecv"));
    if (sent >= threshold::kFloodMin &&
        double(answered) <= threshold::kFloodAnswered * double(sent))
        return true;
    const std::uint64_t all = l.counted(counter("TcpExt.ListenDrops"));
    const std::uint64_t overflows = l.counted(counter("TcpExt.ListenOverflows"));
    const std::uint64_t turned_away =
        std::min<std::uint64_t>(all - std::min(all, overflows), l.sum.drops);
    return turned_away >= threshold::kFloodMin && turned_away > overflows &&
           double(l.established) <= threshold::kFloodAnswered * double(turned_away);
}

ListenTrouble judge_listener(const ListenerFacts& l) {
    if (is_flood(l))
        return ListenTrouble::kFlood;
    const bool drops = l.sum.drops && (!l.counters || l.counted(counter("TcpExt.ListenOverflows")));
    const bool stays_full = l.sum.limit >= threshold::kFullLimitMin &&
                            l.sum.looks_full >= threshold::kFullLooksMin &&
                            double(l.sum.looks_full) >= threshold::kFullShare * double(l.sum.looks);
    if (!l.was_full() || (!drops && !stays_full))
        return ListenTrouble::kNone;
    const bool no_files =
        l.sum.files_limit && l.sum.open_files + threshold::kFilesLeft >= l.sum.files_limit;
    return no_files ? ListenTrouble::kNoFiles : ListenTrouble::kOverflow;
}

} // namespace

Listeners::Listeners(const Window& total) : x_reach(total) {
    std::map<std::tuple<std::uint64_t, std::uint32_t, std::uint16_t>, std::size_t> index;
    std::map<std::pair<std::uint32_t, std::string>, listen_total> groups;
    for (const auto& [row, info] : total.rows<listen_total>(ABI_LISTEN_TOTAL)) {
        if (!row.flow.family)
            continue; // what did not fit into the table
        if (row.scope == ABI_LISTEN_GROUP) {
            listen_total& group = groups[{row.flow.netns, endpoint(row.flow, true)}];
            group.established += row.established;
            group.accepted += row.accepted;
            continue;
        }
        const auto [at, fresh] =
            index.try_emplace({row.since_ns, row.flow.netns, row.flow.local_port}, x_all.size());
        if (fresh) {
            x_all.push_back({.sum = row, .first_ns = info.first_ns, .last_ns = info.last_ns});
            continue;
        }
        ListenerFacts& known = x_all[at->second];
        add_up(known.sum, row);
        // its owner may become known, or end and leave it to another one
        if (info.last_ns >= known.last_ns)
            known.sum.owner = row.owner;
        known.first_ns = std::min(known.first_ns, info.first_ns);
        known.last_ns = std::max(known.last_ns, info.last_ns);
    }
    for (ListenerFacts& l : x_all) {
        const listen_total& group = groups[{l.sum.flow.netns, endpoint(l.sum.flow, true)}];
        l.established = l.sum.established + group.established;
        l.accepted = l.sum.accepted + group.accepted;
        const auto counters = total.counters.find(l.sum.flow.netns);
        if (counters != total.counters.end() && counters->second.error.empty())
            l.counters = &counters->second.growth;
        l.trouble = judge_listener(l);
    }
    add_places();
}

void Listeners::add_places() {
    std::vector<std::size_t> order(x_all.size());
    std::iota(order.begin(), order.end(), 0);
    // the kernel prefers who listens on the one address, and for IPv4 who listens on IPv4 only
    std::ranges::stable_sort(order, {}, [&](std::size_t i) {
        const abi_flow& flow = x_all[i].sum.flow;
        return std::tuple(is_any(flow), flow.family == AF_INET6,
                          x_all[i].trouble == ListenTrouble::kNone);
    });
    for (const std::size_t i : order)
        x_reach.add(x_all[i].sum.flow, i);
    x_reach.meet();
}

const ListenerFacts* Listeners::of(const abi_flow& flow, bool local) const {
    const auto found = x_reach.to(flow, local);
    return found ? &x_all[*found] : nullptr;
}

const ListenerFacts* Listeners::at(const abi_flow& flow, bool local) const {
    const ListenerFacts* found = of(flow, local);
    return found && found->trouble != ListenTrouble::kNone ? found : nullptr;
}

bool Listeners::explains_drop(std::uint32_t netns, const std::string& reason,
                              const std::string& symbol) const {
    const bool mark = reason == "TCP_LISTEN_OVERFLOW" || symbol.starts_with("cookie_v4_check") ||
                      symbol.starts_with("cookie_v6_check");
    return mark && std::ranges::any_of(x_all, [&](const ListenerFacts& l) {
               return l.trouble != ListenTrouble::kNone && l.sum.flow.netns == netns;
           });
}

bool Listeners::is_backscatter(const abi_flow& flow) const {
    const ListenerFacts* from = at(flow, true);
    return from && from->trouble == ListenTrouble::kFlood;
}

std::string listener_name(const ListenerFacts& listener) {
    const abi_flow& flow = listener.sum.flow;
    return is_any(flow) ? fmt::format("*:{}", flow.local_port) : endpoint(flow, true);
}

Finding listener_finding(const char* id, const ListenerFacts& listener, const Window& total) {
    const listen_total& sum = listener.sum;
    Finding finding{.id = id};
    finding.where = {.local = listener_name(listener), .netns = sum.flow.netns};
    finding.first_ns = listener.first_ns;
    finding.count = sum.drops;
    finding.rate_per_s = total.seconds() > 0 ? double(finding.count) / total.seconds() : 0;
    finding.verify = fmt::format("diagnose --only {} --port {} --for 30s", id, sum.flow.local_port);
    return finding;
}

void add_accept_queue(Finding& finding, const ListenerFacts& listener) {
    const listen_total& sum = listener.sum;
    const double share = sum.looks ? double(sum.looks_full) / double(sum.looks) : 0;
    finding.evidence.push_back(
        {fmt::format("accept queue {} of {}, full at {} of {} looks ({})", sum.depth, sum.limit,
                     sum.looks_full, sum.looks, percent(share)),
         double(sum.depth), "connections", "sk_ack_backlog / sk_max_ack_backlog"});
    if (sum.drops)
        finding.evidence.push_back({fmt::format("this socket dropped {} packets", sum.drops),
                                    double(sum.drops), "packets", "sk_drops"});
    if (listener.counters)
        finding.evidence.push_back(
            {fmt::format("the namespace counted {} overflows of accept queues",
                         listener.counted(counter("TcpExt.ListenOverflows"))),
             double(listener.counted(counter("TcpExt.ListenOverflows"))), "overflows",
             "TcpExt.ListenOverflows"});
}

void add_sufferers(Finding& finding, const ListenerFacts& listener, const Listeners& listeners,
                   const Window& total) {
    std::uint64_t repeats = 0;
    for (const auto& [again, info] : total.rows<retransmit_event>(ABI_RETRANSMIT)) {
        if (again.type != ABI_RETRANSMIT_SYN || listeners.at(again.flow, false) != &listener)
            continue;
        repeats += again.segs;
        add_party(finding.affected, {again.owner, again.flow.netns});
    }
    if (repeats)
        finding.evidence.push_back(
            {fmt::format("{} SYNs to it were sent again by processes of this host", repeats),
             double(repeats), "SYNs", "tcp_retransmit_skb"});
    if (const std::uint64_t again = listener.sum.synack_retransmits)
        finding.evidence.push_back({fmt::format("{} SYN-ACKs were sent again", again),
                                    double(again), "SYN-ACKs", "tcp_retransmit_synack"});
}

} // namespace culprit
