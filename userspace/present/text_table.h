// SPDX-License-Identifier: MIT
// Rows of text under headings, as narrow as their contents allow.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace culprit {

class TextTable {
public:
    struct Column {
        std::string title;
        bool right = false; // numbers stand at the right
    };

    explicit TextTable(std::vector<Column> columns) : x_columns(std::move(columns)) {}

    /// As many cells as there are columns.
    void add(std::vector<std::string> cells) { x_rows.push_back(std::move(cells)); }
    bool empty() const { return x_rows.empty(); }

    /// Two blanks between columns, one where that makes it fit into `width`. A cell is never cut:
    /// half an address is worse than a long line.
    std::string text(std::size_t indent, std::size_t width) const;

private:
    std::vector<std::size_t> widths() const;

    std::vector<Column> x_columns;
    std::vector<std::vector<std::string>> x_rows;
};

/// "1.2G" with at most four columns: for bytes and packets in tables.
std::string short_number(double value);

} // namespace culprit
