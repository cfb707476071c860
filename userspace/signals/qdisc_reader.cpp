// SPDX-License-Identifier: MIT
// Only qdiscs in trouble make a record: one that drops, holds packets back or has a backlog.
#include "signals/qdisc_reader.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernel/netns.h"

namespace culprit {

namespace {

/// A qdisc that was replaced by another one of the same kind has counted from 0.
std::string identity(const QdiscInfo& qdisc) {
    const std::uint32_t numbers[] = {qdisc.ifindex, qdisc.handle, qdisc.parent};
    return std::string(reinterpret_cast<const char*>(numbers), sizeof(numbers)) + qdisc.kind;
}

/// Drops are 32 bits wide, as the kernel's, and may wrap.
bool went_back(std::uint32_t now, std::uint32_t before) {
    return now - before > UINT32_MAX / 2;
}

qdisc_stats record_of(std::uint32_t netns, const QdiscInfo& now, const QdiscInfo& before,
                      std::uint64_t now_ns) {
    const bool anew = now.packets < before.packets || now.bytes < before.bytes ||
                      went_back(now.drops, before.drops);
    // mq and mqprio sum up their queues: with a new one in place the sum tells nothing of growth
    const bool sums = now.kind == "mq" || now.kind == "mqprio";
    const QdiscInfo& base = !anew ? before : sums ? now : QdiscInfo{};
    qdisc_stats stats{};
    stats.head = {now_ns, ABI_QDISC_STATS, sizeof(stats), 0};
    stats.netns = netns;
    stats.ifindex = now.ifindex;
    stats.handle = now.handle;
    stats.parent = now.parent;
    now.kind.copy(stats.id, sizeof(stats.id) - 1);
    stats.packets = now.packets - base.packets;
    stats.bytes = now.bytes - base.bytes;
    stats.drops = now.drops - base.drops;
    stats.overlimits = now.overlimits - base.overlimits;
    stats.requeues = now.requeues - base.requeues;
    stats.backlog_bytes = now.backlog_bytes;
    stats.backlog_pkts = now.backlog_pkts;
    stats.limit_bytes = now.limit_bytes;
    stats.limit_pkts = now.limit_pkts;
    stats.rate_bytes = now.rate_bytes;
    stats.burst_bytes = now.burst_bytes;
    return stats;
}

class QdiscReader : public Reader {
public:
    Result<void> read_netns(std::uint32_t netns, std::uint64_t now_ns,
                            const RecordSink& sink) override {
        const auto qdiscs = read_qdiscs();
        if (!qdiscs)
            return std::unexpected(qdiscs.error());
        x_growth.take(netns, *qdiscs, now_ns, sink);
        return {};
    }

private:
    QdiscGrowth x_growth;
};

} // namespace

void QdiscGrowth::forget() {
    if (x_places.size() <= 2 * kNetnsMax)
        return;
    std::vector<std::uint64_t> times;
    for (const auto& [netns, place] : x_places)
        times.push_back(place.read_ns);
    const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::ranges::nth_element(times, middle);
    std::erase_if(x_places, [&](const auto& place) { return place.second.read_ns < *middle; });
}

void QdiscGrowth::take(std::uint32_t netns, std::span<const QdiscInfo> now, std::uint64_t now_ns,
                       const RecordSink& sink) {
    const auto [place, first] = x_places.try_emplace(netns);
    Known known;
    std::vector<qdisc_stats> rows;
    for (const QdiscInfo& qdisc : now) {
        const auto before = place->second.known.find(identity(qdisc));
        const bool fresh = before == place->second.known.end();
        const qdisc_stats row =
            record_of(netns, qdisc, fresh ? QdiscInfo{} : before->second, now_ns);
        if (!first && (row.drops || row.overlimits || row.requeues || row.backlog_pkts))
            rows.push_back(row);
        known.insert_or_assign(identity(qdisc), qdisc);
    }
    place->second = {now_ns, std::move(known)};
    std::ranges::stable_sort(rows, [](const qdisc_stats& a, const qdisc_stats& b) {
        return a.drops != b.drops ? a.drops > b.drops : a.backlog_bytes > b.backlog_bytes;
    });
    rows.resize(std::min(rows.size(), kRowsMax));
    for (const qdisc_stats& row : rows)
        sink(bytes_of(row));
    forget();
}

std::unique_ptr<Reader> qdisc_reader() {
    return std::make_unique<QdiscReader>();
}

} // namespace culprit
