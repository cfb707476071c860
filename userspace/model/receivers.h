// SPDX-License-Identifier: MIT
// Sockets that do not keep up with what arrives, found by two looks at all sockets. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "abi/socket.h"

namespace culprit {

class Receivers {
public:
    static constexpr std::size_t kSocketsMax = 65536;

    /// At the first look: what a UDP socket had refused before. Beyond kSocketsMax sockets the
    /// others are not judged.
    void begin(const socket_info& socket);
    /// At the first look: the sockets of this namespace were not seen, so nothing is known of what
    /// they refused before.
    void begin_unseen(std::uint32_t netns) { x_unseen.insert(netns); }
    /// At the last look: a record when the socket lags behind.
    std::optional<receiver_total> end(const socket_info& socket) const;
    /// At the first look: a TCP socket whose buffer is full already.
    static std::optional<receiver_total> filled(const socket_info& socket);

private:
    // (netns, inode) -> refused before
    std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint32_t> x_drops;
    std::set<std::uint32_t> x_unseen; // as many as there are namespaces
    bool x_full = false;
};

} // namespace culprit
