// SPDX-License-Identifier: MIT
// What paths do to the segments of this host's senders, by their own sockets' count. Shared by
// reordering and duplicate-packets.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "detect/tcp_flows.h"

namespace culprit {

/// The connections of a namespace to one peer, or to all peers with the same trouble.
struct PathTrouble {
    std::uint32_t netns = 0;
    std::uint64_t segs_out = 0, retransmits = 0, spurious = 0, reordered = 0, first_ns = 0;
    std::map<std::string, std::uint64_t> peers;                  // address -> segments sent there
    std::map<PartyKey, std::pair<std::uint64_t, Party>> senders; // segments sent

    std::uint64_t lost() const { return retransmits > spurious ? retransmits - spurious : 0; }
    std::uint64_t doubled() const { return spurious > retransmits ? spurious - retransmits : 0; }
    std::string peer_text() const; // the address, or "3 peers"

    void add(const FlowFacts& flow);
    void add(const PathTrouble& other);
};

/// Per namespace, of the peers for which it is true.
std::vector<PathTrouble> path_troubles(const Facts& facts, bool (*wanted)(const PathTrouble&));

/// What the findings about paths have in common: nobody to blame, senders by what they sent.
Finding path_finding(const char* id, const PathTrouble& path, std::uint64_t count,
                     const Window& total);

} // namespace culprit
