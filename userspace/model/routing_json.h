// SPDX-License-Identifier: MIT
// How a namespace routes, as part of a saved Window.
#pragma once

#include <cstdint>
#include <utility>

#include <nlohmann/json.hpp>

#include "kernel/routing.h"

namespace culprit {

nlohmann::ordered_json routing_json(std::uint32_t netns, const Routing& routing);

/// Throws when the shape is wrong.
std::pair<std::uint32_t, Routing> routing_from(const nlohmann::ordered_json& from);

} // namespace culprit
