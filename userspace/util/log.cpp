// SPDX-License-Identifier: MIT
// Writes one line per message, control characters made harmless.
#include "util/log.h"

#include <atomic>
#include <cstdio>
#include <string>

#include "util/text.h"

namespace culprit {

namespace {
std::atomic<Level> level_now = Level::kWarning;
}

void set_log_level(Level level) {
    level_now = level;
}

bool log_enabled(Level level) {
    return level <= level_now;
}

void log(Level level, std::string_view message) {
    static constexpr const char* kNames[] = {"error", "warning", "info", "debug"};
    if (!log_enabled(level))
        return;
    while (!message.empty() && message.back() == '\n')
        message.remove_suffix(1);
    const std::string line = safe_text(message);
    std::fprintf(stderr, "culprit: %s: %s\n", kNames[static_cast<int>(level)], line.c_str());
}

} // namespace culprit
