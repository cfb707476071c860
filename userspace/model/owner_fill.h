// SPDX-License-Identifier: MIT
// Records whose owner was unknown when they were made, and the sockets found for them later. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_set>

#include "abi/event.h"
#include "model/window.h"

namespace culprit {

/// What makes two flows the same conversation seen from the same end; the device does not. A flow
/// that is forwarded here has no namespace: its socket may be in any one of this host's.
std::string flow_key(const abi_flow& flow);

/// Flows of retransmissions, resets, drops, slow packets and shares of queues without an owner. At
/// most kMax: what is beyond stays unknown.
class UnknownFlows {
public:
    static constexpr std::size_t kMax = 2 * Table::kRowsMax;

    void add(const Window& window);
    /// A socket with this flow. One of UDP may have sent to anybody, from any namespace: it is
    /// known by its port and, if it is bound to one, its address.
    bool contains(const abi_flow& flow) const;
    bool empty() const { return x_keys.empty(); }

private:
    std::unordered_set<std::string> x_keys;
};

/// Records of sockets that are not TCP and whose process nobody knows: a socket is known by its
/// cgroup. Their owners are found by another walk over the file tables, for the records to come.
bool has_unowned_sockets(const Window& window);

/// Gives these records the owner of the `socket` row with their flow, when there is exactly one
/// such socket and its owner is known; and, but for TCP, the owner of records that are like them in
/// all else. Rows that become equal are one.
void fill_unknown_owners(Window& window);

} // namespace culprit
