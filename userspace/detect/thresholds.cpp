// SPDX-License-Identifier: MIT
// The table of thresholds, and the file with which a user overrides some of them.
#include "detect/thresholds.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <variant>

#include "util/text.h"

namespace culprit::threshold {

namespace {

/// A threshold, or (without a name) the source of those behind it.
struct Item {
    std::string_view source;
    std::string_view name, unit, meaning;
    double usual = 0;
    std::variant<Tunable<double>*, Tunable<std::uint64_t>*, Tunable<unsigned>*> at =
        static_cast<Tunable<double>*>(nullptr);
};

constexpr Item kItems[] = {
#define CULPRIT_SOURCE(text) {.source = text},
#define CULPRIT_THRESHOLD(type, constant, number, measure, what)                                   \
    {.name = std::string_view(#constant).substr(1),                                                \
     .unit = measure,                                                                              \
     .meaning = what,                                                                              \
     .usual = static_cast<double>(number),                                                         \
     .at = &constant},
#include "detect/thresholds.def"
#undef CULPRIT_SOURCE
#undef CULPRIT_THRESHOLD
};

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view kBlank = " \t\r";
    const std::size_t from = std::min(text.find_first_not_of(kBlank), text.size());
    return text.substr(from, text.find_last_not_of(kBlank) + 1 - from);
}

/// What the text says, for a threshold of that type and unit.
template <typename T>
std::optional<T> parse(std::string_view text, std::string_view unit) {
    T value{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || text.starts_with('-'))
        return std::nullopt;
    const auto number = static_cast<double>(value);
    const double most = unit == "share" ? 1 : unit == "%" ? 100 : 1e18;
    return std::isfinite(number) && number <= most ? std::optional(value) : std::nullopt;
}

/// One line that is to be carried out when all of them are in order.
struct Change {
    const Item* item;
    std::string_view text;
};

Result<void> apply(const Change& change, bool really) {
    return std::visit(
        [&](auto* at) -> Result<void> {
            const auto value = parse<decltype(at->value)>(change.text, change.item->unit);
            if (!value)
                return fail(Code::kUsage,
                            fmt::format("'{}' is no {} for {}", safe_text(change.text),
                                        change.item->unit, change.item->name));
            if (really)
                at->value = *value;
            return {};
        },
        change.item->at);
}

Result<std::optional<Change>> parse_line(std::string_view line) {
    line = trimmed(line.substr(0, line.find('#')));
    if (line.empty())
        return std::nullopt;
    const std::string_view name = trimmed(take_until(line, '='));
    const auto item = std::ranges::find(kItems, name, &Item::name);
    if (name.empty() || item == std::end(kItems))
        return fail(Code::kUsage, fmt::format("there is no threshold named '{}'; see culprit "
                                              "doctor --list-thresholds",
                                              safe_text(name.substr(0, 64))));
    const Change change{item, trimmed(line)};
    if (const auto done = apply(change, false); !done)
        return std::unexpected(done.error());
    return change;
}

} // namespace

std::vector<Row> table() {
    std::vector<Row> rows;
    std::string_view source;
    for (const Item& item : kItems) {
        if (item.name.empty())
            source = item.source;
        else
            rows.push_back(
                {item.name, item.unit, item.meaning, source, item.usual,
                 std::visit([](auto* at) { return static_cast<double>(at->value); }, item.at)});
    }
    return rows;
}

Result<void> override_with(std::string_view text) {
    std::vector<Change> changes;
    for (std::size_t number = 1; !text.empty(); number++) {
        const auto change = parse_line(take_until(text, '\n'));
        if (!change)
            return std::unexpected(change.error().in(fmt::format("line {}", number)));
        if (*change)
            changes.push_back(**change);
    }
    for (const Change& change : changes)
        (void)apply(change, true);
    return {};
}

std::vector<std::string> changed() {
    std::vector<std::string> out;
    for (const Row& row : table())
        if (row.is_changed())
            out.push_back(fmt::format("{} = {} (usually {})", row.name, row.now, row.usual));
    return out;
}

} // namespace culprit::threshold
