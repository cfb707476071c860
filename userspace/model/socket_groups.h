// SPDX-License-Identifier: MIT
// All TCP sockets of a host at one moment as a bounded number of socket_total records. Pure.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "abi/socket.h"
#include "kernel/gauges.h"
#include "model/window.h"

namespace culprit {

/// include/net/tcp.h: TCP_TIMEWAIT_LEN.
inline constexpr std::uint64_t kTimeWaitNs = 60'000'000'000;

/// One look. Groups that have the other end's address are the first to give way: above the limits
/// they are summed up without it, and what still has no room is one row without who and where.
class SocketGroups {
public:
    static constexpr std::size_t kKeysMax = 4096;
    /// So that a Window has room for two looks with nothing in common.
    static constexpr std::size_t kRowsMax = Table::kRowsMax / 2 - 2;

    enum class Look { kBegin, kEnd };
    /// At the end, a closing socket whose age is unknown was there at the beginning: that long.
    SocketGroups(Look look, std::uint64_t watched_ns) : x_look(look), x_watched_ns(watched_ns) {}

    /// Limits of a namespace: tell which port is the service when no listener does, and the age of
    /// a socket that waits for a timer.
    void set_limits(std::uint32_t netns, const Gauges& limits) { x_limits[netns] = limits; }

    /// Listening sockets come before the others of their namespace, as the iterator has it.
    void add(const socket_info& socket);

    /// The row without who and where, if any, comes last and has state 0.
    std::vector<socket_total> rows() const;

private:
    using Groups = std::unordered_map<std::string, socket_total>; // by the key bytes of the kind

    std::uint8_t role_of(const socket_info& socket) const;
    std::uint64_t age_of(const socket_info& socket) const;
    std::uint64_t limit(std::uint32_t netns, std::size_t index, std::uint64_t otherwise) const;
    socket_total record_of(const socket_info& socket) const;
    std::vector<const socket_total*> fold(Groups& without_peer, socket_total& rest) const;

    Look x_look;
    std::uint64_t x_watched_ns;
    std::unordered_map<std::uint32_t, Gauges> x_limits;
    std::set<std::pair<std::uint32_t, std::uint16_t>> x_listeners; // (netns, port)
    Groups x_with_peer, x_without_peer;
    socket_total x_rest{};
};

} // namespace culprit
