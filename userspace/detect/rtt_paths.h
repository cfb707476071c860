// SPDX-License-Identifier: MIT
// Round trips to each peer over the course of a run, against the smallest ones known.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "detect/tcp_flows.h"

namespace culprit {

/// What one process met in one window.
struct RttSample {
    std::size_t window = 0;
    double us = 0;
    PartyKey who;
    bool handshake = false;
};

/// Who sends there, over the run.
struct RttSender {
    Party party;
    std::uint64_t bytes = 0, retransmits = 0, spurious = 0, sending = 0, app_limited = 0;

    std::uint64_t lost() const { return retransmits > spurious ? retransmits - spurious : 0; }
};

/// From the sockets of a namespace to one peer; where both are of this host, from the client's.
struct RttPath {
    std::uint32_t netns = 0;
    std::string peer;
    double base_us = 0; // 0 unknown
    std::vector<RttSample> samples;
    std::map<PartyKey, RttSender> senders;

    bool has_grown(const RttSample& sample) const;
    /// Windows in which round trips were far above the smallest one.
    std::vector<std::size_t> grown_windows() const;
    double grown_us() const; // median of the samples that have grown
    /// How far apart one sender's windows are, once they have grown: largest to smallest.
    double variation(const PartyKey& who) const;
};

std::vector<RttPath> rtt_paths(const Facts& facts, const TcpFlows& flows);

} // namespace culprit
