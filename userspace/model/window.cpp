// SPDX-License-Identifier: MIT
// Folding records into rows, rows into windows and windows into histories. Pure: no clock, no I/O.
#include "model/window.h"

#include <algorithm>

namespace culprit {

namespace {

template <typename Join>
void join(std::span<const Part> parts, std::byte* into, const std::byte* from, const Join& how) {
    for (const Part& part : parts) {
        for (std::size_t at = part.offset; at < part.offset + std::size_t{part.size}; at += 8) {
            std::uint64_t a = 0, b = 0;
            std::memcpy(&a, into + at, 8);
            std::memcpy(&b, from + at, 8);
            a = how(a, b);
            std::memcpy(into + at, &a, 8);
        }
    }
}

/// Into memory that is used again: a record of a row that is there allocates nothing.
void append_key(const Kind& kind, std::span<const std::byte> record, std::string& key) {
    for (const Part& part : kind.key)
        key.append(reinterpret_cast<const char*>(record.data()) + part.offset, part.size);
}

void join(RowInfo& into, const RowInfo& from) {
    into.first_ns = into.count ? std::min(into.first_ns, from.first_ns) : from.first_ns;
    into.last_ns = std::max(into.last_ns, from.last_ns);
    into.count += from.count;
}

} // namespace

std::string key_bytes(const Kind& kind, std::span<const std::byte> record) {
    std::string key;
    append_key(kind, record, key);
    return key;
}

Table::Table(const Kind& kind) : x_kind(&kind) {}

std::span<const std::byte> Table::record(std::size_t row) const {
    return std::span(x_records).subspan(row * x_kind->size, x_kind->size);
}

std::size_t Table::add_row(std::span<const std::byte> record) {
    x_records.insert(x_records.end(), record.begin(), record.end());
    x_rows.emplace_back();
    return x_rows.size() - 1;
}

std::size_t Table::row_for(std::span<const std::byte> record) {
    thread_local std::string key;
    key.clear();
    append_key(*x_kind, record, key);
    if (const auto known = x_index.find(key); known != x_index.end())
        return known->second;
    if (x_index.size() < kRowsMax) {
        const std::size_t row = add_row(record);
        x_index.emplace(key, static_cast<std::uint32_t>(row));
        return row;
    }
    if (x_other > x_rows.size()) {
        std::vector<std::byte> blank(x_kind->size);
        std::memcpy(blank.data(), record.data(), sizeof(abi_head));
        x_other = add_row(blank);
    }
    return x_other;
}

bool Table::fold(std::span<const std::byte> record, const RowInfo& info) {
    const std::size_t before = x_rows.size();
    const std::size_t row = row_for(record);
    join(x_rows[row], info);
    const bool fresh = x_rows.size() > before && row != x_other;
    if (fresh)
        return true;
    std::byte* into = x_records.data() + row * x_kind->size;
    join(x_kind->sums, into, record.data(), [](std::uint64_t a, std::uint64_t b) { return a + b; });
    join(x_kind->maxima, into, record.data(),
         [](std::uint64_t a, std::uint64_t b) { return std::max(a, b); });
    return row != x_other;
}

bool Table::operator==(const Table& o) const {
    return x_kind->id == o.x_kind->id && x_records == o.x_records && x_rows == o.x_rows &&
           x_other == o.x_other;
}

void Window::fold(std::span<const std::byte> record) {
    const Kind* kind = check_record(record);
    if (!kind)
        return;
    const std::uint64_t when = head_of(record).when_ns;
    if (!tables.try_emplace(kind->id, *kind).first->second.fold(record, {1, when, when}))
        lost[kind->id].folded++;
}

void Window::merge(const Window& later) {
    if (!from_ns)
        from_ns = later.from_ns;
    to_ns = std::max(to_ns, later.to_ns);
    wall_offset_ns = later.wall_offset_ns;
    for (const auto& [id, table] : later.tables)
        for (std::size_t i = 0; i < table.size(); i++)
            if (!tables.try_emplace(id, table.kind())
                     .first->second.fold(table.record(i), table.info(i)))
                lost[id].folded += table.info(i).count;
    for (const auto& [netns, theirs] : later.counters) {
        NetnsCounters& ours = counters[netns];
        for (std::size_t i = 0; i < ours.growth.size(); i++)
            ours.growth[i] += theirs.growth[i];
        ours.gauges.update(theirs.gauges);
        if (!theirs.error.empty())
            ours.error = theirs.error;
    }
    for (const auto& [kind, theirs] : later.lost) {
        Lost& ours = lost[kind];
        ours.ring_full += theirs.ring_full;
        ours.map_full += theirs.map_full;
        ours.limited += theirs.limited;
        ours.seen += theirs.seen;
        ours.filtered += theirs.filtered;
        ours.folded += theirs.folded;
    }
    names.drop_reasons.insert(later.names.drop_reasons.begin(), later.names.drop_reasons.end());
    names.reset_reasons.insert(later.names.reset_reasons.begin(), later.names.reset_reasons.end());
    names.symbols.insert(later.names.symbols.begin(), later.names.symbols.end());
    names.sources.insert(later.names.sources.begin(), later.names.sources.end());
    names.devices.insert(later.names.devices.begin(), later.names.devices.end());
    names.netns.insert(later.names.netns.begin(), later.names.netns.end());
    for (const auto& [id, path] : later.names.cgroups)
        if (names.cgroups.size() < kNamesMax)
            names.cgroups.emplace(id, path);
    for (const auto& [key, process] : later.names.processes)
        if (names.processes.size() < kNamesMax || names.processes.contains(key))
            update(names.processes[key], process);
    names.routing.insert(later.names.routing.begin(), later.names.routing.end());
    for (const auto& [netns, addresses] : later.names.addresses)
        names.addresses[netns].insert(addresses.begin(), addresses.end());
}

void History::add(Window window) {
    if (!x_windows.empty() && x_in_last < x_grain) {
        x_windows.back().merge(window);
        x_in_last++;
        return;
    }
    if (x_windows.size() == kMax) {
        for (std::size_t i = 0; i < kMax / 2; i++) {
            Window pair = std::move(x_windows[2 * i]);
            pair.merge(x_windows[2 * i + 1]);
            x_windows[i] = std::move(pair);
        }
        x_windows.resize(kMax / 2);
        x_grain *= 2;
    }
    x_windows.push_back(std::move(window));
    x_in_last = 1;
}

Window History::total() const {
    Window total;
    for (const Window& window : x_windows)
        total.merge(window);
    return total;
}

} // namespace culprit
