// SPDX-License-Identifier: MIT
// Widths are those of terminals, not of bytes.
#include "present/text_table.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "present/layout.h"

namespace culprit {

std::vector<std::size_t> TextTable::widths() const {
    std::vector<std::size_t> widths;
    for (std::size_t i = 0; i < x_columns.size(); i++) {
        std::size_t width = columns(x_columns[i].title);
        for (const auto& row : x_rows)
            width = std::max(width, columns(row[i]));
        widths.push_back(width);
    }
    return widths;
}

std::string TextTable::text(std::size_t indent, std::size_t width) const {
    const std::vector<std::size_t> wide = widths();
    const std::size_t need =
        std::accumulate(wide.begin(), wide.end(), indent + 2 * (wide.size() - 1));
    const std::string gap(need <= width ? 2 : 1, ' ');
    std::string out;
    const auto line = [&](const auto& cell) {
        std::string text(indent, ' ');
        for (std::size_t i = 0; i < x_columns.size(); i++) {
            const std::string& content = cell(i);
            const std::string blanks(wide[i] - columns(content), ' ');
            text += (i ? gap : "") + (x_columns[i].right ? blanks + content : content + blanks);
        }
        text.erase(text.find_last_not_of(' ') + 1);
        out += text + '\n';
    };
    line([&](std::size_t i) -> const std::string& { return x_columns[i].title; });
    for (const auto& row : x_rows)
        line([&](std::size_t i) -> const std::string& { return row[i]; });
    return out;
}

std::string short_number(double value) {
    if (value < 999.5)
        return fmt::format("{:.0f}", value);
    const char* unit = "KMGTPE";
    for (value /= 1000; value >= 999.5 && unit[1]; unit++)
        value /= 1000;
    return value < 9.95 ? fmt::format("{:.1f}{}", value, *unit)
                        : fmt::format("{:.0f}{}", value, *unit);
}

} // namespace culprit
