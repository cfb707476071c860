// SPDX-License-Identifier: MIT
// The kernel's own per-namespace network counters that verdicts are compared with.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace culprit {

/// /proc/net/snmp and /proc/net/netstat: "Tcp" line and column (RFC 4022 names and the kernel's
/// TcpExt); /proc/net/stat/nf_conntrack; /proc/net/snmp6: "Udp6" and the rest of the name.
inline constexpr auto kCounterNames =
    std::to_array<std::string_view>({"Tcp.ActiveOpens",
                                     "Tcp.PassiveOpens",
                                     "Tcp.AttemptFails",
                                     "Tcp.EstabResets",
                                     "Tcp.InSegs",
                                     "Tcp.OutSegs",
                                     "Tcp.RetransSegs",
                                     "Tcp.InErrs",
                                     "Tcp.OutRsts",
                                     "Tcp.InCsumErrors",
                                     "Udp.InDatagrams",
                                     "Udp.NoPorts",
                                     "Udp.InErrors",
                                     "Udp.OutDatagrams",
                                     "Udp.RcvbufErrors",
                                     "Udp.SndbufErrors",
                                     "TcpExt.ListenOverflows",
                                     "TcpExt.ListenDrops",
                                     "TcpExt.TCPTimeouts",
                                     "TcpExt.TCPLossProbes",
                                     "TcpExt.TCPFastRetrans",
                                     "TcpExt.TCPSlowStartRetrans",
                                     "TcpExt.TCPDSACKRecvSegs",
                                     "TcpExt.TCPRetransFail",
                                     "TcpExt.TCPSynRetrans",
                                     "TcpExt.TCPDSACKRecv",
                                     "TcpExt.TCPAbortOnTimeout",
                                     "TcpExt.TCPTimeWaitOverflow",
                                     "TcpExt.TWRecycled",
                                     "TcpExt.SyncookiesSent",
                                     "TcpExt.SyncookiesRecv",
                                     "TcpExt.SyncookiesFailed",
                                     "TcpExt.TCPReqQFullDoCookies",
                                     "TcpExt.TCPReqQFullDrop",
                                     "Conntrack.insert_failed",
                                     "Conntrack.drop",
                                     "Conntrack.early_drop",
                                     "Ip.InHdrErrors",
                                     "Ip.ReasmTimeout",
                                     "Ip.ReasmReqds",
                                     "Ip.ReasmOKs",
                                     "Ip.ReasmFails",
                                     "Ip.FragFails",
                                     "IcmpMsg.InType3",
                                     "IcmpMsg.InType11",
                                     "IcmpMsg.OutType3",
                                     "IcmpMsg.OutType11",
                                     "Ip6.ReasmReqds",
                                     "Ip6.ReasmOKs",
                                     "Ip6.ReasmFails",
                                     "Icmp6.InDestUnreachs",
                                     "Icmp6.InPktTooBigs",
                                     "Icmp6.InTimeExcds",
                                     "Ip.InReceives",
                                     "Ip.InAddrErrors",
                                     "Ip.OutNoRoutes",
                                     "IpExt.InNoRoutes",
                                     "TcpExt.IPReversePathFilter",
                                     "Udp.InCsumErrors",
                                     "Udp.MemErrors",
                                     "TcpExt.PruneCalled",
                                     "TcpExt.RcvPruned",
                                     "TcpExt.OfoPruned",
                                     "TcpExt.TCPRcvCollapsed",
                                     "TcpExt.TCPRcvQDrop",
                                     "TcpExt.TCPOFODrop",
                                     "TcpExt.TCPBacklogDrop",
                                     "TcpExt.TCPMemoryPressures",
                                     "IpExt.InCsumErrors",
                                     "TcpExt.TCPSACKReorder",
                                     "TcpExt.TCPTSReorder",
                                     "TcpExt.TCPToZeroWindowAdv",
                                     "TcpExt.TCPWinProbe",
                                     "Udp6.InDatagrams",
                                     "Udp6.NoPorts",
                                     "Udp6.OutDatagrams",
                                     "Udp6.RcvbufErrors",
                                     "Udp6.SndbufErrors",
                                     "Udp6.InCsumErrors",
                                     "Udp6.MemErrors",
                                     "Ip6.InReceives",
                                     "Ip6.InNoRoutes",
                                     "Ip6.OutNoRoutes"});

/// Values in the order of kCounterNames; absolute as read, or the growth over a window.
using Counters = std::array<std::uint64_t, kCounterNames.size()>;

/// Index of a name known at compile time: counter("Tcp.RetransSegs").
consteval std::size_t counter(std::string_view name) {
    for (std::size_t i = 0; i < kCounterNames.size(); i++)
        if (kCounterNames[i] == name)
            return i;
    throw "no such counter";
}

/// Index of a name from outside; nullopt when unknown.
std::optional<std::size_t> find_counter(std::string_view name);

/// Adds what one file of /proc/net says; columns this kernel lacks stay as they are.
void parse_counters(std::string_view text, Counters& into);

/// Adds what /proc/net/stat/nf_conntrack says: names, then a line of hexadecimal numbers per CPU.
void parse_conntrack(std::string_view text, Counters& into);
/// Adds what /proc/net/snmp6 says.
void parse_counters6(std::string_view text, Counters& into);

/// now - before, 0 where a counter went back (the namespace was made anew).
Counters growth(const Counters& now, const Counters& before);

} // namespace culprit
