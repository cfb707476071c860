// SPDX-License-Identifier: MIT
// Nothing that a terminal acts on may leave safe_text, and nothing may get lost in it.
#include <random>
#include <string>

#include "support/catch.h"
#include "util/text.h"

using namespace culprit;

namespace {

/// An independent and stricter reader than the one under test: RFC 3629 by its table of byte
/// ranges.
bool is_utf8(std::string_view s) {
    const auto in = [&](std::size_t i, int low, int high) {
        return i < s.size() && static_cast<unsigned char>(s[i]) >= low &&
               static_cast<unsigned char>(s[i]) <= high;
    };
    std::size_t i = 0;
    while (i < s.size()) {
        if (in(i, 0x00, 0x7f))
            i += 1;
        else if (in(i, 0xc2, 0xdf) && in(i + 1, 0x80, 0xbf))
            i += 2;
        else if (((in(i, 0xe0, 0xe0) && in(i + 1, 0xa0, 0xbf)) ||
                  (in(i, 0xe1, 0xec) && in(i + 1, 0x80, 0xbf)) ||
                  (in(i, 0xed, 0xed) && in(i + 1, 0x80, 0x9f)) ||
                  (in(i, 0xee, 0xef) && in(i + 1, 0x80, 0xbf))) &&
                 in(i + 2, 0x80, 0xbf))
            i += 3;
        else if (((in(i, 0xf0, 0xf0) && in(i + 1, 0x90, 0xbf)) ||
                  (in(i, 0xf1, 0xf3) && in(i + 1, 0x80, 0xbf)) ||
                  (in(i, 0xf4, 0xf4) && in(i + 1, 0x80, 0x8f))) &&
                 in(i + 2, 0x80, 0xbf) && in(i + 3, 0x80, 0xbf))
            i += 4;
        else
            return false;
    }
    return true;
}

bool has_control(std::string_view s) {
    for (const char c : s)
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            return true;
    return s.find("\xc2\x9b") != std::string_view::npos; // CSI as one C1 character
}

/// Random bytes that are often the pieces of UTF-8, escapes and control sequences.
std::string hostile(std::mt19937& random) {
    static constexpr std::string_view kPieces[] = {
        "\x1b[31m",     "\\",       "\\x41", "\xc2\x9b", "\xe2\x80\xae",    "\xf0\x9f\x98\x80",
        "\xed\xa0\x80", "\xc0\x80", "abc",   "\xe2\x80", "\xf4\x90\x80\x80"};
    std::string text;
    for (std::size_t left = random() % 24; left; left--) {
        if (random() % 4 == 0)
            text += kPieces[random() % std::size(kPieces)];
        else
            text += static_cast<char>(random());
    }
    return text;
}

} // namespace

TEST_CASE("every byte comes back from safe_text alone and between letters", "[text_test]") {
    for (int value = 0; value < 256; value++) {
        const std::string alone(1, static_cast<char>(value));
        const std::string between = "a" + alone + "b";
        CHECK(raw_bytes(safe_text(alone)) == alone);
        CHECK(raw_bytes(safe_text(between)) == between);
    }
}

TEST_CASE("ordinary words in any language stay as they are", "[text_test]") {
    for (const std::string_view word :
         {"nginx: worker", "übergröße", "日本語", "\xf0\x9f\x98\x80", ""})
        CHECK(safe_text(word) == word);
}

TEST_CASE("a backslash is doubled, so that it cannot pose as an escape", "[text_test]") {
    CHECK(safe_text("\\x1b") == "\\\\x1b");
    CHECK(raw_bytes("\\\\x1b") == "\\x1b");
}

TEST_CASE("control characters become escapes", "[text_test]") {
    CHECK(safe_text("\x1b[2J") == "\\x1b[2J");
    CHECK(safe_text("a\nb\tc\rd") == "a\\x0ab\\x09c\\x0dd");
    CHECK(safe_text(std::string_view("\0", 1)) == "\\x00");
    CHECK(safe_text("\x7f") == "\\x7f");
}

TEST_CASE("C1 controls become escapes, as UTF-8 and as bare bytes", "[text_test]") {
    CHECK(safe_text("\xc2\x9b"
                    "31m") == "\\xc2\\x9b31m");
    CHECK(safe_text("\x9b"
                    "31m") == "\\x9b31m");
    CHECK(safe_text("\xc2\xa0") == "\xc2\xa0"); // the first character after C1
}

