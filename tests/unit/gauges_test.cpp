// SPDX-License-Identifier: MIT
// /proc/net/sockstat as the kernel writes it, and as nobody should.
#include "kernel/gauges.h"
#include "support/catch.h"

using namespace culprit;

TEST_CASE("sockstat's TCP line becomes gauges, other lines do not", "[gauges_test]") {
    Gauges gauges;
    parse_sockstat("sockets: used 120\n"
                   "TCP: inuse 12 orphan 3 tw 4096 alloc 15 mem 2\n"
                   "UDP: inuse 99 mem 1\n"
                   "FRAG: inuse 0 memory 0\n",
                   gauges);
    CHECK(gauges.at(gauge("TCP.inuse")) == 12U);
    CHECK(gauges.at(gauge("TCP.orphan")) == 3U);
    CHECK(gauges.at(gauge("TCP.tw")) == 4096U);
    CHECK_FALSE(gauges.at(gauge("somaxconn")));
}

TEST_CASE("a damaged sockstat leaves gauges unknown", "[gauges_test]") {
    Gauges gauges;
    parse_sockstat("TCP: inuse x tw -1 orphan\nTCP tw 5\n\nTCP:\n", gauges);
    CHECK(gauges == Gauges());
}

TEST_CASE("a newer reading replaces what it knows and keeps the rest", "[gauges_test]") {
    Gauges gauges, newer;
    gauges.set(gauge("TCP.tw"), 1);
    gauges.set(gauge("somaxconn"), 4096);
    newer.set(gauge("TCP.tw"), 2);
    gauges.update(newer);
    CHECK(gauges.at(gauge("TCP.tw")) == 2U);
    CHECK(gauges.at(gauge("somaxconn")) == 4096U);
}

TEST_CASE("the limits of this machine can be read", "[gauges_test]") {
    Gauges gauges;
    read_limits(gauges);
    CHECK(gauges.at(gauge("ip_local_port_range.low")).value_or(0) > 0);
    CHECK(gauges.at(gauge("ip_local_port_range.high")) >
          gauges.at(gauge("ip_local_port_range.low")));
    CHECK(gauges.at(gauge("tcp_rmem.max")).value_or(0) > 0);
    CHECK(gauges.at(gauge("tcp_wmem.max")).value_or(0) > 0);
}

TEST_CASE("the size of the connection table is the first number below the names", "[gauges_test]") {
    Gauges gauges;
    parse_conntrack_count("entries  clashres found\n0000001f  00000000 00000000\n"
                          "0000001f  00000000 00000000\n",
                          gauges);
    CHECK(gauges.at(gauge("nf_conntrack_count")) == 31U);
    Gauges none;
    parse_conntrack_count("", none);
    parse_conntrack_count("entries\n", none);
    CHECK(none == Gauges());
}
