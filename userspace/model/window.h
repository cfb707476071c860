// SPDX-License-Identifier: MIT
// The heart: the facts of one second (or more) of one host, as a value. Live capture, a recording
// and a unit test all make Windows; detectors, presenters and exporters only read them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "kernel/counters.h"
#include "kernel/gauges.h"
#include "kernel/names.h"
#include "signals/signal.h"

namespace culprit {

/// One record and what was folded into it.
struct RowInfo {
    std::uint64_t count = 0; // records folded
    std::uint64_t first_ns = 0, last_ns = 0;
    bool operator==(const RowInfo&) const = default;
};

/// The bytes that make a row of its own.
std::string key_bytes(const Kind& kind, std::span<const std::byte> record);

/// Rows of one kind. At most kRowsMax; further keys fold into `other`, whose sums and count stay
/// exact while its key is all zero (owner and addresses unknown).
class Table {
public:
    static constexpr std::size_t kRowsMax = 2048;

    explicit Table(const Kind& kind);

    const Kind& kind() const { return *x_kind; }
    std::size_t size() const { return x_rows.size(); }
    std::span<const std::byte> record(std::size_t row) const;
    const RowInfo& info(std::size_t row) const { return x_rows[row]; }
    /// Row that took what did not fit; size() when there is none.
    std::size_t other() const { return x_other < size() ? x_other : size(); }

    /// False when the record had to go to `other`.
    bool fold(std::span<const std::byte> record, const RowInfo& info);
    bool operator==(const Table& o) const;

private:
    std::size_t row_for(std::span<const std::byte> record);
    std::size_t add_row(std::span<const std::byte> record);

    const Kind* x_kind;
    std::vector<std::byte> x_records; // size() * kind.size
    std::vector<RowInfo> x_rows;
    std::unordered_map<std::string, std::uint32_t> x_index; // key bytes -> row
    std::size_t x_other = kRowsMax + 1;
};

/// A row as its C struct, for detectors.
template <typename Record>
struct Row {
    Record record;
    RowInfo info;
};

/// What the kernel counted in one namespace while the window was open.
struct NetnsCounters {
    Counters growth{};
    Gauges gauges;     // at the end of the window
    std::string error; // why there are none; empty when there are
    bool operator==(const NetnsCounters&) const = default;
};

struct Lost {
    std::uint64_t ring_full = 0; // records the ring had no room for
    std::uint64_t map_full = 0;  // entries a kernel map refused
    std::uint64_t limited = 0;   // samples not sent by rate limit; totals have them
    std::uint64_t seen = 0;      // facts met by the hook
    std::uint64_t filtered = 0;  // excluded by the user's filter
    std::uint64_t folded =
        0; // rows beyond Table::kRowsMax: counted, but without a key of their own
    bool operator==(const Lost&) const = default;
};

/// Names of processes and cgroups in one window. Full: further ones have only the names that are in
/// their records, as most of their rows went to `other` too.
inline constexpr std::size_t kNamesMax = 2 * Table::kRowsMax;

struct Window {
    std::uint64_t from_ns = 0, to_ns = 0;            // boot time
    std::int64_t wall_offset_ns = 0;                 // boot time + this = wall time
    std::map<std::uint32_t, Table> tables;           // kind id -> rows
    std::map<std::uint32_t, NetnsCounters> counters; // netns -> growth
    std::map<std::uint32_t, Lost> lost;              // kind id -> what happened to its records
    Names names;                                     // of the numbers in the tables

    void fold(std::span<const std::byte> record);
    /// Adds a later window to this one.
    void merge(const Window& later);

    template <typename Record>
    std::vector<Row<Record>> rows(std::uint32_t kind) const {
        std::vector<Row<Record>> out;
        const auto it = tables.find(kind);
        if (it == tables.end() || it->second.kind().size != sizeof(Record))
            return out;
        out.resize(it->second.size());
        for (std::size_t i = 0; i < out.size(); i++) {
            std::memcpy(&out[i].record, it->second.record(i).data(), sizeof(Record));
            out[i].info = it->second.info(i);
        }
        return out;
    }

    double seconds() const { return static_cast<double>(to_ns - from_ns) / 1e9; }
    bool operator==(const Window&) const = default;
};

/// Windows of a run, oldest first, at most kMax: when full, neighbours are merged two by two, so a
/// long run keeps its whole length at a coarser grain.
class History {
public:
    static constexpr std::size_t kMax = 64;

    void add(Window window);
    std::span<const Window> windows() const { return x_windows; }
    Window total() const;

private:
    std::vector<Window> x_windows;
    std::size_t x_grain = 1; // windows per element
    std::size_t x_in_last = 0;
};

} // namespace culprit
