// SPDX-License-Identifier: MIT
// Connections that are alike, summed up until the next tick, in a bounded number of records. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "abi/flow.h"

namespace culprit {

/// Groups that have the peer's address are the first to give way: above the limits they are summed
/// up without it, and what still has no room is one record without who and where.
class FlowGroups {
public:
    static constexpr std::size_t kKeysMax = 1024;
    static constexpr std::size_t kRowsMax = 256;

    void begin_look() { x_look++; }
    /// What one connection did, with its own ends, owner and role.
    void add(const flow_total& one);
    /// All so far; begins anew.
    std::vector<flow_total> take();

private:
    struct Group {
        flow_total total{};
        std::uint64_t look = 0;              // the numbers of connections below are of
        std::uint64_t flows = 0, silent = 0; // at that look

        void add(const flow_total& one, std::uint64_t look_now);
    };
    using Groups = std::unordered_map<std::string, Group>; // by the key bytes of the kind

    bool put(Groups& groups, const flow_total& one);
    std::vector<flow_total> fold(Groups& without_peer, flow_total& rest) const;

    std::uint64_t x_look = 0;
    Groups x_with_peer, x_without_peer;
    Group x_rest;
};

} // namespace culprit
