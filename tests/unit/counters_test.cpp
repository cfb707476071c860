// SPDX-License-Identifier: MIT
// /proc/net/snmp and /proc/net/netstat as several kernels write them, and as nobody should.
#include <string>

#include "kernel/counters.h"
#include "support/catch.h"

using namespace culprit;

namespace {

constexpr std::string_view kSnmp = "Ip: Forwarding DefaultTTL InReceives InHdrErrors\n"
                                   "Ip: 1 64 187654 0\n"
                                   "Icmp: InMsgs InErrors InCsumErrors\n"
                                   "Icmp: 12 0 0\n"
                                   "IcmpMsg: InType3 OutType3\n"
                                   "IcmpMsg: 12 12\n"
                                   "Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens "
                                   "PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs "
                                   "RetransSegs InErrs OutRsts InCsumErrors\n"
                                   "Tcp: 1 200 120000 -1 511 312 45 17 9 120345 130456 678 3 91 2\n"
                                   "Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors "
                                   "SndbufErrors InCsumErrors IgnoredMulti MemErrors\n"
                                   "Udp: 4000 12 34 4100 30 4 0 2 0\n"
                                   "UdpLite: InDatagrams NoPorts InErrors\n"
                                   "UdpLite: 7 7 7\n";

constexpr std::string_view kNetstat =
    "TcpExt: SyncookiesSent TW ListenOverflows ListenDrops TCPTimeouts TCPLossProbes "
    "TCPFastRetrans "
    "TCPSlowStartRetrans TCPDSACKRecv TCPDSACKRecvSegs TCPRetransFail TCPSynRetrans "
    "TCPAbortOnTimeout\n"
    "TcpExt: 0 100 5 6 70 80 90 100 110 120 130 140 18446744073709551615\n"
    "IpExt: InNoRoutes InOctets\n"
    "IpExt: 1 2\n";

Counters parsed(std::string_view text) {
    Counters counters{};
    parse_counters(text, counters);
    return counters;
}

} // namespace

TEST_CASE("snmp columns are found by name, around a negative MaxConn", "[counters_test]") {
    const Counters c = parsed(kSnmp);
    CHECK(c[counter("Tcp.ActiveOpens")] == 511);
    CHECK(c[counter("Tcp.PassiveOpens")] == 312);
    CHECK(c[counter("Tcp.AttemptFails")] == 45);
    CHECK(c[counter("Tcp.EstabResets")] == 17);
    CHECK(c[counter("Tcp.InSegs")] == 120345);
    CHECK(c[counter("Tcp.OutSegs")] == 130456);
    CHECK(c[counter("Tcp.RetransSegs")] == 678);
    CHECK(c[counter("Tcp.InErrs")] == 3);
    CHECK(c[counter("Tcp.OutRsts")] == 91);
    CHECK(c[counter("Tcp.InCsumErrors")] == 2);
}

TEST_CASE("UDP is not mixed up with UDP-Lite", "[counters_test]") {
    const Counters c = parsed(kSnmp);
    CHECK(c[counter("Udp.InDatagrams")] == 4000);
    CHECK(c[counter("Udp.NoPorts")] == 12);
    CHECK(c[counter("Udp.InErrors")] == 34);
    CHECK(c[counter("Udp.RcvbufErrors")] == 30);
    CHECK(c[counter("Udp.SndbufErrors")] == 4);
}

TEST_CASE("netstat columns are found by name, up to the largest value", "[counters_test]") {
    const Counters c = parsed(kNetstat);
    CHECK(c[counter("TcpExt.ListenOverflows")] == 5);
    CHECK(c[counter("TcpExt.ListenDrops")] == 6);
    CHECK(c[counter("TcpExt.TCPTimeouts")] == 70);
    CHECK(c[counter("TcpExt.TCPDSACKRecv")] == 110);
    CHECK(c[counter("TcpExt.TCPDSACKRecvSegs")] == 120);
    CHECK(c[counter("TcpExt.TCPSynRetrans")] == 140);
    CHECK(c[counter("TcpExt.TCPAbortOnTimeout")] == ~std::uint64_t{0});
}

