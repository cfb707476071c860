// SPDX-License-Identifier: MIT
// The kernel's own per-namespace network counters that verdicts are compared with.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace culprit {

/// /proc/net/snmp and /proc/net/netstat: line and column (RFC 4022, RFC 4293 names and the kernel's
/// TcpExt, IpExt).
inline constexpr std::array<std::string_view, 38> kCounterNames = {"Tcp.ActiveOpens",
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
                                                                   "TcpExt.SyncookiesSent",
                                                                   "TcpExt.SyncookiesRecv",
                                                                   "TcpExt.SyncookiesFailed",
                                                                   "TcpExt.TCPReqQFullDoCookies",
                                                                   "TcpExt.TCPReqQFullDrop",
                                                                   "Ip.InReceives",
                                                                   "Ip.InAddrErrors",
                                                                   "Ip.OutNoRoutes",
                                                                   "IpExt.InNoRoutes",
                                                                   "TcpExt.IPReversePathFilter"};

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

/// now - before, 0 where a counter went back (the namespace was made anew).
Counters growth(const Counters& now, const Counters& before);

} // namespace culprit
