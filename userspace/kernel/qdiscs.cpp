// SPDX-License-Identifier: MIT
// RTM_GETQDISC with NLM_F_DUMP; the kernel answers with one message per qdisc, whose options are
// each kind's own (linux/pkt_sched.h).
#include "kernel/qdiscs.h"

#include <linux/gen_stats.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include <algorithm>

namespace culprit {

namespace {

/// include/net/pkt_sched.h: PSCHED_SHIFT. A tick of the qdisc clock is 64 ns.
constexpr std::uint64_t kTickNs = 64;

void read_counters(const Attributes& stats, QdiscInfo& qdisc) {
    const auto basic = stats.value<gnet_stats_basic>(TCA_STATS_BASIC);
    const auto queue = stats.value<gnet_stats_queue>(TCA_STATS_QUEUE);
    qdisc.bytes = basic.bytes;
    qdisc.packets = stats.value<std::uint64_t>(TCA_STATS_PKT64, basic.packets);
    qdisc.drops = queue.drops;
    qdisc.overlimits = queue.overlimits;
    qdisc.requeues = queue.requeues;
    qdisc.backlog_bytes = queue.backlog;
    qdisc.backlog_pkts = queue.qlen;
}

void read_tbf(const Attributes& options, QdiscInfo& qdisc) {
    const auto parms = options.value<tc_tbf_qopt>(TCA_TBF_PARMS);
    qdisc.limit_bytes = parms.limit;
    qdisc.rate_bytes = options.value<std::uint64_t>(TCA_TBF_RATE64, parms.rate.rate);
    qdisc.burst_bytes =
        static_cast<std::uint64_t>(double(parms.buffer) * kTickNs / 1e9 * double(qdisc.rate_bytes));
}

void read_options(const Attributes& all, QdiscInfo& qdisc) {
    const auto nested = [&] { return all.nested(TCA_OPTIONS); };
    if (qdisc.kind == "pfifo" || qdisc.kind == "pfifo_head_drop")
        qdisc.limit_pkts = all.value<tc_fifo_qopt>(TCA_OPTIONS).limit;
    else if (qdisc.kind == "bfifo")
        qdisc.limit_bytes = all.value<tc_fifo_qopt>(TCA_OPTIONS).limit;
    else if (qdisc.kind == "netem")
        qdisc.limit_pkts = all.value<tc_netem_qopt>(TCA_OPTIONS).limit;
    else if (qdisc.kind == "tbf")
        read_tbf(nested(), qdisc);
    else if (qdisc.kind == "fq_codel")
        qdisc.limit_pkts = nested().value<std::uint32_t>(TCA_FQ_CODEL_LIMIT);
    else if (qdisc.kind == "codel")
        qdisc.limit_pkts = nested().value<std::uint32_t>(TCA_CODEL_LIMIT);
    else if (qdisc.kind == "fq")
        qdisc.limit_pkts = nested().value<std::uint32_t>(TCA_FQ_PLIMIT);
}

bool holds_packets(std::string_view kind) {
    constexpr std::string_view kNone[] = {"noqueue", "ingress", "clsact"};
    return std::ranges::find(kNone, kind) == std::end(kNone);
}

} // namespace

QdiscInfo parse_qdisc(const nlmsghdr& message) {
    const auto head = netlink_body<tcmsg>(message);
    const Attributes attributes(message, sizeof(head));
    QdiscInfo qdisc;
    qdisc.ifindex = static_cast<std::uint32_t>(head.tcm_ifindex);
    qdisc.handle = head.tcm_handle;
    qdisc.parent = head.tcm_parent;
    qdisc.kind = attributes.text(TCA_KIND);
    read_counters(attributes.nested(TCA_STATS2), qdisc);
    read_options(attributes, qdisc);
    return qdisc;
}

Result<std::vector<QdiscInfo>> read_qdiscs() {
    const auto netlink = Netlink::open(NETLINK_ROUTE);
    if (!netlink)
        return std::unexpected(netlink.error());
    std::vector<QdiscInfo> qdiscs;
    NetlinkRequest request(RTM_GETQDISC, NLM_F_DUMP);
    request.body(tcmsg{});
    const auto done = netlink->ask(request, [&](const nlmsghdr& message) {
        QdiscInfo qdisc = parse_qdisc(message);
        if (qdiscs.size() < kQdiscsMax && holds_packets(qdisc.kind))
            qdiscs.push_back(std::move(qdisc));
    });
    if (!done)
        return std::unexpected(done.error().in("egress queues"));
    return qdiscs;
}

} // namespace culprit
