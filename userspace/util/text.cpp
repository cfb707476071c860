// SPDX-License-Identifier: MIT
// A small UTF-8 reader that lets only harmless code points through.
#include "util/text.h"

#include <algorithm>
#include <charconv>

namespace culprit {

namespace {

struct Decoded {
    char32_t point = 0;
    std::size_t bytes = 0; // 0: invalid
};

/// RFC 3629: shortest form only, no surrogates, at most U+10FFFF.
Decoded decode(std::string_view in) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(in[i]); };
    const unsigned char lead = byte(0);
    if (lead < 0x80)
        return {lead, 1};
    const std::size_t need = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || in.size() < need)
        return {};
    char32_t point = lead & (0xffU >> (need + 1));
    for (std::size_t i = 1; i < need; i++) {
        if ((byte(i) & 0xc0) != 0x80)
            return {};
        point = point << 6 | (byte(i) & 0x3f);
    }
    static constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (point < kSmallest[need] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
        return {};
    return {point, need};
}

bool harmless(char32_t p) {
    if (p < 0x20 || (p >= 0x7f && p < 0xa0) || p == 0x2028 || p == 0x2029 || p == 0xfeff)
        return false;
    const bool format = (p >= 0x200b && p <= 0x200f) || (p >= 0x202a && p <= 0x202e) ||
                        (p >= 0x2060 && p <= 0x206f);
    return !format && p != 0xad && p != 0x61c && (p < 0xe0000 || p > 0xe0fff);
}

void append_escaped(std::string& out, unsigned char byte) {
    static constexpr char kHex[] = "0123456789abcdef";
    out += "\\x";
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
}

std::optional<std::uint64_t> number_in(std::string_view text, int base) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc{} || end != text.data() + text.size() || text.empty())
        return std::nullopt;
    return value;
}

} // namespace

std::string safe_text(std::string_view bytes) {
    std::string out;
    out.reserve(bytes.size());
    while (!bytes.empty()) {
        const Decoded next = decode(bytes);
        const std::size_t take = next.bytes ? next.bytes : 1;
        if (next.point == U'\\' && next.bytes) {
            out += "\\\\";
        } else if (next.bytes && harmless(next.point)) {
            out += bytes.substr(0, take);
        } else {
            for (const char c : bytes.substr(0, take))
                append_escaped(out, static_cast<unsigned char>(c));
        }
        bytes.remove_prefix(take);
    }
    return out;
}

std::optional<std::string> raw_bytes(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); i++) {
        if (text[i] != '\\') {
            out += text[i];
        } else if (text.substr(i + 1, 1) == "\\") {
            out += '\\';
            i++;
        } else {
            unsigned value = 0;
            const std::string_view hex = text.substr(i + 1, 3);
            if (hex.size() != 3 || hex[0] != 'x')
                return std::nullopt;
            const auto [end, error] = std::from_chars(hex.data() + 1, hex.data() + 3, value, 16);
            if (error != std::errc{} || end != hex.data() + 3)
                return std::nullopt;
            out += static_cast<char>(value);
            i += 3;
        }
    }
    return out;
}

std::string shell_word(std::string_view bytes) {
    constexpr std::string_view kPlain =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./:@%+=,";
    if (bytes.empty())
        return "''";
    if (bytes.find_first_not_of(kPlain) == std::string_view::npos)
        return std::string(bytes);
    std::string out;
    while (!bytes.empty()) {
        const std::string_view part = bytes.substr(0, bytes.find('\''));
        const std::string safe = safe_text(part); // its escapes are those of $''
        if (!part.empty())
            out += (safe == part ? "'" : "$'") + safe + '\'';
        bytes.remove_prefix(part.size());
        if (!bytes.empty()) {
            out += "\"'\"";
            bytes.remove_prefix(1);
        }
    }
    return out;
}

std::string_view take_until(std::string_view& rest, char until) {
    const std::size_t at = std::min(rest.find(until), rest.size());
    const std::string_view head = rest.substr(0, at);
    rest.remove_prefix(std::min(at + 1, rest.size()));
    return head;
}

std::optional<std::uint64_t> to_number(std::string_view text) {
    return number_in(text, 10);
}

std::optional<std::uint64_t> hex_number(std::string_view text) {
    return number_in(text, 16);
}

} // namespace culprit
