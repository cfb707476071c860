// SPDX-License-Identifier: MIT
// Records as JSON: with names for people and tools (a stream), or raw and reversible (a Window).
#pragma once

#include <span>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "kernel/names.h"
#include "signals/signal.h"
#include "util/result.h"

namespace culprit {

/// For streams: names instead of numbers; bytes from outside are made safe.
void record_to_json(const Kind& kind, std::span<const std::byte> record, const Names& names,
                    nlohmann::ordered_json& into);

/// For Windows: every byte that is not padding can be had back with record_from_raw_json().
void record_to_raw_json(const Kind& kind, std::span<const std::byte> record,
                        nlohmann::ordered_json& into);
Result<std::vector<std::byte>> record_from_raw_json(const Kind& kind,
                                                    const nlohmann::ordered_json& from);

} // namespace culprit
