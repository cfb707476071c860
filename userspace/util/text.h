// SPDX-License-Identifier: MIT
// Bytes from outside (process names, device names) made safe for terminals and JSON, and back.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace culprit {

/// Printable UTF-8 stays; control characters, C1, bidirectional and zero-width format characters,
/// invalid UTF-8 become \xNN per byte, a backslash becomes two. Nothing that a terminal would act
/// on comes out.
std::string safe_text(std::string_view bytes);

/// The inverse of safe_text; nullopt when the text was not made by it.
std::optional<std::string> raw_bytes(std::string_view text);

/// One word of a shell command, whatever bytes it has: quoted where a shell would act on them, and
/// such that safe_text() has nothing to change.
std::string shell_word(std::string_view bytes);

/// Bytes of a fixed-size array up to its first NUL.
template <typename Array>
std::string_view until_nul(const Array& array) {
    const std::string_view all(reinterpret_cast<const char*>(array), sizeof(array));
    return all.substr(0, all.find('\0'));
}

/// What the kernel appends to the path of a file or cgroup that was removed.
inline constexpr std::string_view kDeleted = " (deleted)";

/// Cuts the text up to a character off `rest`, and that character too; all of it when there is
/// none.
std::string_view take_until(std::string_view& rest, char until);

/// Whole text as a number in base 10; nullopt when it is anything else.
std::optional<std::uint64_t> to_number(std::string_view text);
/// The same in base 16, without prefix.
std::optional<std::uint64_t> hex_number(std::string_view text);

} // namespace culprit
