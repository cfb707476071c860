// SPDX-License-Identifier: MIT
// Everything a person or a program reads from us. Returns text; only app/ writes it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "detect/finding.h"
#include "detect/verification.h"
#include "kernel/features.h"
#include "kernel/names.h"
#include "signals/capture.h"

namespace culprit {

struct Style {
    bool color = false;
    bool json = false;
    std::size_t width = 80;
    bool explain = false; // all evidence and advice, nothing shortened
};

/// Text for people, verdict first, at most style.width columns; ends with a newline.
std::string verdict_text(const Verdict& verdict, const Style& style);
/// The public contract "culprit.diagnosis/1", one document, ends with a newline.
std::string verdict_json(const Verdict& verdict);
/// What verdict_json() wrote, some other day or by somebody hostile: of that what is compared.
Result<Earlier> earlier_from_json(std::string_view text);

/// One event of `watch`: a line of columns, or one NDJSON object. With newline.
std::string event_text(const Kind& kind, std::span<const std::byte> record, const Names& names,
                       std::int64_t wall_offset_ns, const Style& style);
std::string event_json(const Kind& kind, std::span<const std::byte> record, const Names& names,
                       std::int64_t wall_offset_ns);

struct WatchSummary {
    double seconds = 0;
    struct Line {
        std::string kind;
        std::uint64_t shown = 0;  // printed
        std::uint64_t hidden = 0; // normal life, not printed without --all
        Lost lost;
    };
    std::vector<Line> lines;
};
std::string summary_text(const WatchSummary& summary);
std::string summary_json(const WatchSummary& summary);

struct DoctorReport {
    Features features;
    std::vector<SignalStatus> signals;
    std::string version;
    double start_ms = 0;   // from start of loading to everything attached
    Result<void> confined; // what is given up after that (kernel/confinement.h)
};
std::string doctor_text(const DoctorReport& report, const Style& style);
std::string doctor_json(const DoctorReport& report);

/// All thresholds with their units, values and sources; those that were changed are marked.
std::string thresholds_text(const Style& style);
std::string thresholds_json();

} // namespace culprit
