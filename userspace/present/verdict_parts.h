// SPDX-License-Identifier: MIT
// The parts of a verdict's text.
#pragma once

#include <string>

#include "present/present.h"

namespace culprit {

/// What a tired person reads of one finding, unless asked to explain: so many evidences and
/// commands, and of who, whom and where so many lines.
inline constexpr std::size_t kEvidenceShown = 3, kCommandsShown = 2, kLinesShown = 2;

/// Columns before the text of a finding, a triage, a step.
inline constexpr std::size_t kLabel = 10;

/// "[critical]" in its colour.
std::string severity_word(Severity severity, const Style& style);

/// The text behind its label, wrapped.
std::string labelled(std::string_view label, std::string_view text, const Style& style);

std::string finding_text(const Verdict& verdict, std::size_t number, const Style& style);

/// Who is hurt and how much.
std::string triage_text(const Verdict& verdict, const Style& style);
/// How to tell that the repair worked, and what to watch from then on. Nothing without findings.
std::string next_steps_text(const Verdict& verdict, const Style& style);
/// The earlier verdict against this one; nothing when there is none.
std::string verification_text(const Verdict& verdict, const Style& style);

} // namespace culprit
