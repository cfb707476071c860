// SPDX-License-Identifier: MIT
// Live capture to Windows: drains the ring, takes the totals, reads the kernel's counters, adds the
// names.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "kernel/names_live.h"
#include "model/owner_fill.h"
#include "model/receivers.h"
#include "model/socket_groups.h"
#include "model/window.h"
#include "signals/capture.h"
#include "signals/note_names.h"
#include "util/result.h"

namespace culprit {

class Collector {
public:
    Collector(Capture& capture, LiveNames& names) : x_capture(capture), x_names(names) {}

    /// What happened before this moment is not in any window.
    void begin();
    /// Waits for records at most timeout_ms; they go to the window under way.
    Result<std::size_t> poll(int timeout_ms);
    /// Ends the window under way and begins the next. The last one names the processes of all, as
    /// they are at the end.
    Result<Window> cut(bool last);
    /// What could not be looked at so far, beside signals that are off.
    std::vector<std::string> gaps() const;

private:
    /// One pass over the counters of all namespaces.
    struct Reading {
        std::uint64_t when_ns = 0;                       // its end
        std::map<std::uint32_t, std::uint64_t> netns_ns; // when each namespace's were read
    };
    static std::uint64_t edge_of(const Reading& reading, std::span<const std::byte> record);

    void take(std::span<const std::byte> record);
    Result<void> drain();
    void read_all_counters(bool first);
    Gauges gauges_of(const Netns& netns, std::uint64_t now);
    void count_lost();
    void add_names(Window& window);
    void look(SocketGroups::Look which);
    void look_for_owners(bool last);
    enum class Round { kTurn, kAll };
    void ask_readers(Round round, const RecordSink& sink);
    Result<bool> ask_readers_in(const Netns& netns, const RecordSink& sink);

    Capture& x_capture;
    LiveNames& x_names;
    Window x_now;
    // records younger than the end of the window being cut
    std::vector<std::vector<std::byte>> x_later;
    bool x_cutting = false;
    Reading x_start, x_last;                      // the first one, and the latest
    std::map<std::uint32_t, Counters> x_counters; // as last read
    std::set<std::uint32_t> x_unread; // namespaces that could not be read when first seen
    std::set<std::uint32_t> x_gone;   // namespaces said to be gone
    std::map<std::uint32_t, std::pair<std::uint64_t, Gauges>> x_limits; // and when they were read
    Ledgers x_ledgers;
    Receivers x_receivers;
    UnknownFlows x_unknown;                        // of the windows so far
    std::uint64_t x_walk_ns = 0;                   // no other walk over the file tables before
    std::uint32_t x_asked = 0;                     // namespace the readers were in last
    std::map<std::uint32_t, std::uint64_t> x_rest; // netns -> no reader goes there before
    std::set<std::uint32_t> x_visited;             // namespaces that readers were in at least once
    std::size_t x_unlooked = 0; // left out by a look at sockets, by the one that left out more
};

} // namespace culprit
