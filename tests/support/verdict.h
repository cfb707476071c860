// SPDX-License-Identifier: MIT
// Looking for a finding in the JSON of a verdict.
#pragma once

#include <optional>
#include <string>

#include "support/run.h"

namespace culprit::test {

/// The first finding of that kind which the test accepts as its own.
template <typename Ours>
std::optional<Json> find_finding(const Json& verdict, const std::string& id, const Ours& ours) {
    for (const Json& finding : verdict["findings"])
        if (finding["id"] == id && ours(finding))
            return finding;
    return std::nullopt;
}

inline auto blames(const pid_t pid) {
    return [=](const Json& finding) {
        return !finding["culprit"].is_null() && finding["culprit"]["pid"] == pid;
    };
}

inline auto hurts(const pid_t pid) {
    return [=](const Json& finding) {
        for (const Json& party : finding["affected"])
            if (party["pid"] == pid)
                return true;
        return false;
    };
}

/// Pace of a client's work; nothing waits for it.
inline void pause_ms(int ms) {
    ::poll(nullptr, 0, ms);
}

} // namespace culprit::test
