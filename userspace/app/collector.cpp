// SPDX-License-Identifier: MIT
// A window ends right after the counters were read, so that they and the records tell of the same stretch of time.
#include "app/collector.h"

#include <cstring>

#include "util/time.h"

namespace culprit {

void Collector::take(std::span<const std::byte> record) {
    const std::uint64_t when = head_of(record).when_ns;
    if (when < x_now.from_ns)
        return;
    if (when <= x_end_ns)
        x_now.fold(record);
    else
        x_later.emplace_back(record.begin(), record.end());
}

void Collector::read_all_counters(bool first) {
    x_names.refresh();
    for (const auto& [inum, netns] : x_names.netns()) {
        const auto now = read_counters(netns);
        if (!now) {
            if (!first && x_counters.contains(inum))
                x_now.counters[inum].error = now.error().what;
            continue;
        }
        // a namespace that was not there at the beginning started at zero
        const Counters before = first ? *now : x_counters.contains(inum) ? x_counters[inum] : Counters{};
        x_now.counters[inum].growth = growth(*now, before);
        x_counters[inum] = *now;
    }
    for (const auto& [inum, last] : x_counters)
        if (!x_names.netns().contains(inum))
            x_now.counters[inum].error = "it is gone; counted until it was last read";
    std::erase_if(x_counters, [&](const auto& known) { return !x_names.netns().contains(known.first); });
}

void Collector::count_lost() {
    Ledgers now = x_capture.ledgers();
    for (const auto& [kind, ledger] : now) {
        const abi_ledger& before = x_ledgers[kind];
        const Lost lost{ledger.ring_full - before.ring_full, ledger.map_full - before.map_full,
                        ledger.limited - before.limited, ledger.seen - before.seen, ledger.filtered - before.filtered};
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
    const auto done = x_capture.poll(timeout_ms, [this](std::span<const std::byte> record) { take(record); });
    if (!done)
        return std::unexpected(done.error());
    return {};
}

Result<Window> Collector::cut() {
    read_all_counters(false);
    x_end_ns = boot_now_ns();
    x_capture.take_totals(x_end_ns, [this](std::span<const std::byte> record) { x_now.fold(record); });
    if (const auto done = poll(0); !done)
        return std::unexpected(done.error());
    count_lost();
    x_now.to_ns = x_end_ns;
    add_names(x_now);
    Window cut = std::move(x_now);
    x_now = {};
    x_now.from_ns = cut.to_ns;
    x_now.wall_offset_ns = wall_offset_ns();
    x_end_ns = UINT64_MAX;
    for (const auto& record : std::exchange(x_later, {}))
        take(record);
    return cut;
}

} // namespace culprit
