// SPDX-License-Identifier: MIT
// Sockets that do not keep up with what arrives, found by two looks at all sockets. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "abi/socket.h"

namespace culprit {

class Receivers {
public:
    static constexpr std::size_t kSocketsMax = 65536;

    /// At the first look: what a UDP socket had refused before. Beyond kSocketsMax sockets the
    /// others are not judged.
    void begin(const socket_info& socket);
    /// At the last look: a record when the socket lags behind.
    std::optional<receiver_total> end(const socket_info& socket) const;
    /// At the first look: a TCP socket whose buffer is full already.
    static std::optional<receiver_total> filled(const socket_info& socket);

private:
    std::unordered_map<std::string, std::uint32_t> x_drops; // socket -> refused before
    bool x_full = false;
};

} // namespace culprit
