// SPDX-License-Identifier: MIT
// The numbers that detectors compare with (thresholds.def), by name; the user may override them
// before anything is judged.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "util/result.h"

namespace culprit::threshold {

/// Reads like the number it is. Where a template wants the very type, say `.value`.
template <typename T>
struct Tunable {
    T value;
    constexpr operator T() const { return value; }
};

#define CULPRIT_SOURCE(text)
#define CULPRIT_THRESHOLD(type, name, number, unit, meaning)                                       \
    inline constinit Tunable<type> name{number};
#include "detect/thresholds.def"
#undef CULPRIT_SOURCE
#undef CULPRIT_THRESHOLD

/// One line of the table. Names are those of the source without the k.
struct Row {
    std::string_view name, unit, meaning, source;
    double usual = 0, now = 0;
    bool is_changed() const { return now != usual; }
};
std::vector<Row> table();

/// Overrides by lines `Name = value`, # begins a comment. Nothing is changed when one is wrong.
Result<void> override_with(std::string_view text);

/// "LossSegsMin = 5 (usually 10)", one for each that was changed.
std::vector<std::string> changed();

} // namespace culprit::threshold

template <typename T>
struct fmt::formatter<culprit::threshold::Tunable<T>> : fmt::formatter<T> {
    template <typename Context>
    auto format(const culprit::threshold::Tunable<T>& one, Context& context) const {
        return fmt::formatter<T>::format(one.value, context);
    }
};
