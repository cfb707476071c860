// SPDX-License-Identifier: MIT
// What happened to each address on the links, and how this host's processes fare with it: shared by
// the findings about neighbours.
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "abi/neigh.h"
#include "detect/finding.h"
#include "model/format.h"
#include "model/window.h"

namespace culprit {

/// One address on one device over the whole run.
struct NeighbourFacts {
    std::uint32_t netns = 0, ifindex = 0, family = 0;
    std::string address;
    std::uint64_t first_ns = 0;

    std::uint64_t failed = 0;  // times it left all probes without an answer
    std::uint64_t packets = 0; // that waited for it in vain
    std::uint64_t routed = 0;  // of them to go beyond it
    std::string mac;           // it had once; empty when it was never known
    std::vector<Party> waiting;

    using Macs = std::pair<std::string, std::string>; // from, to
    std::map<Macs, std::uint64_t> changed;
    std::map<Macs, std::uint64_t> refused; // the second one answered too and was not believed
};

std::vector<NeighbourFacts> neighbours_of(const Window& total);

/// How connections fare.
struct Dealings {
    std::uint64_t unanswered =
        0;                      // attempts without an answer, or told that the host is unreachable
    std::uint64_t refused = 0;  // attempts
    std::uint64_t resets = 0;   // received on connections
    std::uint64_t resent = 0;   // segments
    std::vector<Party> parties; // whose they are

    std::uint64_t failed() const { return unanswered + refused + resets; }
};

/// One trouble of a connection: which member of Dealings it counts in, and how often.
using EachTrouble = std::function<void(const abi_flow&, const abi_owner&,
                                       std::uint64_t Dealings::*counter, std::uint64_t count)>;
void each_trouble(const Window& total, const EachTrouble& each);

/// Of all whose flow is wanted.
Dealings dealings_with(const Window& total, const std::function<bool(const abi_flow&)>& wanted);

/// What findings about a neighbour have in common.
Finding neighbour_finding(const char* id, const NeighbourFacts& neighbour, const Window& total);

/// "ip -n blue neigh show to 10.0.0.1 dev eth0" in the namespace's own terms.
std::string show_neighbour(const NeighbourFacts& neighbour, const Names& names);

} // namespace culprit
