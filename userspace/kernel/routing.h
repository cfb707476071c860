// SPDX-License-Identifier: MIT
// How a network namespace routes what it receives, and what its routes and rules refuse.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "util/result.h"

namespace culprit {

/// Settings of one device (net.ipv4.conf.DEV).
struct DeviceRouting {
    std::uint32_t forwarding = 0;
    std::uint32_t rp_filter = 0; // 0 off, 1 strict, 2 loose
    auto operator<=>(const DeviceRouting&) const = default;
};

/// A route or rule that answers with an error.
struct Refusal {
    std::uint8_t family = 0;
    std::uint8_t length = 0; // of the prefix, in bits
    std::uint8_t type = 0;   // RTN_BLACKHOLE, RTN_UNREACHABLE or RTN_PROHIBIT
    bool rule = false;
    std::uint32_t table = 0; // of a rule: its preference
    std::array<std::uint8_t, 16> prefix{};
    auto operator<=>(const Refusal&) const = default;
};

/// At most kRefusalsMax refusals are kept; `more` says that there are others.
inline constexpr std::size_t kRefusalsMax = 64;
struct Routing {
    std::map<std::uint32_t, DeviceRouting> devices; // by ifindex
    DeviceRouting all;                              // net.ipv4.conf.all
    std::uint32_t forwarding6 = 0;                  // net.ipv6.conf.all.forwarding
    std::vector<Refusal> refusals;
    bool more = false;
    bool operator==(const Routing&) const = default;
};

/// Of the namespace this thread is in.
Result<Routing> read_routing();

/// "blackhole route 203.0.113.0/24 in table 254", "prohibit rule 100 for 0.0.0.0/0".
std::string refusal_text(const Refusal& refusal);

} // namespace culprit
