// SPDX-License-Identifier: MIT
// A Window as one line of JSON ("culprit.window/1") and back, nothing lost.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "model/run_info.h"
#include "model/window.h"
#include "util/result.h"

namespace culprit {

/// `run`: as known when the window ended.
std::string window_to_json(const Window& window, const RunInfo* run = nullptr);
/// `run` stays as it is where the window tells of none.
Result<Window> window_from_json(std::string_view text, std::optional<RunInfo>* run = nullptr);

} // namespace culprit
