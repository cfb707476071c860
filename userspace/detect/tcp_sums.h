// SPDX-License-Identifier: MIT
// What a run counted of each TCP service and of its peers, from all records that tell of it. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>

#include "abi/connection.h"
#include "abi/flow.h"
#include "detect/finding.h"

namespace culprit {

/// Sums, all over the run. `flow` is of the looks at connections, the rest of single events.
struct TcpSums {
    std::uint64_t attempts_ok = 0, attempts_failed = 0; // of connect()
    std::uint64_t syn_response_ns = 0; // of the good ones, retransmissions included
    std::uint64_t syn_retransmits = 0;
    std::uint64_t accept_depth = 0, accept_limit = 0,
                  accept_overflows = 0; // listener; depth largest
    std::uint64_t syn_depth = 0, syn_limit = 0;
    std::uint64_t ended = 0, ended_fin = 0, ended_reset = 0;
    std::uint64_t closed_segs = 0, closed_again = 0;  // of connections that ended in the run
    std::uint64_t fast = 0, timeouts = 0, probes = 0; // segments sent again, by why
    std::uint64_t time_wait = 0, sockets = 0;         // at the fuller moment
    std::uint64_t time_wait_reused = 0; // by clients of the whole namespace (tcp_tw_reuse)
    flow_total flow{};

    void add(const flow_total& more);
    /// Segments sent and sent again: of the looks, which miss the first and last moments of short
    /// connections, or of ended connections, whichever is more.
    std::uint64_t segs() const;
    std::uint64_t again() const;
};

struct TcpKey {
    std::uint32_t netns = 0;
    std::uint8_t role = 0; // enum abi_role
    std::uint16_t port = 0;
    std::uint32_t tgid = 0;
    std::uint64_t start_ns = 0;
    auto operator<=>(const TcpKey&) const = default;
};

struct TcpServiceSums {
    abi_owner owner{};
    std::set<std::string> addresses; // of the server, at most two: one or several
    TcpSums sums;
    std::map<std::string, TcpSums> peers; // as many as rows of a Window
};

std::map<TcpKey, TcpServiceSums> tcp_sums(const Window& total);

} // namespace culprit
