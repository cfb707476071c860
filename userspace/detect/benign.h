// SPDX-License-Identifier: MIT
// Drops that are normal life: counted, and not shown as trouble unless asked.
#pragma once

#include <span>
#include <string_view>

namespace culprit {

struct Benign {
    std::string_view reason;   // "*" any
    std::string_view function; // kernel function, "*" any
    std::string_view why;
};

std::span<const Benign> benign_drops();

/// Why this drop is normal life; empty when it is not on the list. symbol is "function+0x12".
std::string_view benign_drop(std::string_view reason, std::string_view symbol);

} // namespace culprit
