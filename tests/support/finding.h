// SPDX-License-Identifier: MIT
// Findings of a verdict, found by what they say.
#pragma once

#include <optional>
#include <string>

#include "support/catch.h"
#include "support/run.h"
#include "support/two_ns.h"

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

/// About a network namespace.
inline auto about(std::uint32_t netns) {
    return [=](const Json& finding) { return finding["where"]["netns"] == netns; };
}

/// Text of all evidence, one per line.
inline std::string evidence_of(const Json& finding) {
    std::string text;
    for (const Json& evidence : finding["evidence"])
        text += evidence["text"].get<std::string>() + "\n";
    return text;
}

/// Pace of a client's work; nothing waits for it.
inline void pause_ms(int ms) {
    ::poll(nullptr, 0, ms);
}

/// Of a run that ends by itself.
inline Json verdict_of(Culprit& culprit) {
    culprit.wait();
    INFO(culprit.err());
    return Json::parse(culprit.out());
}

/// Nothing of that pair of namespaces is worth more than a remark.
inline void check_silent(const Json& verdict, const TwoNs& ns) {
    for (const Json& finding : verdict["findings"]) {
        const auto netns = finding["where"]["netns"];
        if (netns == ns.a.inum() || netns == ns.b.inum()) {
            INFO(finding.dump(1));
            CHECK(finding["severity"] == "info");
        }
    }
}

} // namespace culprit::test
