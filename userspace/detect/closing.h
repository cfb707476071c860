// SPDX-License-Identifier: MIT
// Sockets that stay in a closing state: how many, how long, and between whom.
#pragma once

#include <cstdint>

#include "abi/socket.h"
#include "detect/finding.h"
#include "model/window.h"

namespace culprit {

struct ClosingGroup {
    abi_owner owner{};
    abi_flow largest{}; // of the row with the most sockets
    std::uint8_t role = 0;
    std::uint64_t at_begin = 0, at_end = 0, aged = 0, oldest_ns = 0;
    std::uint64_t unsent_bytes = 0, unread_bytes = 0, memory_bytes = 0, first_ns = 0;
    std::uint64_t largest_count = 0;

    void add(const socket_total& row, const RowInfo& info);
    /// More than when the run began, and not by chance.
    bool grew() const;
    Where where() const;
};

/// What the findings about such a group have in common.
Finding closing_finding(const char* id, const ClosingGroup& group, const Window& total);

/// Sockets of this host's processes in CLOSE_WAIT at the other end of these.
std::uint64_t peers_in_close_wait(const Window& total, const ClosingGroup& group);

} // namespace culprit
