// SPDX-License-Identifier: MIT
// Who a process is, by its PID and its start: a PID alone may be another's by now.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace culprit {

/// PID and start, CLOCK_BOOTTIME in ns, as the programs report them.
using ProcessKey = std::pair<std::uint32_t, std::uint64_t>;

/// All text is bytes as the process or its parents set them: hostile. Empty: not known.
struct Process {
    std::string comm;    // as of the last look: exec changes it
    std::string exe;     // path, at most kPathMax bytes
    std::string cmdline; // arguments with spaces between, at most kCmdlineMax bytes
    std::string cgroup;  // path, at most kPathMax bytes
    bool exited = false;

    bool operator==(const Process&) const = default;
};

inline constexpr std::size_t kCmdlineMax = 256;
inline constexpr std::size_t kPathMax = 1024;

/// Takes over a later look; of a process that exited, what was known of it stays.
void update(Process& known, const Process& later);

/// Looks below a /proc. A process that is gone, or whose PID is another's by now, is said to have
/// exited, with nothing else in it. nullopt: it cannot be told, because the start is not known (0)
/// or /proc is not readable.
std::optional<Process> read_process(const std::string& proc, const ProcessKey& key);

/// /proc shows this host's processes, all of them, under the PIDs that the programs report. False
/// in a PID namespace, and where hidepid hides processes: there a missing one proves nothing.
bool sees_host_processes();

} // namespace culprit
