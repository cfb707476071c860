// SPDX-License-Identifier: MIT
// Records as JSON: with names for people and tools (a stream), or raw and reversible (a Window).
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <utility>
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

/// A whole number that fits into T. Throws std::out_of_range for anything else: nlohmann would cut
/// it to size.
template <typename T, typename Json>
T exact_number(const Json& from) {
    if (!from.is_number_unsigned() || !std::in_range<T>(from.template get<std::uint64_t>()))
        throw std::out_of_range("a number does not fit");
    return static_cast<T>(from.template get<std::uint64_t>());
}

} // namespace culprit
