// SPDX-License-Identifier: MIT
// For each namespace a window ends at the moment its counters were read, so that they and the
// records tell of the same stretch of time.
#include "app/collector.h"

#include <cstring>

#include "util/time.h"

namespace culprit {

/// The last moment that was read or cut for the namespace of this record.
std::uint64_t Collector::boundary(std::span<const std::byte> record) const {
    for (const Field& field : find_kind(head_of(record).kind)->fields) {
        const std::size_t offset = field.type == Type::kFlow
                                       ? field.offset + offsetof(abi_flow, netns)
                                   : field.type == Type::kNetns ? field.offset
                                                                : 0;
        std::uint32_t netns = 0;
        std::memcpy(&netns, record.data() + offset, offset ? sizeof(netns) : 0);
        if (const auto read = x_read_ns.find(netns); offset && read != x_read_ns.end())
            return read->second;
    }
    return x_cutting ? x_now.to_ns : x_now.from_ns;
}

void Collector::take(std::span<const std::byte> record) {
    const std::uint64_t edge = boundary(record);
    const bool before = head_of(record).when_ns <= edge;
    if (before == x_cutting)
        x_now.fold(record);
    else if (x_cutting)
        x_later.emplace_back(record.begin(), record.end());
}

void Collector::read_all_counters(bool first) {
    x_names.refresh();
    for (const auto& [inum, netns] : x_names.netns()) {
        const std::uint64_t when = boot_now_ns();
        const auto now = read_counters(netns);
        if (!now) {
            if (!first && x_counters.contains(inum))
                x_now.counters[inum].error = now.error().what;
            continue;
        }
        // a namespace that was not there at the beginning started at zero
        const Counters before = first                       ? *now
                                : x_counters.contains(inum) ? x_counters[inum]
                                                            : Counters{};
        x_now.counters[inum].growth = growth(*now, before);
        x_counters[inum] = *now;
        x_read_ns[inum] = when;
    }
    for (const auto& [inum, last] : x_counters)
        if (!x_names.netns().contains(inum))
            x_now.counters[inum].error = "it is gone; counted until it was last read";
    const auto gone = [&](const auto& known) { return !x_names.netns().contains(known.first); };
    std::erase_if(x_counters, gone);
    std::erase_if(x_read_ns, gone);
}

void Collector::count_lost() {
    Ledgers now = x_capture.ledgers();
    for (const auto& [kind, ledger] : now) {
        const abi_ledger& before = x_ledgers[kind];
        const Lost lost{ledger.ring_full - before.ring_full, ledger.map_full - before.map_full,
                        ledger.limited - before.limited, ledger.seen - before.seen,
                        ledger.filtered - before.filtered};
        if (lost != Lost{})
            x_now.lost[kind] = lost;
    }
    x_ledgers = std::move(now);
}

void Collector::add_names(Window& window) {
    for (const auto& [id, table] : window.tables)
        for (const Field& field : table.kind().fields)
            for (std::size_t i = 0; i < table.size(); i++)
                note_names(field, table.record(i), x_names, &window.names);
}

void Collector::begin() {
    read_all_counters(true);
    x_now = {};
    x_now.from_ns = boot_now_ns();
    x_now.wall_offset_ns = wall_offset_ns();
    x_capture.take_totals(x_now.from_ns, [](std::span<const std::byte>) {});
    x_ledgers = x_capture.ledgers();
}

Result<void> Collector::poll(int timeout_ms) {
    const auto done =
        x_capture.poll(timeout_ms, [this](std::span<const std::byte> record) { take(record); });
    if (!done)
        return std::unexpected(done.error());
    return {};
}

Result<Window> Collector::cut() {
    // records of before the reading first: what comes from now on is the edge
    if (const auto done = poll(0); !done)
        return std::unexpected(done.error());
    read_all_counters(false);
    x_now.to_ns = boot_now_ns();
    x_cutting = true;
    x_capture.take_totals(x_now.to_ns,
                          [this](std::span<const std::byte> record) { x_now.fold(record); });
    const auto done = poll(0);
    x_cutting = false;
    if (!done)
        return std::unexpected(done.error());
    count_lost();
    add_names(x_now);
    Window cut = std::move(x_now);
    x_now = {};
    x_now.from_ns = cut.to_ns;
    x_now.wall_offset_ns = wall_offset_ns();
    for (const auto& record : std::exchange(x_later, {}))
        x_now.fold(record);
    return cut;
}

} // namespace culprit
