// SPDX-License-Identifier: MIT
// What the detectors of receive paths share: drops of one namespace, and where they came from.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "abi/socket.h"
#include "detect/drops.h"

namespace culprit {

/// Drops of that finding, put together per namespace.
std::map<std::uint32_t, DropFacts> drops_by_netns(const Facts& facts, std::string_view finding_id);

/// Counts by text, to tell who has most.
struct Tally {
    std::map<std::string, std::uint64_t> counts;
    std::uint64_t all = 0;

    void add(const std::string& what, std::uint64_t count);
    /// "10.0.0.1 (92 %), 10.0.0.2 (8 %)": the first three.
    std::string text() const;
    std::string first() const; // empty when there is none
};

/// Source addresses of sampled packets.
Tally sources_of(const std::vector<Row<drop_event>>& samples);

std::uint64_t grown(const Window& total, std::uint32_t netns, std::size_t index);

/// Datagrams over IPv4 and IPv6 together: one socket may serve both.
struct UdpGrowth {
    std::uint64_t delivered = 0, no_ports = 0, rcvbuf = 0, sndbuf = 0, csum = 0, memory = 0;
};
UdpGrowth udp_growth(const Window& total, std::uint32_t netns);

/// A limit of the host that only the initial namespace shows.
std::optional<std::uint64_t> host_limit(const Window& total, std::size_t index);

} // namespace culprit
