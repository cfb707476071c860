// SPDX-License-Identifier: MIT
// The processes behind TUN and TAP devices.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace culprit {

struct TunHolder {
    std::string device; // its name; bytes as the administrator set them
    std::uint32_t tgid = 0;
    std::uint64_t start_ns = 0; // boot time, as exact as /proc has it
    std::uint32_t netns = 0;    // the process's; the device may be in another one
    std::string comm;           // hostile
    char state = 0;             // of the main thread, as in /proc/PID/stat
};

/// Looks at the open files of all processes, at most kTunFilesMax of them: costs milliseconds.
inline constexpr std::size_t kTunFilesMax = 200'000;
std::vector<TunHolder> find_tun_holders();

} // namespace culprit
