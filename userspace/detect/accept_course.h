// SPDX-License-Identifier: MIT
// The course of accept queues that do not overflow: shared by the findings about processes that
// accept late (accept-delay) and those that do not accept at all (app-hang).
#pragma once

#include <cstdint>
#include <vector>

#include "detect/listeners.h"

namespace culprit {

/// One second of all sockets of an address.
struct AcceptSpell {
    double seconds = 0;
    double depth = 0; // connections that waited, on average
    std::uint64_t came = 0, accepted = 0;

    bool is_used() const { return came || accepted || depth > 0; }
    bool stands() const { return depth > 0 && !accepted; }
    /// Little's law; 0 when none was accepted.
    double wait_seconds() const {
        return accepted && seconds > 0 ? depth * seconds / double(accepted) : 0;
    }
};

struct AcceptCourse {
    const ListenerFacts* listener = nullptr; // the deepest queue of the address
    std::vector<AcceptSpell> spells;         // oldest first

    /// At the end of the run: how long connections have waited and none was accepted.
    double stands_seconds() const;
};

/// Of each address that listens; those with a listener in trouble, which another finding tells of,
/// are left out.
std::vector<AcceptCourse> accept_courses(const Facts& facts, const Listeners& listeners);

} // namespace culprit