TEST_CASE("bidirectional and zero-width characters become escapes", "[text_test]") {
    CHECK(safe_text("\xe2\x80\xae") == "\\xe2\\x80\\xae");          // U+202E right-to-left override
    CHECK(safe_text("\xe2\x81\xa6") == "\\xe2\\x81\\xa6");          // U+2066 left-to-right isolate
    CHECK(safe_text("\xe2\x80\x8b") == "\\xe2\\x80\\x8b");          // U+200B zero width space
    CHECK(safe_text("\xe2\x80\xa8") == "\\xe2\\x80\\xa8");          // U+2028 line separator
    CHECK(safe_text("\xd8\x9c") == "\\xd8\\x9c");                   // U+061C Arabic letter mark
    CHECK(safe_text("\xef\xbb\xbf") == "\\xef\\xbb\\xbf");          // U+FEFF byte order mark
    CHECK(safe_text("\xf3\xa0\x80\xa0") == "\\xf3\\xa0\\x80\\xa0"); // U+E0020 tag
}

TEST_CASE("overlong, surrogate, too large and cut UTF-8 becomes escapes", "[text_test]") {
    CHECK(safe_text("\xc0\x9b") == "\\xc0\\x9b");
    CHECK(safe_text("\xe0\x80\x9b") == "\\xe0\\x80\\x9b");
    CHECK(safe_text("\xf0\x80\x80\x9b") == "\\xf0\\x80\\x80\\x9b");
    CHECK(safe_text("\xed\xa0\x80") == "\\xed\\xa0\\x80");
    CHECK(safe_text("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");
    CHECK(safe_text("a\xe2\x82") == "a\\xe2\\x82");
    CHECK(safe_text("\xe2\x82z") == "\\xe2\\x82z"); // the byte after a cut sequence is kept
}

TEST_CASE("whatever goes in, clean UTF-8 comes out and the same bytes come back", "[text_test]") {
    std::mt19937 random(1);
    for (int i = 0; i < 100'000; i++) {
        const std::string bytes = hostile(random);
        const std::string text = safe_text(bytes);
        if (is_utf8(text) && !has_control(text) && raw_bytes(text) == bytes)
            continue;
        CAPTURE(bytes, text);
        FAIL("not clean or not the same");
    }
}

TEST_CASE("text with a broken escape has no bytes", "[text_test]") {
    for (const std::string_view text :
         {"\\", "a\\", "\\x", "\\x4", "\\xg0", "\\x0g", "\\y00", "\\x-1", "\\x+1", "\\x 1"})
        CHECK_FALSE(raw_bytes(text));
}

TEST_CASE("until_nul takes the bytes before the first NUL, or all", "[text_test]") {
    const char cut[4] = {'a', 'b', 0, 'c'};
    const char full[3] = {'a', 'b', 'c'};
    CHECK(until_nul(cut) == "ab");
    CHECK(until_nul(full) == "abc");
}

TEST_CASE("to_number takes whole decimal numbers only", "[text_test]") {
    CHECK(to_number("0") == 0U);
    CHECK(to_number("18446744073709551615") == ~std::uint64_t{0});
    for (const std::string_view text :
         {"", " 1", "1 ", "+1", "-1", "0x1", "1.0", "18446744073709551616"})
        CHECK_FALSE(to_number(text));
}

TEST_CASE("a word for a shell is quoted where a shell would act, and printable", "[text_test]") {
    CHECK(shell_word("eth0.100") == "eth0.100");
    CHECK(shell_word("") == "''");
    CHECK(shell_word("blue moon") == "'blue moon'");
    CHECK(shell_word("$(reboot)") == "'$(reboot)'");
    CHECK(shell_word("a;b|c&d`e`") == "'a;b|c&d`e`'");
    CHECK(shell_word("~") == "'~'");
    CHECK(shell_word("it's") == "'it'\"'\"'s'");
    CHECK(shell_word("'\n") == "\"'\"$'\\x0a'");
    CHECK(shell_word("a\\b") == "$'a\\\\b'");
    CHECK(shell_word("a\nb") == "$'a\\x0ab'");
    std::mt19937 random(7);
    for (int i = 0; i < 2000; i++) {
        const std::string bytes = hostile(random), word = shell_word(bytes);
        CAPTURE(word);
        CHECK_FALSE(has_control(word));
        const auto raw = raw_bytes(word);
        CHECK((raw && safe_text(*raw) == word)); // printing it changes nothing
        if (word.starts_with("$'") && word.find('"') == std::string::npos)
            CHECK(raw_bytes(word.substr(2, word.size() - 3)) == bytes);
    }
}
