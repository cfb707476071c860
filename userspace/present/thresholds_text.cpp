// SPDX-License-Identifier: MIT
// The table of thresholds for people and programs.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "detect/thresholds.h"
#include "present/layout.h"
#include "present/present.h"

namespace culprit {

std::string thresholds_text(const Style& style) {
    std::string out;
    std::string_view source;
    for (const threshold::Row& row : threshold::table()) {
        if (row.source != source)
            out.append(source.empty() ? "" : "\n").append(wrap("", row.source, 0, style.width));
        source = row.source;
        const std::string value = row.is_changed()
                                      ? fmt::format("{} (usually {})", row.now, row.usual)
                                      : fmt::format("{}", row.now);
        const std::string text =
            fmt::format("{} {}{}{}", value, row.unit, row.meaning.empty() ? "" : "; ", row.meaning);
        out += wrap("  " + pad(paint(row.name, row.is_changed() ? Paint::kYellow : Paint::kBold,
                                     style.color),
                               24),
                    text, 26, style.width);
    }
    return out;
}

std::string thresholds_json() {
    nlohmann::ordered_json rows = nlohmann::ordered_json::array();
    for (const threshold::Row& row : threshold::table())
        rows.push_back({{"name", row.name},
                        {"value", row.now},
                        {"usual", row.usual},
                        {"changed", row.is_changed()},
                        {"unit", row.unit},
                        {"meaning", row.meaning},
                        {"source", row.source}});
    return nlohmann::ordered_json{{"schema", "culprit.thresholds/1"}, {"thresholds", rows}}.dump(
               2) +
           '\n';
}

} // namespace culprit
