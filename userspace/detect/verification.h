// SPDX-License-Identifier: MIT
// Is what an earlier verdict found repaired? Finding by finding, with the numbers of both runs.
#pragma once

#include <string>
#include <vector>

#include "detect/finding.h"

namespace culprit {

/// What is kept of an earlier verdict.
struct Earlier {
    std::string from, to; // RFC 3339
    std::uint64_t length_ns = 0;
    std::vector<Sighting> findings;
};

Sighting sighting_of(const Finding& finding, const Names& names);

/// What this run was able to see.
struct View {
    bool partial = false;    // filters hide more than other namespaces
    std::uint32_t netns = 0; // the only one looked at; 0 all
};

/// "Same" survives a restart and another day: the id, the namespace by name or number, and the
/// ends, device and process name as far as both know them.
Verification verify(const Earlier& before, const Verdict& after, const Facts& facts,
                    const View& view);

} // namespace culprit
