// SPDX-License-Identifier: MIT
// One connection from look to look: what it did in between. Pure.
#pragma once

#include <cstdint>

#include "abi/flow.h"
#include "signals/flow_answers.h"

namespace culprit {

// Of payload only: a SYN or FIN counts as a byte in the kernel's numbers.
std::uint64_t sent_of(const flow_look& look); // acknowledged by the peer
std::uint64_t received_of(const flow_look& look);
std::uint64_t unsent_of(const flow_look& look); // not acknowledged, sent or not
std::uint64_t unread_of(const flow_look& look);

/// Older than culprit, and no listener behind its port: a port of those that clients are given
/// tells which end this is.
std::uint8_t role_of(const flow_look& look);

/// Of the looks, not of one connection.
struct Pace {
    std::uint64_t tick_ns = 0;   // length of a jiffy
    std::uint64_t before_ns = 0; // the look before began
};

class FlowGrowth {
public:
    /// A connection that came to life under watch has done nothing before: all its numbers are
    /// growth. Of an older one they are what growth is measured against.
    FlowGrowth(const flow_look& first, bool is_newborn);

    bool is_same(const flow_look& look) const;
    /// What came since the last look, and what this one shows; without who, where and role. `flows`
    /// is 0 when the connection was idle, `looks` when this was the first one.
    flow_total grow(const flow_look& now, const Pace& pace);
    std::uint64_t seen_ns() const { return x_last.when_ns; }

private:
    bool is_idle(const flow_look& now) const;
    void add_growth(const flow_look& now, const Pace& pace, flow_total& into) const;
    void add_windows(const flow_look& now, flow_total& into);

    flow_look x_last;
    bool x_known;                  // x_last can be measured against
    std::uint64_t x_zero_ns = 0;   // the peer's window is closed since; 0: it is open
    std::uint64_t x_closed_ns = 0; // the own window likewise
    Answers x_answers;
};

} // namespace culprit
