// SPDX-License-Identifier: MIT
// A look at all sockets of all network namespaces: taken when a run begins and when it ends, since
// it costs time in proportion to the sockets there are.
#pragma once

#include <cstdint>
#include <map>

#include "kernel/gauges.h"
#include "kernel/netns.h"
#include "model/owner_fill.h"
#include "model/receivers.h"
#include "model/socket_groups.h"
#include "signals/capture.h"

namespace culprit {

struct LookPlace {
    const Netns* netns = nullptr;
    Gauges limits;
};

/// What single sockets are looked for.
struct Wanted {
    const UnknownFlows& flows;
    Receivers& receivers;
    bool last = false; // the look at the end
};

/// Adds socket_total rows to the window, `socket` rows of the flows asked for, and sockets that do
/// not keep up with what arrives. Nothing when the
/// sockets cannot be walked on this kernel. Returns how many namespaces were left out: refused,
/// gone, or no time was left for them.
std::size_t look_at_sockets(Capture& capture, const std::map<std::uint32_t, LookPlace>& places,
                            SocketGroups groups, const Wanted& wanted, Window& into);

} // namespace culprit
