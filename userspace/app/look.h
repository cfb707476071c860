// SPDX-License-Identifier: MIT
// A look at all sockets of all network namespaces: taken when a run begins and when it ends, since
// it costs time in proportion to the sockets there are.
#pragma once

#include <cstdint>
#include <map>

#include "kernel/gauges.h"
#include "kernel/netns.h"
#include "model/owner_fill.h"
#include "model/socket_groups.h"
#include "signals/capture.h"

namespace culprit {

struct LookPlace {
    const Netns* netns = nullptr;
    Gauges limits;
};

/// Adds socket_total rows to the window, and `socket` rows of the flows asked for. Nothing when the
/// sockets cannot be walked on this kernel. Returns how many namespaces were left out: refused,
/// gone, or no time was left for them.
std::size_t look_at_sockets(Capture& capture, const std::map<std::uint32_t, LookPlace>& places,
                            SocketGroups groups, const UnknownFlows& asked, Window& into);

} // namespace culprit
