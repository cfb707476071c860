// SPDX-License-Identifier: MIT
// What /proc tells of a process that is suspected: does it run, does it use CPU time, how many
// files has it open.
#pragma once

#include <cstdint>

#include "util/result.h"

namespace culprit {

struct TaskState {
    char state = '?'; // of the main thread, as in /proc/PID/stat
    std::uint64_t cpu_ns = 0;
    std::uint64_t open_files = 0;
    std::uint64_t files_limit = 0; // soft; UINT64_MAX unlimited
};

/// An error when the process is gone, is not the one that started then (boot time), or may not be
/// looked at.
Result<TaskState> read_task_state(std::uint32_t tgid, std::uint64_t start_ns);

} // namespace culprit
