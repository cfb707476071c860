// SPDX-License-Identifier: MIT
// Drops that are normal life: counted, and not shown as trouble unless asked.
#pragma once

#include <span>
#include <string_view>

#include "kernel/names.h"
#include "signals/signal.h"

namespace culprit {

struct Benign {
    std::string_view reason;   // "*" any
    std::string_view function; // kernel function, "*" any
    std::string_view why;
    bool untagged = false; // only without a VLAN
};

std::span<const Benign> benign_drops();

/// Why this drop is normal life; empty when it is not on the list. symbol is "function+0x12"; of a
/// packet with a VLAN that nothing took off, `tagged`.
std::string_view benign_drop(std::string_view reason, std::string_view symbol, bool tagged = false);

/// The same of a record: true for one whose kind has a drop reason and a place that are on the
/// list.
bool is_normal_life(const Kind& kind, std::span<const std::byte> record, const Names& names);

} // namespace culprit
