// SPDX-License-Identifier: MIT
// libbpf's messages are for developers: one level lower, and the verifier's log only on --debug.
#include "signals/bpf_log.h"

#include <bpf/libbpf.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <sstream>
#include <string>

#include "util/log.h"

namespace culprit {

namespace {

int print_libbpf(libbpf_print_level, const char* format, va_list args) {
    if (!log_enabled(Level::kDebug))
        return 0;
    va_list again;
    va_copy(again, args);
    std::string line(
        static_cast<std::size_t>(std::max(std::vsnprintf(nullptr, 0, format, again), 0)), ' ');
    va_end(again);
    std::vsnprintf(line.data(), line.size() + 1, format, args);
    static std::mutex whole; // objects load side by side
    const std::lock_guard guard(whole);
    std::istringstream lines(line); // a verifier log is one message of many lines
    while (std::getline(lines, line))
        log(Level::kDebug, line);
    return 0;
}

} // namespace

void send_bpf_messages_to_log() {
    libbpf_set_print(print_libbpf);
}

} // namespace culprit
