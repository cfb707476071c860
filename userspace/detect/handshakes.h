// SPDX-License-Identifier: MIT
// Handshakes that lose packets beyond this host although others are answered at once: shared by the
// findings that say it and connect-timeout, which is about destinations that do not answer.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "detect/finding.h"

namespace culprit {

/// Attempts to connect from one namespace to one destination.
struct Handshakes {
    abi_flow flow{};            // of one attempt
    std::vector<Party> parties; // who connects and repeats
    std::uint64_t ok = 0, failed = 0;
    std::uint64_t late = 0;           // of those ok, after a repeated SYN; at most
    std::uint64_t repeats = 0;        // SYNs sent again
    std::uint64_t conversations = 0;  // that did
    std::uint64_t answered_twice = 0; // of them, whose SYN-ACK the server, on this host, repeated
    std::uint64_t first_ns = 0;
    std::size_t mixed_windows = 0; // with attempts answered at once and SYNs repeated
    bool server_here = false;      // its listener is on this host
    bool like_data = false;        // data to the same peer is lost as often: the path, not SYNs

    std::uint64_t at_once() const { return ok - std::min({ok, late, conversations}); }
    std::uint64_t attempts() const {
        return at_once() + std::max(conversations, ok - at_once() + failed);
    }
    double share() const; // of the SYNs, lost
    /// The SYNs arrived, their answers did not.
    bool lost_on_return() const { return server_here && 2 * answered_twice >= conversations; }
};

class HandshakeLosses {
public:
    explicit HandshakeLosses(const Facts& facts);

    const std::vector<Handshakes>& all() const& { return x_all; }
    void all() const&& = delete; // it would not outlive the loop over it
    /// Handshakes with the destination of this flow are lost now and then.
    bool has(const abi_flow& flow) const;

private:
    std::vector<Handshakes> x_all;
    std::set<std::pair<std::uint32_t, std::string>> x_places; // netns, destination
};

/// How data to a peer fares, so that the loss of handshakes can be compared with it.
struct DataLoss {
    std::uint64_t sent = 0, again = 0; // segments
    double share() const { return sent ? double(again) / double(sent) : 0; }
};
/// Data between that namespace and a peer: of these connections where they were looked at, else of
/// the namespace.
DataLoss data_loss(const Window& total, std::uint32_t netns, const std::string& peer);

/// What both findings have in common.
Finding client_finding(const char* id, const Handshakes& lost, const Facts& facts);

} // namespace culprit
