// SPDX-License-Identifier: MIT
// Compares what the hooks saw with the kernel's own counters, per namespace, and says what remains.
#include <net/ethernet.h>
#include <netinet/in.h>

#include <algorithm>
#include <iterator>
#include <map>

#include "abi/icmp.h"
#include "abi/reset.h"
#include "abi/route.h"
#include "abi/socket.h"
#include "abi/softnet.h"
#include "detect/drops.h"
#include "detect/finding.h"
#include "detect/flows.h"
#include "detect/listeners.h"
#include "detect/queues.h"
#include "detect/reconcile_links.h"
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

/// IPv4 only; every place that counts these drops the packet with that reason
/// (net/ipv4/ip_forward.c: ip_forward()).
void add_forwarding(const Window& total, Sums& sums) {
    constexpr std::uint16_t kIpv4 = 0x0800;
    for (const auto& [drop, info] : total.rows<drop_total>(ABI_DROP_TOTAL)) {
        const std::string reason = drop_reason(drop.reason, total.names);
        if (drop.ethertype == kIpv4 && reason == "PKT_TOO_BIG")
            sums[drop.netns][counter("Ip.FragFails")] += drop.packets;
        if (drop.ethertype == kIpv4 && reason == "IP_INHDR")
            sums[drop.netns][counter("Ip.InHdrErrors")] += drop.packets;
    }
    constexpr std::uint8_t kUnreachable = 3, kTimeExceeded = 11;
    for (const auto& [icmp, info] : total.rows<icmp_total>(ABI_ICMP_TOTAL)) {
        if (icmp.direction != ABI_SENT)
            continue;
        if (icmp.type == kUnreachable)
            sums[icmp.netns][counter("IcmpMsg.OutType3")] += icmp.packets;
        if (icmp.type == kTimeExceeded)
            sums[icmp.netns][counter("IcmpMsg.OutType11")] += icmp.packets;
    }
}

/// A datagram that fails frees its fragments with that reason, at least one: so they explain at
/// most what was counted.
void add_reassembly(const Window& total, Sums& sums) {
    constexpr std::size_t kFails = counter("Ip.ReasmFails");
    for (const auto& [drop, info] : total.rows<drop_total>(ABI_DROP_TOTAL))
        if (drop_reason(drop.reason, total.names).starts_with("FRAG_"))
            sums[drop.netns][kFails] += drop.packets;
    for (const auto& [netns, counters] : total.counters)
        sums[netns][kFails] = std::min(sums[netns][kFails], counters.growth[kFails]);
}

/// UDP over IPv4 and over IPv6 is counted apart.
struct UdpCounters {
    std::uint16_t ethertype;
    std::size_t rcvbuf, no_ports, csum, sndbuf;
};
constexpr UdpCounters kUdpCounters[] = {
    {ETHERTYPE_IP, counter("Udp.RcvbufErrors"), counter("Udp.NoPorts"), counter("Udp.InCsumErrors"),
     counter("Udp.SndbufErrors")},
    {ETHERTYPE_IPV6, counter("Udp6.RcvbufErrors"), counter("Udp6.NoPorts"),
     counter("Udp6.InCsumErrors"), counter("Udp6.SndbufErrors")},
};

const UdpCounters* udp_counters(const drop_total& drop) {
    const auto* one = std::ranges::find(kUdpCounters, drop.ethertype, &UdpCounters::ethertype);
    return drop.protocol == IPPROTO_UDP && one != std::end(kUdpCounters) ? one : nullptr;
}

/// TCP counts both families together; UDP drops with a reason wherever it counts (net/ipv4/udp.c,
/// net/ipv6/udp.c).
void add_udp(const Window& total, Sums& sums) {
    for (const auto& [drop, info] : total.rows<drop_total>(ABI_DROP_TOTAL)) {
        const std::string reason = drop_reason(drop.reason, total.names);
        if (reason == "TCP_CSUM")
            sums[drop.netns][counter("Tcp.InCsumErrors")] += drop.packets;
        const UdpCounters* udp = udp_counters(drop);
        if (udp && reason == "SOCKET_RCVBUFF")
            sums[drop.netns][udp->rcvbuf] += drop.packets;
        if (udp && reason == "NO_SOCKET")
            sums[drop.netns][udp->no_ports] += drop.packets;
        if (udp && reason == "UDP_CSUM")
            sums[drop.netns][udp->csum] += drop.packets;
    }
}

