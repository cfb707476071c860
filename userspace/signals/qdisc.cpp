// SPDX-License-Identifier: MIT
// Egress queues: waiting times from timed packets, and packets that waited too long.
#include <cstring>
#include <map>
#include <string>

#include "qdisc.skel.h"
#include "signals/all.h"

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

constexpr Kind kQdisc = {
    ABI_QDISC,           "qdisc",    "packets that waited too long in an egress queue",
    sizeof(qdisc_event), true,       kEventFields,
    kEventKey,           kEventSums, kEventMaxima};
constexpr Kind kQdiscTotal = {ABI_QDISC_TOTAL,     "qdisc_total", "waiting times per egress queue",
                              sizeof(qdisc_total), false,         kTotalFields,
                              kTotalKey,           kTotalSums,    kTotalMaxima};
constexpr const Kind* kKinds[] = {&kQdisc, &kQdiscTotal};

constexpr Hook kHooks[] = {
    {"qdisc_enqueue", "qdisc_enqueued", true, ""},
    {"qdisc_dequeue", "qdisc_dequeued", true, ""},
};

class QdiscTotals : public Totals {
public:
    void take(const MapReader& maps, std::uint64_t now_ns, const RecordSink& sink) override {
        maps.each("queues", [&](const void* key, const std::byte* value, std::size_t, std::size_t) {
            qdisc_value now;
            std::memcpy(&now, value, sizeof(now));
            report(*static_cast<const qdisc_key*>(key), now, now_ns, sink);
        });
    }

private:
    void report(const qdisc_key& key, const qdisc_value& now, std::uint64_t now_ns,
                const RecordSink& sink) {
        qdisc_value& seen = x_seen[std::string(reinterpret_cast<const char*>(&key), sizeof(key))];
        if (now.timed == seen.timed)
            return;
        qdisc_total total{};
        total.head = {now_ns, ABI_QDISC_TOTAL, sizeof(total), 0};
        total.netns = key.netns;
        total.ifindex = key.ifindex;
        total.handle = key.handle;
        total.parent = key.parent;
        std::memcpy(total.id, now.id, sizeof(total.id));
        total.timed = now.timed - seen.timed;
        total.sojourn_ns = now.sojourn_ns - seen.sojourn_ns;
        total.slow = now.slow - seen.slow;
        total.backlog_bytes = now.backlog_bytes;
        total.backlog_pkts = now.backlog_pkts;
        // the qdisc's counter is 32 bits wide, and what it showed at the first look was before our
        // time
        total.dropped = seen.timed ? static_cast<std::uint32_t>(now.dropped - seen.dropped) : 0;
        for (std::size_t i = 0; i < std::size(total.slots); i++)
            total.slots[i] = now.slots[i] - seen.slots[i];
        seen = now;
        sink(bytes_of(total));
    }

    std::map<std::string, qdisc_value> x_seen; // as many as the kernel's map has keys
};

} // namespace

const Signal qdisc_signal = {
    "qdisc", "how long do packets wait in egress queues", &elf_of<qdisc_skel>, kHooks, kKinds, [] {
        return std::unique_ptr<Totals>(new QdiscTotals);
    }};

} // namespace culprit
