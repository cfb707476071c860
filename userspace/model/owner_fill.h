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

/// Flows of retransmissions, resets, drops and shares of queues without an owner. At most kMax:
/// what is beyond stays unknown.
class UnknownFlows {
public:
    static constexpr std::size_t kMax = 2 * Table::kRowsMax;

    void add(const Window& window);
    bool contains(const abi_flow& flow) const;
    bool empty() const { return x_keys.empty(); }

private:
    std::unordered_set<std::string> x_keys;
};

/// Gives these records the owner of the `socket` row with their flow, when there is exactly one
/// such socket and its owner is known. Rows that become equal are one.
void fill_unknown_owners(Window& window);

} // namespace culprit
