// SPDX-License-Identifier: MIT
// Columns, wrapped lines and colours for the texts people read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/window.h"

namespace culprit {

enum class Paint { kRed, kYellow, kGreen, kBold };

/// Terminal colour around the text; the text itself when `color` is false or it is empty.
std::string paint(std::string_view text, Paint paint, bool color);

/// Columns on a terminal, never too few: colours count nothing, a code point beyond U+0FFF may be
/// wide and counts two.
std::size_t columns(std::string_view text);

/// The text followed by blanks up to so many columns.
std::string pad(std::string text, std::size_t to);

/// `first` and then the text, broken between words so that no line is wider than `width`; later
/// lines start with `indent` blanks. A word wider than that stays whole. Ends with a newline.
std::string wrap(std::string_view first, std::string_view text, std::size_t indent,
                 std::size_t width);

std::string join(const std::vector<std::string>& parts, std::string_view between);

/// safe_text() for text that may have gone through it already: such text comes back as it is.
std::string safe_once(std::string_view text);

/// The kind's name; "kind#77" when this version knows no such kind.
std::string kind_name(std::uint32_t id);

/// "1 record", "2 records".
std::string amount(std::uint64_t count, std::string_view noun);

/// 0 in place of what JSON cannot say.
double finite(double value);

} // namespace culprit
