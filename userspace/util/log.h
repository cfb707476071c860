// SPDX-License-Identifier: MIT
// Messages for the person at the terminal, to stderr; data goes to stdout and never through here.
#pragma once

#include <string_view>

namespace culprit {

enum class Level { kError, kWarning, kInfo, kDebug };

void set_log_level(Level level);
bool log_enabled(Level level);
void log(Level level, std::string_view message);

} // namespace culprit
