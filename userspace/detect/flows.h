// SPDX-License-Identifier: MIT
// Joins what happened to the same conversation at different hooks: a dropped packet, and the socket
// that sends it again.
#pragma once

#include <netinet/in.h>

#include <map>
#include <string>
#include <vector>

#include "abi/connection.h"
#include "abi/drop.h"
#include "abi/retransmit.h"
#include "model/window.h"

namespace culprit {

/// Both ends and the protocol, the same text whichever end looks. Namespaces are left out on
/// purpose: the drop may happen in another one of this host's than the socket.
std::string conversation(const abi_flow& flow);

/// Destination of a connection attempt: remote address and port.
std::string destination(const abi_flow& flow);

struct DropPlace {
    std::uint32_t reason = 0, netns = 0;
    std::uint64_t location = 0;
    auto operator<=>(const DropPlace&) const = default;
};

/// Conversations whose packets were sampled at a place that is not normal life; without what a
/// flooded listener answers.
struct LocalDrops {
    std::map<std::string, DropPlace> by_conversation;
    std::map<std::string, DropPlace> by_destination; // of dropped TCP SYNs

    const DropPlace* of(const abi_flow& flow) const;
    const DropPlace* of_destination(const abi_flow& flow) const;
};

LocalDrops find_local_drops(const Window& total);

/// Announcements and searches, which nobody in particular answers.
bool is_to_many(const abi_flow& flow);

/// Attempts of one row, given up at once, as who tries several addresses does: nobody waited for
/// the answer.
bool changed_its_mind(const connect_event& attempts, const RowInfo& info);

/// One of the two ends has an address that is given out on the Internet.
bool is_global(const abi_flow& flow, bool local);

/// Received from an address of the Internet. Anybody's: without a sufferer on this host, what it
/// repeats is no proof that it is needed (scanners and floods repeat too).
bool is_from_stranger(const drop_event& packet);

bool is_benign(const drop_event& drop, const Names& names);

} // namespace culprit
