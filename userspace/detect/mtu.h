// SPDX-License-Identifier: MIT
// Connections that stand still because the path does not carry their full-size segments: for the
// detector that says it and for those whose symptoms it explains.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "abi/retransmit.h"
#include "detect/finding.h"
#include "detect/flows.h"

namespace culprit {

/// One connection whose largest segments were sent again and again, none of which arrived.
struct StuckFlow {
    abi_flow flow{};
    Party party;
    std::uint64_t attempts = 0; // timeouts in a row
    std::uint64_t resent = 0;   // segments sent again by the timer
    std::uint64_t resent_bytes = 0;
    std::uint64_t mss = 0;         // payload of its largest segment
    std::uint64_t acked_bytes = 0; // in its life
    std::uint64_t acked_segs = 0;
    std::uint64_t sacked_segs = 0; // that arrived behind those that did not
    std::uint64_t heard_ns = 0;    // the peer's last ACK
    std::uint64_t first_ns = 0;
    std::optional<DropPlace> too_big; // where on this host; none: beyond it

    /// Nothing of full size seems to have arrived in its life.
    bool never_large() const;
    /// All that was sent again is as large as it gets, and nothing of it ever arrived.
    bool stands_still() const;
};

class MtuHoles {
public:
    explicit MtuHoles(const Window& total);

    /// Those of which it is shown that smaller packets pass.
    const std::vector<StuckFlow>& stuck() const& { return x_stuck; }
    void stuck() const&& = delete; // it would not outlive the loop over it
    bool explains(const abi_flow& flow) const;
    /// Connections that succeeded to that address after the first of its flows stood still.
    std::uint64_t handshakes_since(std::uint32_t netns, const std::string& peer) const;

private:
    using Peer = std::pair<std::uint32_t, std::string>; // netns, address
    struct Handshakes {
        std::uint64_t count = 0, last_ns = 0;
    };

    void add_handshakes(const Window& total);
    bool small_ones_pass(const StuckFlow& flow) const;

    std::vector<StuckFlow> x_stuck;
    std::map<std::string, std::size_t> x_index; // conversation -> element of x_stuck
    std::map<Peer, Handshakes> x_handshakes;
    std::map<Peer, std::uint64_t> x_still;  // flows that stand still
    std::map<Peer, std::uint64_t> x_silent; // of them from their first byte on
};

} // namespace culprit
