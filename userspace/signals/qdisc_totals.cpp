// SPDX-License-Identifier: MIT
// A queue in trouble is told with all who matter in it, a healthy one with those who have much of
// it: so the rows of a busy router stay few.
#include "signals/qdisc_totals.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "abi/qdisc.h"

namespace culprit {

namespace {

/// RFC 8289 section 4.3: more than a target of 5 ms is what CoDel calls a standing queue.
constexpr std::uint64_t kWaitNs = 5'000'000;
constexpr std::size_t kSharesMax = 16; // of a queue and tick; the others are summed up
constexpr std::uint64_t kMuch = 10;    // one part in so many

using QueueKey = std::array<std::uint32_t, 4>; // netns, ifindex, handle, parent

struct Queue {
    std::vector<qdisc_share> shares;
    qdisc_share rest{};
    std::uint64_t bytes = 0;
    bool trouble = false;
};

bool has_room(const qdisc_share& share, const Queue& queue, std::size_t told) {
    const bool who = share.owner.tgid || share.flow.family;
    if (queue.trouble)
        return who && told < kSharesMax;
    return share.owner.tgid && share.bytes * kMuch >= queue.bytes;
}

/// The qdisc's counter is 32 bits wide and may wrap; one that went back is a new qdisc's.
std::uint64_t dropped_since(std::uint64_t now, std::uint64_t before) {
    const auto growth = static_cast<std::uint32_t>(now - before);
    return growth > UINT32_MAX / 2 ? now : growth;
}

/// Two CPUs may fill an entry that is used again at once: the key is who the bytes are counted for.
abi_owner owner_of(const qdisc_share_key& key, const qdisc_share_value& value) {
    if (!key.tgid || (value.owner.tgid == key.tgid && value.owner.start_ns == key.start_ns))
        return value.owner;
    abi_owner owner{};
    owner.tgid = key.tgid;
    owner.start_ns = key.start_ns;
    owner.provenance = ABI_OWNER_HOLDER;
    return owner;
}

void add(qdisc_share& into, const qdisc_share& share) {
    into.packets += share.packets;
    into.bytes += share.bytes;
    into.timed += share.timed;
    into.sojourn_ns += share.sojourn_ns;
    into.sojourn_max_ns = std::max(into.sojourn_max_ns, share.sojourn_max_ns);
}

class QdiscTotals : public Totals {
public:
    void take(const MapReader& maps, std::uint64_t now_ns, const RecordSink& sink) override;

private:
    void report(const qdisc_key& key, const qdisc_value& now, std::uint64_t now_ns,
                const RecordSink& sink);
    void take_shares(const MapReader& maps);
    void report_shares(std::uint64_t now_ns, const RecordSink& sink);

    std::map<QueueKey, qdisc_value> x_seen; // as many as the kernel's map has keys
    std::map<QueueKey, Queue> x_queues;     // of this tick
};

void QdiscTotals::take(const MapReader& maps, std::uint64_t now_ns, const RecordSink& sink) {
    x_queues.clear();
    maps.each("queues", [&](const void* key, const std::byte* value, std::size_t, std::size_t) {
        qdisc_value now;
        std::memcpy(&now, value, sizeof(now));
        report(*static_cast<const qdisc_key*>(key), now, now_ns, sink);
    });
    take_shares(maps);
    report_shares(now_ns, sink);
}

void QdiscTotals::report(const qdisc_key& key, const qdisc_value& now, std::uint64_t now_ns,
                         const RecordSink& sink) {
    const QueueKey queue = {key.netns, key.ifindex, key.handle, key.parent};
    qdisc_value& seen = x_seen[queue];
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
    // what it showed at the first look was before our time
    total.dropped = seen.timed ? dropped_since(now.dropped, seen.dropped) : 0;
    for (std::size_t i = 0; i < std::size(total.slots); i++)
        total.slots[i] = now.slots[i] - seen.slots[i];
    seen = now;
    x_queues[queue].trouble = total.dropped > 0;
    sink(bytes_of(total));
}

/// What is added to an entry between reading and deleting it is lost: a packet or two of a sample.
void QdiscTotals::take_shares(const MapReader& maps) {
    std::vector<qdisc_share_key> taken;
    maps.each("shares", [&](const void* bytes, const std::byte* value, std::size_t, std::size_t) {
        qdisc_share_key key;
        qdisc_share_value now;
        std::memcpy(&key, bytes, sizeof(key));
        std::memcpy(&now, value, sizeof(now));
        if (!now.timed && !now.packets)
            return;
        taken.push_back(key);
        qdisc_share share{};
        share.flow = key.flow;
        share.owner = owner_of(key, now);
        share.netns = key.netns;
        share.ifindex = key.ifindex;
        share.handle = key.handle;
        share.parent = key.parent;
        share.packets = now.packets;
        share.bytes = now.bytes;
        share.timed = now.timed;
        share.sojourn_ns = now.sojourn_ns;
        share.sojourn_max_ns = now.sojourn_max_ns;
        Queue& queue = x_queues[{key.netns, key.ifindex, key.handle, key.parent}];
        queue.shares.push_back(share);
        queue.bytes += share.bytes;
        queue.trouble = queue.trouble || share.sojourn_max_ns >= kWaitNs;
    });
    const qdisc_share_value zero{};
    for (const qdisc_share_key& key : taken) {
        if (key.tgid || key.flow.family)
            maps.erase("shares", &key);
        else
            maps.put("shares", &key, &zero);
    }
}

void QdiscTotals::report_shares(std::uint64_t now_ns, const RecordSink& sink) {
    for (auto& [key, queue] : x_queues) {
        std::ranges::stable_sort(queue.shares, std::greater{}, &qdisc_share::bytes);
        queue.rest.netns = key[0];
        queue.rest.ifindex = key[1];
        queue.rest.handle = key[2];
        queue.rest.parent = key[3];
        std::size_t told = 0;
        const auto tell = [&](qdisc_share& share) {
            share.head = {now_ns, ABI_QDISC_SHARE, sizeof(share), 0};
            sink(bytes_of(share));
        };
        for (qdisc_share& share : queue.shares) {
            if (has_room(share, queue, told)) {
                tell(share);
                told++;
            } else {
                add(queue.rest, share);
            }
        }
        if (queue.rest.timed || queue.rest.packets)
            tell(queue.rest);
    }
}

} // namespace

std::unique_ptr<Totals> qdisc_totals() {
    return std::make_unique<QdiscTotals>();
}

} // namespace culprit