/// An IPv6 packet without a route meets one that drops it, whose device is the loopback device
/// (net/ipv6/route.c: ip6_pkt_drop()); a received one still has its own.
void add_route6(const drop_total& drop, const Names& names, Sums& sums) {
    constexpr std::uint32_t kLoopback = 1;
    if (symbol(drop.location, names).starts_with("ip6_pkt_"))
        sums[drop.netns][drop.ifindex == kLoopback ? counter("Ip6.OutNoRoutes")
                                                   : counter("Ip6.InNoRoutes")] += drop.packets;
}

/// The kernel counts a call without a route, and a packet of its own that it drops for want of one:
/// so do segments of connections.
void add_routes(const Window& total, Sums& sums) {
    constexpr std::size_t kNoRoutes[] = {counter("Ip.OutNoRoutes"), counter("Ip6.OutNoRoutes")};
    for (const auto& [row, info] : total.rows<route_total>(ABI_ROUTE_TOTAL)) {
        const bool segment = row.via == ABI_ROUTE_SEND && row.flow.protocol == IPPROTO_TCP;
        if (row.via != ABI_ROUTE_RECEIVED && !segment && row.error == ENETUNREACH)
            sums[row.flow.netns][kNoRoutes[row.flow.family == AF_INET6]] += row.failed;
    }
    for (const auto& [drop, info] : total.rows<drop_total>(ABI_DROP_TOTAL)) {
        if (drop.ethertype == ETHERTYPE_IPV6)
            add_route6(drop, total.names, sums);
        if (drop.ethertype != ETHERTYPE_IP && drop.ethertype)
            continue;
        const std::string reason = drop_reason(drop.reason, total.names);
        if (reason == "IP_OUTNOROUTES")
            sums[drop.netns][counter("Ip.OutNoRoutes")] += drop.packets;
        else if (reason == "IP_INNOROUTES")
            sums[drop.netns][counter("IpExt.InNoRoutes")] += drop.packets;
        else if (reason == "IP_RPFILTER")
            sums[drop.netns][counter("TcpExt.IPReversePathFilter")] += drop.packets;
        else if (reason == "IP_INADDRERRORS")
            sums[drop.netns][counter("Ip.InAddrErrors")] += drop.packets;
    }
    // what a rule refuses looks like no route, and is not counted
    for (const auto& [netns, counters] : total.counters)
        for (const std::size_t i : kNoRoutes)
            sums[netns][i] = std::min(sums[netns][i], counters.growth[i]);
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

/// A connection table refuses packets where rules do in older kernels, and iptables' do in all: so
/// these drops explain at most what it counted.
void add_conntrack(const Window& total, Sums& sums) {
    constexpr std::size_t kDrop = counter("Conntrack.drop");
    for (const auto& [drop, info] : total.rows<drop_total>(ABI_DROP_TOTAL))
        if (symbol(drop.location, total.names).starts_with("nf_hook_slow+"))
            sums[drop.netns][kDrop] += drop.packets;
    for (const auto& [netns, counters] : total.counters)
        sums[netns][kDrop] = std::min(sums[netns][kDrop], counters.growth[kDrop]);
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

/// What a device's queues count against the packets seen to be dropped there.
void compare_queues(const Window& total, std::vector<Reconciled>& rows) {
    std::map<DeviceKey, std::uint64_t> seen;
    for (const auto& [drop, info] : total.rows<drop_total>(ABI_DROP_TOTAL)) {
        const std::string reason = drop_reason(drop.reason, total.names);
        const std::string place = symbol(drop.location, total.names);
        // a large packet is cut before it is queued: where its parts are dropped with the reason,
        // it goes without one
        if (reason != "NOT_SPECIFIED" &&
            drop_class(reason, place.substr(0, place.find_first_of("+."))) == "qdisc-drop")
            seen[{drop.netns, drop.ifindex}] += drop.packets;
    }
    const Queues queues(total);
    for (const auto& [at, stats] : queues.stats()) {
        const std::uint64_t drops = queues.counted(at).drops;
        if (!drops)
            continue;
        Reconciled row{"qdisc drops of " + device(at.first, at.second, total.names), at.first,
                       drops, seen[at], ""};
        if (row.unexplained())
            row.note = "the queue's counter was read a moment after the drops were";
        rows.push_back(std::move(row));
    }
}

/// A datagram that its own host's queue drops is counted there, when it was sent without asking for
/// errors (net/ipv4/udp.c: udp_send_skb()).
void add_refused_datagrams(const Window& total, Sums& sums) {
    for (const auto& [drop, info] : total.rows<drop_total>(ABI_DROP_TOTAL)) {
        const std::string reason = drop_reason(drop.reason, total.names);
        const std::string place = symbol(drop.location, total.names);
        const UdpCounters* udp = udp_counters(drop);
        if (udp && drop_class(reason, place.substr(0, place.find_first_of("+."))) == "qdisc-drop")
            sums[drop.netns][udp->sndbuf] += drop.packets;
    }
    for (const auto& [netns, counters] : total.counters)
        for (const UdpCounters& udp : kUdpCounters)
            sums[netns][udp.sndbuf] =
                std::min(sums[netns][udp.sndbuf], counters.growth[udp.sndbuf]);
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
constexpr const char* kReasonNote =
    "the counter is read a moment before the totals of drops; kernels "
    "before 5.17 give no reason";
constexpr const char* kUdpCsumNote = "what a process finds corrupt while it polls belongs to no "
                                     "namespace";
constexpr const char* kSndbufNote = "a full send buffer counts here too";
constexpr const char* kCookieNote = "no single listener of the namespace was seen with a full SYN "
                                    "queue";

constexpr const char* kIcmpNote = "kernels without the tracepoint icmp_send (before 6.10, some "
                                  "older ones have it) only count ICMP errors";
constexpr const char* kForwardNote = "some are counted in other places, and before 5.17 drops have "
                                     "no reason";
constexpr const char* kRouteNote = "lookups of calls that do not name their destination (io_uring) "
                                   "are not seen";

constexpr Compared kCompared[] = {
    {counter("Tcp.RetransSegs"), ""},
    {counter("Tcp.OutRsts"), "kernels before 6.10 give no trace of resets without a socket"},
    {counter("Tcp.AttemptFails"),
     "resets of half-open requests are counted by the kernel without a trace"},
    {counter("Tcp.EstabResets"), ""},
    {counter("Tcp.InErrs"),
     "repeated SYNs of established connections are counted without a place of their own"},
    {counter("Tcp.InCsumErrors"), kReasonNote},
    {counter("Udp.RcvbufErrors"), kReasonNote},
    {counter("Udp.NoPorts"), kReasonNote},
    {counter("Udp.InCsumErrors"), kUdpCsumNote},
    {counter("Udp.SndbufErrors"), kSndbufNote},
    {counter("Udp6.RcvbufErrors"), kReasonNote},
    {counter("Udp6.NoPorts"), kReasonNote},
    {counter("Udp6.InCsumErrors"), kUdpCsumNote},
    {counter("Udp6.SndbufErrors"), kSndbufNote},
    {counter("TcpExt.ListenDrops"), kListenNote},
    {counter("TcpExt.ListenOverflows"), kListenNote},
    {counter("TcpExt.SyncookiesSent"), kCookieNote},
    {counter("TcpExt.SyncookiesRecv"), kCookieNote},
    {counter("Conntrack.drop"), "what is refused to a process is counted without a packet"},
    {counter("IcmpMsg.OutType3"), kIcmpNote},
    {counter("IcmpMsg.OutType11"), kIcmpNote},
    {counter("Ip.FragFails"), kForwardNote},
    {counter("Ip.InHdrErrors"), kForwardNote},
    {counter("Ip.ReasmFails"),
     "a datagram whose first fragment never came is thrown away without a namespace"},
    {counter("Ip.OutNoRoutes"), kRouteNote},
    {counter("Ip6.OutNoRoutes"), kRouteNote},
    {counter("Ip6.InNoRoutes"), kReasonNote},
    {counter("IpExt.InNoRoutes"), kReasonNote},
    {counter("Ip.InAddrErrors"), kReasonNote},
    {counter("TcpExt.IPReversePathFilter"), kReasonNote},
};

} // namespace

std::vector<Reconciled> reconcile(const Facts& facts) {
    Sums sums;
    add_retransmits(facts.total, sums);
    add_connections(facts.total, sums);
    add_resets(facts.total, sums);
    add_input_errors(facts.total, sums);
    add_udp(facts.total, sums);
    add_listeners(facts.total, sums);
    add_conntrack(facts.total, sums);
    add_forwarding(facts.total, sums);
    add_reassembly(facts.total, sums);
    add_refused_datagrams(facts.total, sums);
    add_routes(facts.total, sums);
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
    compare_queues(facts.total, rows);
    compare_backlogs(facts, rows);
    std::ranges::move(reconcile_links(facts), std::back_inserter(rows));
    return rows;
}

} // namespace culprit
