// SPDX-License-Identifier: MIT
// Established connections whose peer answers nothing any more: for the detector that says it and
// for those whose symptoms it explains.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "abi/retransmit.h"
#include "detect/mtu.h"

namespace culprit {

/// The connections of one process to one address.
struct DeadPeer {
    Party party;
    std::string peer;
    std::set<std::string> conversations;
    abi_flow flow{};                   // of one of them
    std::uint64_t attempts = 0;        // timeouts in a row, largest
    std::uint64_t segs = 0;            // sent again in vain
    std::uint64_t heard_ns = 0;        // when one of them was heard last
    std::uint64_t quiet_ns = 0;        // since then, at the last attempt
    std::uint64_t alive = 0;           // connections made to that address since then
    std::uint64_t unanswered_syns = 0; // attempts to connect since then that got no answer
    bool others_heard = false;         // other connections to that address go on
    bool serves = false;               // the process is the server of them
    std::uint64_t first_ns = 0;
};

class DeadPeers {
public:
    explicit DeadPeers(const Facts& facts);

    const std::vector<DeadPeer>& all() const& { return x_all; }
    void all() const&& = delete; // it would not outlive the loop over it
    bool explains(const abi_flow& flow) const { return x_flows.contains(conversation(flow)); }

private:
    void collect(const Window& total);
    void look_for_life(const Facts& facts);
    void keep_dead();

    std::vector<DeadPeer> x_all;
    std::set<std::string> x_flows; // conversations
};

} // namespace culprit
