// SPDX-License-Identifier: MIT
// What rtnetlink says of egress queues, and what grew between two readings.
#include "kernel/qdiscs.h"

#include <linux/gen_stats.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include "signals/qdisc_reader.h"
#include "support/catch.h"
#include "support/event_builder.h"

using namespace culprit;
using namespace culprit::test;

namespace {

NetlinkRequest a_qdisc(const std::string& kind) {
    tcmsg body{};
    body.tcm_ifindex = 7;
    body.tcm_handle = 0x80010000;
    body.tcm_parent = 0xffffffff;
    NetlinkRequest message(RTM_NEWQDISC, 0);
    message.body(body).text(TCA_KIND, kind);
    return message;
}

void add_counters(NetlinkRequest& message) {
    gnet_stats_basic basic{};
    basic.bytes = 5000;
    basic.packets = 40;
    gnet_stats_queue queue{};
    queue.qlen = 3;
    queue.backlog = 4500;
    queue.drops = 11;
    queue.requeues = 2;
    queue.overlimits = 99;
    nlattr* nest = mnl_attr_nest_start(message.head(), TCA_STATS2);
    message.attribute(TCA_STATS_BASIC, basic).attribute(TCA_STATS_QUEUE, queue);
    mnl_attr_nest_end(message.head(), nest);
}

QdiscInfo counted(std::uint64_t packets, std::uint32_t drops) {
    QdiscInfo qdisc;
    qdisc.ifindex = 7;
    qdisc.parent = 0xffffffff;
    qdisc.kind = "pfifo";
    qdisc.packets = packets;
    qdisc.drops = drops;
    return qdisc;
}

std::vector<qdisc_stats> take(QdiscGrowth& growth, std::uint32_t netns,
                              const std::vector<QdiscInfo>& now) {
    std::vector<qdisc_stats> rows;
    growth.take(netns, now, kSecondNs, [&](std::span<const std::byte> record) {
        REQUIRE(check_record(record));
        rows.push_back(value_at<qdisc_stats>(record, 0));
    });
    return rows;
}

} // namespace

TEST_CASE("a shaper is read with its counters and limits", "[qdiscs_test]") {
    NetlinkRequest message = a_qdisc("tbf");
    tc_tbf_qopt parms{};
    parms.rate.rate = 2'500'000;
    parms.limit = 20480;
    parms.buffer = 64000; // ticks of 64 ns
    nlattr* nest = mnl_attr_nest_start(message.head(), TCA_OPTIONS);
    message.attribute(TCA_TBF_PARMS, parms);
    mnl_attr_nest_end(message.head(), nest);
    add_counters(message);
    const QdiscInfo qdisc = parse_qdisc(*message.head());
    CHECK(qdisc.ifindex == 7);
    CHECK(qdisc.handle == 0x80010000);
    CHECK(qdisc.parent == 0xffffffff);
    CHECK(qdisc.kind == "tbf");
    CHECK(qdisc.packets == 40);
    CHECK(qdisc.bytes == 5000);
    CHECK(qdisc.drops == 11);
    CHECK(qdisc.overlimits == 99);
    CHECK(qdisc.requeues == 2);
    CHECK(qdisc.backlog_bytes == 4500);
    CHECK(qdisc.backlog_pkts == 3);
    CHECK(qdisc.limit_bytes == 20480);
    CHECK(qdisc.rate_bytes == 2'500'000);
    CHECK(qdisc.burst_bytes == 10240);
}

TEST_CASE("each simple kind says its limit its own way", "[qdiscs_test]") {
    for (const char* kind : {"pfifo", "bfifo"}) {
        NetlinkRequest message = a_qdisc(kind);
        message.attribute(TCA_OPTIONS, tc_fifo_qopt{50});
        const QdiscInfo qdisc = parse_qdisc(*message.head());
        CHECK(qdisc.limit_pkts == (qdisc.kind == "pfifo" ? 50 : 0));
        CHECK(qdisc.limit_bytes == (qdisc.kind == "bfifo" ? 50 : 0));
    }
    NetlinkRequest message = a_qdisc("fq_codel");
    nlattr* nest = mnl_attr_nest_start(message.head(), TCA_OPTIONS);
    message.attribute(TCA_FQ_CODEL_LIMIT, std::uint32_t{10240});
    mnl_attr_nest_end(message.head(), nest);
    CHECK(parse_qdisc(*message.head()).limit_pkts == 10240);
}

TEST_CASE("a qdisc cut anywhere is not read beyond its end", "[qdiscs_test]") {
    NetlinkRequest message = a_qdisc("tbf");
    add_counters(message);
    const std::uint32_t whole = message.head()->nlmsg_len;
    for (std::uint32_t size = NLMSG_HDRLEN; size < whole; size += NLMSG_ALIGNTO) {
        message.head()->nlmsg_len = size;
        CHECK(parse_qdisc(*message.head()).drops == 0); // of the last attribute
    }
}

TEST_CASE("the first reading of a namespace is its baseline", "[qdiscs_test]") {
    QdiscGrowth growth;
    CHECK(take(growth, kNetns, {counted(100, 5)}).empty());
    const auto rows = take(growth, kNetns, {counted(160, 9)});
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].netns == kNetns);
    CHECK(rows[0].ifindex == 7);
    CHECK(std::string(rows[0].id) == "pfifo");
    CHECK(rows[0].packets == 60);
    CHECK(rows[0].drops == 4);
    CHECK(take(growth, kNetns + 1, {counted(160, 9)}).empty());
}

TEST_CASE("a qdisc in no trouble makes no record", "[qdiscs_test]") {
    QdiscGrowth growth;
    take(growth, kNetns, {counted(100, 5)});
    CHECK(take(growth, kNetns, {counted(900, 5)}).empty());
}

TEST_CASE("a qdisc made anew, or new beside others, has counted from zero", "[qdiscs_test]") {
    QdiscGrowth growth;
    take(growth, kNetns, {counted(100, 5)});
    CHECK(take(growth, kNetns, {counted(10, 3)}).at(0).drops == 3);
    QdiscInfo other = counted(20, 2);
    other.ifindex = 8;
    CHECK(take(growth, kNetns, {counted(10, 3), other}).at(0).drops == 2);
}

TEST_CASE("a sum over queues that went back tells of no growth", "[qdiscs_test]") {
    QdiscGrowth growth;
    QdiscInfo sum = counted(100, 5);
    sum.kind = "mq";
    take(growth, kNetns, {sum});
    sum.packets = 10;
    sum.drops = 3;
    CHECK(take(growth, kNetns, {sum}).empty());
}

TEST_CASE("a counter of 32 bits may wrap", "[qdiscs_test]") {
    QdiscGrowth growth;
    take(growth, kNetns, {counted(100, 0xfffffffe)});
    CHECK(take(growth, kNetns, {counted(200, 3)}).at(0).drops == 5);
}

TEST_CASE("of very many qdiscs the worst make a record", "[qdiscs_test]") {
    QdiscGrowth growth;
    std::vector<QdiscInfo> before, after;
    for (std::uint32_t i = 0; i < 1000; i++) {
        before.push_back(counted(100, 0));
        after.push_back(counted(200, i + 1));
        before.back().ifindex = after.back().ifindex = i + 1;
    }
    take(growth, kNetns, before);
    const auto rows = take(growth, kNetns, after);
    REQUIRE(rows.size() == QdiscGrowth::kRowsMax);
    CHECK(rows.front().drops == 1000);
}
