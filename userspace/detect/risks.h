// SPDX-License-Identifier: MIT
// What the commands that advice names may cost.
#pragma once

#include <string_view>

namespace culprit {

/// The command changes something, as opposed to one that only looks.
bool changes_host(std::string_view command);

/// Empty for a command that only looks.
std::string_view usual_risk(std::string_view command);

} // namespace culprit