TEST_CASE("the two files add to one set of counters", "[counters_test]") {
    Counters c = parsed(kSnmp);
    parse_counters(kNetstat, c);
    CHECK(c[counter("Tcp.RetransSegs")] == 678);
    CHECK(c[counter("TcpExt.TCPTimeouts")] == 70);
}

TEST_CASE("a column that this kernel lacks stays as it was", "[counters_test]") {
    Counters c{};
    c[counter("TcpExt.TCPDSACKRecvSegs")] = 7;
    parse_counters("TcpExt: TCPTimeouts TCPDSACKRecv\nTcpExt: 1 2\n", c);
    CHECK(c[counter("TcpExt.TCPTimeouts")] == 1);
    CHECK(c[counter("TcpExt.TCPDSACKRecv")] == 2);
    CHECK(c[counter("TcpExt.TCPDSACKRecvSegs")] == 7);
}

TEST_CASE("a cut or odd file gives what is whole and never more", "[counters_test]") {
    for (const std::string_view text : {kSnmp, kNetstat}) {
        const Counters whole = parsed(text);
        for (std::size_t length = 0; length <= text.size(); length++) {
            const Counters part = parsed(text.substr(0, length));
            for (std::size_t i = 0; i < part.size(); i++)
                REQUIRE(part[i] <= whole[i]);
        }
    }
    CHECK(parsed("") == Counters{});
    CHECK(parsed("\n\n\n") == Counters{});
    CHECK(parsed("Tcp: InSegs\nUdp: 1\n") == Counters{});
    CHECK(parsed("Tcp: InSegs OutSegs\nTcp: x\n") == Counters{});
    CHECK(parsed("Tcp: InSegs\nTcp: 1 2 3\n")[counter("Tcp.InSegs")] == 1);
}

TEST_CASE("names from outside are looked up whole", "[counters_test]") {
    CHECK(find_counter("Tcp.InSegs") == counter("Tcp.InSegs"));
    for (const std::string_view name : {"", "Tcp", "InSegs", "tcp.insegs", "Tcp.InSegs "})
        CHECK_FALSE(find_counter(name));
}

TEST_CASE("growth is the difference, and nothing where a counter went back", "[counters_test]") {
    Counters before{}, now{};
    before[0] = 10, now[0] = 15;
    before[1] = 10, now[1] = 3;
    before[2] = 10, now[2] = 10;
    before[3] = 0, now[3] = ~std::uint64_t{0};
    const Counters grown = growth(now, before);
    CHECK(grown[0] == 5);
    CHECK(grown[1] == 0);
    CHECK(grown[2] == 0);
    CHECK(grown[3] == ~std::uint64_t{0});
}

TEST_CASE("conntrack's columns are found by name and summed over CPUs", "[counters_test]") {
    Counters c{};
    parse_conntrack("entries  clashres found insert insert_failed drop early_drop icmp_error\n"
                    "0000000a 00000000 00000003 00000000 00000002 000000ff 00000001 00000000\n"
                    "0000000a 00000000 00000003 00000000 00000000 00000001 00000000 00000000\n",
                    c);
    CHECK(c[counter("Conntrack.insert_failed")] == 2);
    CHECK(c[counter("Conntrack.drop")] == 256);
    CHECK(c[counter("Conntrack.early_drop")] == 1);
}

TEST_CASE("a damaged conntrack table counts nothing", "[counters_test]") {
    Counters c{};
    parse_conntrack("", c);
    parse_conntrack("drop early_drop\n", c);
    parse_conntrack("drop early_drop\nxyz\n-1 0x4\n", c);
    CHECK(c == Counters{});
}

TEST_CASE("snmp6 has a line per counter", "[counters_test]") {
    Counters c{};
    parse_counters6("Ip6InReceives                   \t8\n"
                    "Ip6ReasmFails                   \t3\n"
                    "Icmp6InPktTooBigs               \t12\n"
                    "Icmp6InType2                    \t12\n"
                    "Udp6InDatagrams\n\n"
                    "Ip6ReasmOKs                     \tx\n"
                    "Ip6ReasmReqds 7",
                    c);
    CHECK(c[counter("Ip6.ReasmFails")] == 3);
    CHECK(c[counter("Icmp6.InPktTooBigs")] == 12);
    CHECK(c[counter("Ip6.ReasmReqds")] == 7);
    CHECK(c[counter("Ip6.ReasmOKs")] == 0);
}
