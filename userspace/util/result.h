// SPDX-License-Identifier: MIT
// How a function says that it could not do its work: a value or an Error, never an exception of
// ours.
#pragma once

#include <cstring>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace culprit {

enum class Code {
    kFailed,      // it went wrong
    kUnsupported, // this kernel or host does not offer it
    kDenied,      // a capability or a lockdown is in the way
    kUsage,       // the user's words are off
};

struct [[nodiscard]] Error {
    Code code = Code::kFailed;
    std::string what;

    /// The same error, said from one level further out: "attach drop: ...".
    Error in(std::string_view doing) const { return {code, std::string(doing) + ": " + what}; }
};

template <typename T>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(Code code, std::string what) {
    return std::unexpected(Error{code, std::move(what)});
}

/// The only place that turns an errno (either sign) into text.
inline Error sys_error(int error, std::string_view doing) {
    const int positive = error < 0 ? -error : error;
    const bool denied = positive == 1 || positive == 13; // EPERM, EACCES
    return {denied ? Code::kDenied : Code::kFailed,
            std::string(doing) + ": " + std::strerror(positive)};
}

} // namespace culprit
