// SPDX-License-Identifier: MIT
// For each namespace a window ends at the moment its counters were read, so that they and the
// records tell of the same stretch of time.
#include "app/collector.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "app/look.h"
#include "detect/benign.h"
#include "detect/drops.h"
#include "util/log.h"
#include "util/time.h"

namespace culprit {

/// When the counters of this record's namespace were read, in that reading; the reading's own
/// moment when they were not.
std::uint64_t Collector::edge_of(const Reading& reading, std::span<const std::byte> record) {
    const auto read = reading.netns_ns.find(netns_of(record));
    if (read != reading.netns_ns.end())
        return read->second;
    return reading.when_ns;
}

void Collector::take(std::span<const std::byte> record) {
    // normal life is in the totals; its samples would only crowd out the others
    const Kind& kind = *find_kind(head_of(record).kind);
    for (const Field& field : kind.fields)
        note_names(field, record, x_names, nullptr);
    if (is_normal_life(kind, record, x_names.all()))
        return;
    // A record may come late: while one CPU is between reserving and submitting, all behind it
    // wait. So only what is older than the very beginning is left out, and what missed its window
    // goes to the next one.
    const std::uint64_t when = head_of(record).when_ns;
    if (x_cutting && when > edge_of(x_last, record))
        x_later.emplace_back(record.begin(), record.end());
    else if (when > edge_of(x_start, record))
        x_now.fold(record);
}

/// Limits seldom change, and another namespace's cost a visit.
Gauges Collector::gauges_of(const Netns& netns, std::uint64_t now) {
    constexpr std::uint64_t kLimitsNs = 30'000'000'000;
    auto& [read_ns, gauges] = x_limits[netns.inum];
    if (!read_ns || now - read_ns > kLimitsNs) {
        gauges = read_limits(netns);
        read_ns = now;
    }
    gauges.update(read_gauges(netns));
    return gauges;
}

void Collector::read_all_counters(bool first) {
    x_names.refresh();
    for (const auto& [inum, netns] : x_names.netns()) {
        if (!x_capture.looks_into(inum))
            continue;
        const std::uint64_t when = boot_now_ns();
        const auto now = read_counters(netns);
        if (!now) {
            x_now.counters[inum].error = now.error().what;
            x_unread.insert(inum);
            continue;
        }
        // one that was not there at the beginning started at zero; one that could not be read has
        // no beginning
        const bool began = !first && x_counters.contains(inum);
        const bool fresh = !first && !began && !x_unread.contains(inum);
        x_now.counters[inum].growth = growth(*now, began   ? x_counters[inum]
                                                   : fresh ? Counters{}
                                                           : *now);
        x_now.counters[inum].gauges = gauges_of(netns, when);
        x_counters[inum] = *now;
        x_last.netns_ns[inum] = when;
    }
    for (const auto& [inum, last] : x_counters)
        if (!x_names.netns().contains(inum) && x_gone.insert(inum).second)
            x_now.counters[inum].error = "it is gone; counted until it was last read";
    // a namespace may be out of sight for a moment only: its baseline stays, within bounds
    const auto gone = [&](const auto& known) { return !x_names.netns().contains(known.first); };
    if (x_counters.size() > 2 * kNetnsMax) {
        std::erase_if(x_counters, gone);
        std::erase_if(x_last.netns_ns, gone);
        std::erase_if(x_limits, gone);
    }
}

void Collector::count_lost() {
    Ledgers now = x_capture.ledgers();
    for (const auto& [kind, ledger] : now) {
        const abi_ledger& before = x_ledgers[kind];
        const Lost lost{ledger.ring_full - before.ring_full, ledger.map_full - before.map_full,
                        ledger.limited - before.limited, ledger.seen - before.seen,
                        ledger.filtered - before.filtered};
        if (lost == Lost{})
            continue;
        const std::uint64_t folded = x_now.lost[kind].folded;
        x_now.lost[kind] = lost;
        x_now.lost[kind].folded = folded;
    }
    x_ledgers = std::move(now);
}

void Collector::add_names(Window& window) {
    for (const auto& [id, table] : window.tables)
        for (const Field& field : table.kind().fields)
            for (std::size_t i = 0; i < table.size(); i++)
                note_names(field, table.record(i), x_names, &window.names);
}

void Collector::look(SocketGroups::Look which) {
    const bool last = which == SocketGroups::Look::kEnd;
    std::map<std::uint32_t, LookPlace> places;
    for (const auto& [inum, netns] : x_names.netns())
        if (x_capture.looks_into(inum))
            places[inum] = {&netns, x_limits[inum].second};
    const std::size_t left_out =
        look_at_sockets(x_capture, places, SocketGroups(which, boot_now_ns() - x_start.when_ns),
                        {x_unknown, x_receivers, last}, x_now);
    x_unlooked = std::max(x_unlooked, left_out);
}

std::vector<std::string> Collector::gaps() const {
    std::vector<std::string> out;
    const auto unvisited = std::ranges::count_if(x_names.netns(), [&](const auto& place) {
        return x_capture.reads_netns(place.first) && !x_visited.contains(place.first);
    });
    if (unvisited)
        out.push_back(fmt::format(
            "the devices, queues and rules of {} network namespaces were not read: no right to, or "
            "no time left",
            unvisited));
    const NetnsMisses& misses = x_names.misses();
    if (misses.left_out)
        out.push_back(fmt::format("{} more network namespaces than are kept", misses.left_out));
    if (misses.hidden)
        out.push_back(hidden_text(misses.hidden));
    if (x_unlooked)
        out.push_back(fmt::format("the sockets of {} network namespaces were not looked at: no "
                                  "right to, or no time left",
                                  x_unlooked));
    return out;
}

/// Readers visit all namespaces at the beginning and at the end of a run; in between, in turns, as
/// many as a small part of the time allows.
void Collector::ask_readers(Round round, const RecordSink& sink) {
    constexpr std::uint64_t kTurnNs = 10'000'000, kAllNs = 400'000'000; // a verdict is awaited
    if (!x_capture.has_readers())
        return;
    const bool all = round == Round::kAll;
    const std::uint64_t began = boot_now_ns(), budget = all ? kAllNs : kTurnNs;
    x_capture.read_host(began, sink);
    const auto& places = x_names.netns();
    std::erase_if(x_rest, [&](const auto& known) { return !places.contains(known.first); });
    bool denied = false;
    auto next = places.upper_bound(x_asked);
    for (std::size_t i = 0; i < places.size(); i++, next++) {
        if (next == places.end())
            next = places.begin();
        const bool in_time = boot_now_ns() - began < budget;
        if (!all && !in_time)
            break;
        if (!x_capture.reads_netns(next->first) || (!all && began < x_rest[next->first]))
            continue;
        // what is refused once is refused everywhere but at home
        const bool may = in_time && (!denied || next->first == own_netns());
        if (!may)
            continue;
        const auto visited = ask_readers_in(next->second, sink);
        denied = denied || !visited;
        if (visited) // one that is gone by now is none to be missed
            x_visited.insert(next->first);
    }
    std::erase_if(x_visited, [&](std::uint32_t netns) { return !places.contains(netns); });
}

/// One that takes long, for it has many devices or rules, is given a rest.
Result<bool> Collector::ask_readers_in(const Netns& netns, const RecordSink& sink) {
    constexpr std::uint64_t kShare = 50;
    const std::uint64_t began = boot_now_ns();
    x_asked = netns.inum;
    auto visited =
        visit_netns(netns, [&] { x_capture.read_netns(netns.inum, boot_now_ns(), sink); });
    const std::uint64_t now = boot_now_ns();
    x_rest[netns.inum] = now + kShare * (now - began);
    return visited;
}

/// Walks once more before the end: sockets that nobody was seen using, and those whose process
/// ended. Before that only where a socket without a process matters, in a fiftieth of the time.
void Collector::look_for_owners(bool last) {
    constexpr std::uint64_t kShare = 50;
    const std::uint64_t began = boot_now_ns();
    if (!last && (began < x_walk_ns || !has_unowned_sockets(x_now)))
        return;
    if (const auto walked = x_capture.walk_files(); !walked)
        log(Level::kWarning, walked.error().what);
    const std::uint64_t now = boot_now_ns();
    x_walk_ns = now + kShare * (now - began);
}

void Collector::begin() {
    read_all_counters(true);
    x_now = {};
    x_now.from_ns = x_last.when_ns = boot_now_ns();
    x_start = x_last;
    x_now.wall_offset_ns = wall_offset_ns();
    x_capture.take_totals(x_now.from_ns, [](std::span<const std::byte>) {});
    ask_readers(Round::kAll, [](std::span<const std::byte>) {});
    x_ledgers = x_capture.ledgers();
    look(SocketGroups::Look::kBegin);
}

Result<std::size_t> Collector::poll(int timeout_ms) {
    return x_capture.poll(timeout_ms, [this](std::span<const std::byte> record) { take(record); });
}

/// Empties the ring; gives up after some four million records, when they come faster than they go.
Result<void> Collector::drain() {
    for (int i = 0; i < 64; i++) {
        const auto taken = poll(0);
        if (!taken)
            return std::unexpected(taken.error());
        if (*taken < Capture::kPollMax)
            break;
    }
    return {};
}

Result<Window> Collector::cut(bool last) {
    // records of before the reading first: what comes from now on is the edge
    if (const auto done = drain(); !done)
        return std::unexpected(done.error());
    read_all_counters(false);
    x_now.to_ns = x_last.when_ns = boot_now_ns();
    x_cutting = true;
    if (last) // owners of listeners are in the totals
        look_for_owners(last);
    x_capture.take_totals(x_now.to_ns, [this](std::span<const std::byte> record) {
        x_now.fold(record);
        for (const Field& field : find_kind(head_of(record).kind)->fields)
            note_names(field, record, x_names, nullptr);
        x_capture.show_readers(record, x_names.all());
    });
    if (!last)
        look_for_owners(last);
    ask_readers(last ? Round::kAll : Round::kTurn,
                [this](std::span<const std::byte> record) { x_now.fold(record); });
    auto done = drain();
    usleep(1000); // for those that were not submitted yet
    if (done)
        done = drain();
    x_cutting = false;
    if (!done)
        return std::unexpected(done.error());
    count_lost();
    x_unknown.add(x_now);
    if (last)
        look(SocketGroups::Look::kEnd);
    add_names(x_now);
    if (last) {
        for (const std::uint64_t place : main_drop_places(x_now))
            x_names.note_source(place);
        x_now.names.sources = x_names.all().sources;
        x_names.look_again();
        x_now.names.processes = x_names.all().processes;
    }
    Window cut = std::move(x_now);
    x_now = {};
    x_now.from_ns = cut.to_ns;
    x_now.wall_offset_ns = wall_offset_ns();
    for (const auto& record : std::exchange(x_later, {}))
        x_now.fold(record);
    return cut;
}

} // namespace culprit
