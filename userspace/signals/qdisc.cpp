// SPDX-License-Identifier: MIT
// Egress queues: waiting times and shares from timed packets, packets that waited too long, and
// what the kernel counts of each qdisc.
#include "qdisc.skel.h"
#include "signals/all.h"
#include "signals/qdisc_reader.h"
#include "signals/qdisc_totals.h"

#include "abi/qdisc.h"

namespace culprit {

namespace {

constexpr Field kEventFields[] = {
    CULPRIT_FIELD(qdisc_event, flow, Type::kFlow,
                  "the packet's source and destination, device and namespace"),
    CULPRIT_FIELD(qdisc_event, owner, Type::kOwner, "the process whose packet waited"),
    CULPRIT_FIELD(qdisc_event, id, Type::kText, "kind of qdisc"),
    CULPRIT_FIELD(qdisc_event, handle, Type::kHex, "handle; 0 for a default qdisc"),
    CULPRIT_FIELD(qdisc_event, parent, Type::kHex, "parent; ffffffff is the root"),
    CULPRIT_FIELD(qdisc_event, sojourn_ns, Type::kDurationNs, "enqueue to dequeue"),
    CULPRIT_FIELD(qdisc_event, backlog_bytes, Type::kBytes, "left in the queue"),
    CULPRIT_FIELD(qdisc_event, backlog_pkts, Type::kNumber, "packets left in the queue"),
};
constexpr Part kEventKey[] = {
    CULPRIT_PART(qdisc_event, flow.netns),  CULPRIT_PART(qdisc_event, flow.ifindex),
    CULPRIT_PART(qdisc_event, handle),      CULPRIT_PART(qdisc_event, parent),
    CULPRIT_OWNER_PART(qdisc_event, owner),
};
constexpr Part kEventSums[] = {CULPRIT_PART(qdisc_event, sojourn_ns)};
constexpr Part kEventMaxima[] = {CULPRIT_PART(qdisc_event, backlog_bytes),
                                 CULPRIT_PART(qdisc_event, backlog_pkts)};

constexpr Field kTotalFields[] = {
    CULPRIT_FIELD(qdisc_total, netns, Type::kNetns, "network namespace"),
    CULPRIT_FIELD(qdisc_total, ifindex, Type::kDevice, "device"),
    CULPRIT_FIELD(qdisc_total, id, Type::kText, "kind of qdisc"),
    CULPRIT_FIELD(qdisc_total, handle, Type::kHex, "handle; 0 for a default qdisc"),
    CULPRIT_FIELD(qdisc_total, parent, Type::kHex, "parent; ffffffff is the root"),
    CULPRIT_FIELD(qdisc_total, timed, Type::kNumber, "packets timed"),
    CULPRIT_FIELD(qdisc_total, sojourn_ns, Type::kDurationNs, "sum of their waiting times"),
    CULPRIT_FIELD(qdisc_total, slow, Type::kNumber, "of them slow"),
    CULPRIT_FIELD(qdisc_total, backlog_bytes, Type::kBytes, "largest backlog"),
    CULPRIT_FIELD(qdisc_total, backlog_pkts, Type::kNumber, "largest backlog in packets"),
    CULPRIT_FIELD(qdisc_total, dropped, Type::kNumber, "drops by the qdisc's own count"),
    CULPRIT_FIELD(qdisc_total, slots, Type::kHistogram, "waiting times"),
};
constexpr Part kTotalKey[] = {
    CULPRIT_PART(qdisc_total, netns),  CULPRIT_PART(qdisc_total, ifindex),
    CULPRIT_PART(qdisc_total, handle), CULPRIT_PART(qdisc_total, parent),
    CULPRIT_PART(qdisc_total, id),
};
constexpr Part kTotalSums[] = {
    CULPRIT_PART(qdisc_total, timed), CULPRIT_PART(qdisc_total, sojourn_ns),
    CULPRIT_PART(qdisc_total, slow),  CULPRIT_PART(qdisc_total, dropped),
    CULPRIT_PART(qdisc_total, slots),
};
constexpr Part kTotalMaxima[] = {CULPRIT_PART(qdisc_total, backlog_bytes),
                                 CULPRIT_PART(qdisc_total, backlog_pkts)};

constexpr Field kShareFields[] = {
    CULPRIT_FIELD(qdisc_share, netns, Type::kNetns, "network namespace of the queue"),
    CULPRIT_FIELD(qdisc_share, ifindex, Type::kDevice, "its device"),
    CULPRIT_FIELD(qdisc_share, handle, Type::kHex, "handle; 0 for a default qdisc"),
    CULPRIT_FIELD(qdisc_share, parent, Type::kHex, "parent; ffffffff is the root"),
    CULPRIT_FIELD(
        qdisc_share, flow, Type::kFlow,
        "source and destination where no process is known; netns of the socket, 0 without "
        "one: forwarded"),
    CULPRIT_FIELD(qdisc_share, owner, Type::kOwner, "the process whose packets these are"),
    CULPRIT_FIELD(qdisc_share, packets, Type::kNumber, "packets, from a sample"),
    CULPRIT_FIELD(qdisc_share, bytes, Type::kBytes, "bytes, from a sample"),
    CULPRIT_FIELD(qdisc_share, timed, Type::kNumber, "packets timed"),
    CULPRIT_FIELD(qdisc_share, sojourn_ns, Type::kDurationNs, "sum of their waiting times"),
    CULPRIT_FIELD(qdisc_share, sojourn_max_ns, Type::kDurationNs, "longest of them"),
};
constexpr Part kShareKey[] = {
    CULPRIT_PART(qdisc_share, flow),   CULPRIT_OWNER_PART(qdisc_share, owner),
    CULPRIT_PART(qdisc_share, netns),  CULPRIT_PART(qdisc_share, ifindex),
    CULPRIT_PART(qdisc_share, handle), CULPRIT_PART(qdisc_share, parent),
};
constexpr Part kShareSums[] = {
    CULPRIT_PART(qdisc_share, packets),
    CULPRIT_PART(qdisc_share, bytes),
    CULPRIT_PART(qdisc_share, timed),
    CULPRIT_PART(qdisc_share, sojourn_ns),
};
constexpr Part kShareMaxima[] = {CULPRIT_PART(qdisc_share, sojourn_max_ns)};

constexpr Field kStatsFields[] = {
    CULPRIT_FIELD(qdisc_stats, netns, Type::kNetns, "network namespace"),
    CULPRIT_FIELD(qdisc_stats, ifindex, Type::kDevice, "device"),
    CULPRIT_FIELD(qdisc_stats, id, Type::kText, "kind of qdisc"),
    CULPRIT_FIELD(qdisc_stats, handle, Type::kHex, "handle; 0 for a default qdisc"),
    CULPRIT_FIELD(qdisc_stats, parent, Type::kHex, "parent; ffffffff is the root"),
    CULPRIT_FIELD(qdisc_stats, packets, Type::kNumber, "packets sent"),
    CULPRIT_FIELD(qdisc_stats, bytes, Type::kBytes, "bytes sent"),
    CULPRIT_FIELD(qdisc_stats, drops, Type::kNumber, "packets dropped, those of its leaves too"),
    CULPRIT_FIELD(qdisc_stats, overlimits, Type::kNumber, "times it held packets back"),
    CULPRIT_FIELD(qdisc_stats, requeues, Type::kNumber, "times the device did not take a packet"),
    CULPRIT_FIELD(qdisc_stats, backlog_bytes, Type::kBytes, "largest backlog read"),
    CULPRIT_FIELD(qdisc_stats, backlog_pkts, Type::kNumber, "largest backlog read, in packets"),
    CULPRIT_FIELD(qdisc_stats, limit_bytes, Type::kBytes, "limit of the backlog; 0 unknown"),
    CULPRIT_FIELD(qdisc_stats, limit_pkts, Type::kNumber, "the same in packets"),
    CULPRIT_FIELD(qdisc_stats, rate_bytes, Type::kBytes, "per second, of a shaper; 0 unknown"),
    CULPRIT_FIELD(qdisc_stats, burst_bytes, Type::kBytes, "of a shaper; 0 unknown"),
};
constexpr Part kStatsKey[] = {
    CULPRIT_PART(qdisc_stats, netns),  CULPRIT_PART(qdisc_stats, ifindex),
    CULPRIT_PART(qdisc_stats, handle), CULPRIT_PART(qdisc_stats, parent),
    CULPRIT_PART(qdisc_stats, id),
};
constexpr Part kStatsSums[] = {
    CULPRIT_PART(qdisc_stats, packets),  CULPRIT_PART(qdisc_stats, bytes),
    CULPRIT_PART(qdisc_stats, drops),    CULPRIT_PART(qdisc_stats, overlimits),
    CULPRIT_PART(qdisc_stats, requeues),
};
constexpr Part kStatsMaxima[] = {
    CULPRIT_PART(qdisc_stats, backlog_bytes), CULPRIT_PART(qdisc_stats, backlog_pkts),
    CULPRIT_PART(qdisc_stats, limit_bytes),   CULPRIT_PART(qdisc_stats, limit_pkts),
    CULPRIT_PART(qdisc_stats, rate_bytes),    CULPRIT_PART(qdisc_stats, burst_bytes),
};

constexpr Kind kQdisc = {
    ABI_QDISC,           "qdisc",    "packets that waited too long in an egress queue",
    sizeof(qdisc_event), true,       kEventFields,
    kEventKey,           kEventSums, kEventMaxima};
constexpr Kind kQdiscTotal = {ABI_QDISC_TOTAL,     "qdisc_total", "waiting times per egress queue",
                              sizeof(qdisc_total), false,         kTotalFields,
                              kTotalKey,           kTotalSums,    kTotalMaxima};
constexpr Kind kQdiscShare = {ABI_QDISC_SHARE,     "qdisc_share", "who has how much of a queue",
                              sizeof(qdisc_share), false,         kShareFields,
                              kShareKey,           kShareSums,    kShareMaxima};
constexpr Kind kQdiscStats = {ABI_QDISC_STATS,     "qdisc_stats", "what each qdisc counts itself",
                              sizeof(qdisc_stats), false,         kStatsFields,
                              kStatsKey,           kStatsSums,    kStatsMaxima};
constexpr const Kind* kKinds[] = {&kQdisc, &kQdiscTotal, &kQdiscShare, &kQdiscStats};

constexpr Hook kHooks[] = {
    {"qdisc_enqueue", "qdisc_enqueued", true, ""},
    {"qdisc_dequeue", "qdisc_dequeued", true, ""},
    {.tracepoint = "net_dev_queue",
     .program = "qdisc_offered",
     .required = true,
     .without = "waiting times include the wait for the queue's lock",
     .instead_of = "qdisc_enqueue"},
};

} // namespace

const Signal qdisc_signal = {
    "qdisc",
    "how long do packets wait in egress queues, who fills them, and what do they drop",
    &elf_of<qdisc_skel>,
    kHooks,
    kKinds,
    &qdisc_totals,
    &qdisc_reader};

} // namespace culprit
