// SPDX-License-Identifier: MIT
// /proc/net/softnet_stat as numbers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace culprit {

/// One line of it, a CPU that is online.
struct SoftnetLine {
    std::uint32_t cpu = 0;
    std::uint32_t processed = 0, dropped = 0, time_squeeze = 0;
    std::uint32_t flow_limit = 0, backlog = 0; // 0 where the kernel does not say
};

/// Lines with too few columns are left out. Pure.
std::vector<SoftnetLine> parse_softnet(const std::string& text);

} // namespace culprit
