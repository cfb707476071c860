// SPDX-License-Identifier: MIT
// The findings of some facts, each held against what a tired person can read.
#pragma once

#include <map>
#include <sstream>
#include <string>

#include "detect/finding.h"
#include "detect/risks.h"
#include "present/layout.h"
#include "present/verdict_parts.h"
#include "support/catch.h"

namespace culprit::test {

/// Lines of one finding's text by their part: "title", "who:", "seen:", "-" for evidence, "$".
inline std::map<std::string, std::vector<std::size_t>> parts_of(const std::string& text) {
    std::map<std::string, std::vector<std::size_t>> parts;
    std::istringstream lines(text);
    std::string line, part;
    while (std::getline(lines, line)) {
        const std::string label = line.size() > 3 && line[2] == ' ' && line[3] != ' '
                                      ? line.substr(3, line.find(' ', 3) - 3)
                                      : "";
        const std::string inner = line.size() > 10 ? line.substr(10, line.find(' ', 10) - 10) : "";
        if (parts.empty())
            part = "title";
        else if (label.ends_with(':'))
            part = label;
        else if (inner == "-" || inner == "$" || inner == "risk:")
            part = inner;
        else {
            parts[part].back()++;
            continue;
        }
        parts[part].push_back(1);
    }
    return parts;
}

/// Who, what, whom, where, how sure and what to do: no part longer than two lines of 80 columns, at
/// most three pieces of evidence (of three lines) and two commands; nothing that changes a host
/// without its risk.
inline void check_readable(const Finding& finding, const Names& names) {
    Verdict verdict;
    verdict.names = names;
    verdict.findings.push_back(finding);
    const std::string text = finding_text(verdict, 0, Style{});
    INFO(text);
    const auto parts = parts_of(text);
    for (const auto& [part, lines] : parts) {
        CAPTURE(part);
        for (const std::size_t count : lines)
            CHECK(count <= (part == "who:" ? 2 * kLinesShown
                            : part == "-"  ? kLinesShown + 1
                                           : kLinesShown));
    }
    const auto count = [&](const char* part) {
        const auto it = parts.find(part);
        return it == parts.end() ? std::size_t{0} : it->second.size();
    };
    CHECK(count("-") <= kEvidenceShown + 1); // and how many more there are
    CHECK(count("$") <= kCommandsShown);
    CHECK(count("do:") <= kCommandsShown + 2);
    for (const Advice& advice : finding.advice) {
        CAPTURE(advice.command);
        CHECK((!changes_host(advice.command) || !advice.risk.empty()));
    }
}

inline std::vector<Finding> readable_findings(const Facts& facts) {
    std::vector<Finding> findings = detect_all(facts);
    for (const Finding& finding : findings)
        check_readable(finding, facts.total.names);
    return findings;
}

} // namespace culprit::test
