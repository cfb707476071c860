// SPDX-License-Identifier: MIT
// A Window as one line of JSON ("culprit.window/1") and back, nothing lost.
#pragma once

#include <string>
#include <string_view>

#include "model/window.h"
#include "util/result.h"

namespace culprit {

std::string window_to_json(const Window& window);
Result<Window> window_from_json(std::string_view text);

} // namespace culprit
