// SPDX-License-Identifier: MIT
// A greedy line breaker and the four colours.
#include "present/layout.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "signals/signal.h"
#include "util/text.h"

namespace culprit {

std::string paint(std::string_view text, Paint paint, bool color) {
    if (!color || text.empty())
        return std::string(text);
    static constexpr const char* kCodes[] = {"31", "33", "32", "1"};
    return fmt::format("\x1b[{}m{}\x1b[0m", kCodes[static_cast<std::size_t>(paint)], text);
}

std::size_t columns(std::string_view text) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < text.size(); i++) {
        const auto byte = static_cast<unsigned char>(text[i]);
        if (byte == 0x1b) // ends with its letter: only paint() makes these
            i = std::min(text.find('m', i), text.size());
        else if (byte < 0x80 || byte >= 0xc0) // not a continuation
            count += byte >= 0xe1 ? 2 : 1;
    }
    return count;
}

std::string pad(std::string text, std::size_t to) {
    const std::size_t have = columns(text);
    if (have < to)
        text.append(to - have, ' ');
    return text;
}

std::string wrap(std::string_view first, std::string_view text, std::size_t indent,
                 std::size_t width) {
    std::string out(first);
    std::size_t at = columns(first);
    bool fresh = true; // nothing on this line that a word needs a blank after
    while (!text.empty()) {
        const std::string_view word = text.substr(0, text.find(' '));
        text.remove_prefix(std::min(word.size() + 1, text.size()));
        if (word.empty())
            continue;
        const std::size_t need = columns(word);
        if (!fresh && at + 1 + need > width) {
            out += '\n';
            out.append(indent, ' ');
            at = indent;
            fresh = true;
        }
        if (!fresh) {
            out += ' ';
            at++;
        }
        out += word;
        at += need;
        fresh = false;
    }
    out.erase(out.find_last_not_of(' ') + 1);
    return out + '\n';
}

std::string join(const std::vector<std::string>& parts, std::string_view between) {
    return fmt::format("{}", fmt::join(parts, between));
}

std::string safe_once(std::string_view text) {
    const auto raw = raw_bytes(text);
    return raw && safe_text(*raw) == text ? std::string(text) : safe_text(text);
}

std::string kind_name(std::uint32_t id) {
    const Kind* kind = find_kind(id);
    return kind ? kind->name : fmt::format("kind#{}", id);
}

std::string amount(std::uint64_t count, std::string_view noun) {
    return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

double finite(double value) {
    return std::isfinite(value) ? value : 0;
}

} // namespace culprit
