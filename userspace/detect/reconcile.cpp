// SPDX-License-Identifier: MIT
// Compares what the hooks saw with the kernel's own counters, per namespace, and says what remains.
#include <algorithm>
#include <map>

#include "abi/reset.h"
#include "abi/socket.h"
#include "abi/softnet.h"
#include "detect/drops.h"
#include "detect/finding.h"
#include "detect/flows.h"
#include "detect/listeners.h"
#include "model/format.h"

namespace culprit {

namespace {

using Sums = std::map<std::uint32_t, std::array<std::uint64_t, kCounterNames.size()>>;

void add_retransmits(const Window& total, Sums& sums) {
    for (const auto& [again, info] : total.rows<retransmit_event>(ABI_RETRANSMIT))
        sums[again.flow.netns][counter("Tcp.RetransSegs")] += again.segs;
    // failed attempts that are counted all the same have a counter of their own
    // (net/ipv4/tcp_output.c)
    for (const auto& [netns, counters] : total.counters)
        sums[netns][counter("Tcp.RetransSegs")] +=
            counters.growth[counter("TcpExt.TCPRetransFail")];
}

void add_connections(const Window& total, Sums& sums) {
    for (const auto& [closed, info] : total.rows<close_event>(ABI_CLOSE)) {
        constexpr std::uint32_t kEstablished = 1, kSynRecv = 3, kCloseWait = 8;
        if (closed.last_state == kEstablished || closed.last_state == kCloseWait)
            sums[closed.flow.netns][counter("Tcp.EstabResets")] += info.count;
        if (closed.last_state == kSynRecv)
            sums[closed.flow.netns][counter("Tcp.AttemptFails")] += info.count;
    }
    for (const auto& [attempt, info] : total.rows<connect_event>(ABI_CONNECT))
        if (attempt.result == ABI_RESULT_ERROR)
            sums[attempt.flow.netns][counter("Tcp.AttemptFails")] += info.count;
}

void add_resets(const Window& total, Sums& sums) {
    for (const auto& [reset, info] : total.rows<reset_event>(ABI_RESET))
        if (reset.direction == ABI_SENT)
            sums[reset.flow.netns][counter("Tcp.OutRsts")] += info.count;
}

/// Every place that counts InErrs drops the segment with one of these reasons (net/ipv4/tcp_ipv4.c,
/// tcp_input.c). A repeated SYN counts in ESTABLISHED only.
void add_input_errors(const Window& total, Sums& sums) {
    for (const auto& [drop, info] : total.rows<drop_total>(ABI_DROP_TOTAL)) {
        const std::string reason = drop_reason(drop.reason, total.names);
        const bool tcp = drop.protocol == IPPROTO_TCP;
        if (tcp && (reason == "TCP_CSUM" || reason == "PKT_TOO_SMALL"))
            sums[drop.netns][counter("Tcp.InErrs")] += drop.packets;
    }
}

/// Each ListenDrop, and so each ListenOverflow, is one of a listener's own drops
/// (include/net/tcp.h: tcp_listendrop()), which count other packets too: so they explain at most
/// what the namespace counted. Cookies are answers to a full SYN queue: of the only listener that
/// had one.
void add_listeners(const Window& total, Sums& sums) {
    constexpr std::size_t kDrops = counter("TcpExt.ListenDrops"),
                          kOverflows = counter("TcpExt.ListenOverflows");
    const Listeners listeners(total);
    std::map<std::uint32_t, int> syn_full; // netns -> listeners
    for (const ListenerFacts& l : listeners.all()) {
        Counters& sum = sums[l.sum.flow.netns];
        sum[kDrops] += l.sum.drops;
        if (l.was_full() && l.trouble != ListenTrouble::kFlood)
            sum[kOverflows] += l.sum.drops;
        syn_full[l.sum.flow.netns] += l.sum.looks_syn_full > 0;
    }
    for (const auto& [netns, count] : syn_full) {
        const auto counted = total.counters.find(netns);
        if (counted == total.counters.end())
            continue;
        const Counters& growth = counted->second.growth;
        for (const std::size_t i : {kDrops, kOverflows})
            sums[netns][i] = std::min(sums[netns][i], growth[i]);
        for (const std::size_t i :
             {counter("TcpExt.SyncookiesSent"), counter("TcpExt.SyncookiesRecv")})
            sums[netns][i] = count == 1 ? growth[i] : 0;
    }
}

/// sockstat counts small sockets, those in FIN_WAIT2 too (net/ipv4/inet_timewait_sock.c:
/// inet_twsk_add_node()).
std::map<std::uint32_t, std::uint64_t> small_sockets(const Window& total) {
    std::map<std::uint32_t, std::uint64_t> small;
    for (const auto& [row, info] : total.rows<socket_total>(ABI_SOCKET_TOTAL))
        if (row.keeper == ABI_KEEPER_TIMER)
            small[row.flow.netns] += row.at_end;
    return small;
}

/// A level, not a growth: both were read at the end, the sockets after the counter.
void compare_time_wait(const Window& total, std::vector<Reconciled>& rows) {
    if (!total.tables.contains(ABI_SOCKET_TOTAL))
        return;
    auto small = small_sockets(total);
    for (const auto& [netns, counters] : total.counters) {
        const auto kernel = counters.gauges.at(gauge("TCP.tw"));
        if (!counters.error.empty() || !kernel || (!*kernel && !small[netns]))
            continue;
        Reconciled row{"sockstat TCP.tw", netns, *kernel, small[netns], ""};
        if (row.unexplained())
            row.note = "the sockets were counted a moment after the counter was read";
        rows.push_back(std::move(row));
    }
}

/// Each packet a full backlog refuses is one drop of the tracepoint (net/core/dev.c:
/// enqueue_to_backlog()); the counter is the whole host's.
void compare_backlogs(const Facts& facts, std::vector<Reconciled>& rows) {
    Reconciled row{"softnet_stat dropped", 0, 0, 0, ""};
    for (const auto& [cpu, info] : facts.total.rows<softnet_total>(ABI_SOFTNET_TOTAL))
        row.kernel += cpu.dropped;
    for (const DropFacts& drops : facts.drops().of("softnet-drop"))
        row.explained += drops.packets;
    if (row.unexplained())
        row.note = "the counters were read a moment after the drops";
    if (row.kernel || row.explained)
        rows.push_back(std::move(row));
}

struct Compared {
    std::size_t counter;
    const char* note; // shown when something remains
};

constexpr const char* kListenNote = "drops of listeners that are not watched have no place";
constexpr const char* kCookieNote = "no single listener of the namespace was seen with a full SYN "
                                    "queue";

constexpr Compared kCompared[] = {
    {counter("Tcp.RetransSegs"), ""},
    {counter("Tcp.OutRsts"), "kernels before 6.10 give no trace of resets without a socket"},
    {counter("Tcp.AttemptFails"),
     "resets of half-open requests are counted by the kernel without a trace"},
    {counter("Tcp.EstabResets"), ""},
    {counter("Tcp.InErrs"),
     "repeated SYNs of established connections are counted without a place of their own"},
    {counter("TcpExt.ListenDrops"), kListenNote},
    {counter("TcpExt.ListenOverflows"), kListenNote},
    {counter("TcpExt.SyncookiesSent"), kCookieNote},
    {counter("TcpExt.SyncookiesRecv"), kCookieNote},
};

} // namespace

std::vector<Reconciled> reconcile(const Facts& facts) {
    Sums sums;
    add_retransmits(facts.total, sums);
    add_connections(facts.total, sums);
    add_resets(facts.total, sums);
    add_input_errors(facts.total, sums);
    add_listeners(facts.total, sums);
    std::vector<Reconciled> rows;
    for (const auto& [netns, counters] : facts.total.counters) {
        if (!counters.error.empty())
            continue;
        for (const Compared& compared : kCompared) {
            Reconciled row{std::string(kCounterNames[compared.counter]), netns,
                           counters.growth[compared.counter], sums[netns][compared.counter], ""};
            if (row.unexplained())
                row.note = compared.note;
            if (row.kernel || row.explained)
                rows.push_back(std::move(row));
        }
    }
    compare_time_wait(facts.total, rows);
    compare_backlogs(facts, rows);
    return rows;
}

} // namespace culprit
