// SPDX-License-Identifier: MIT
// A verdict for a tired person: the answer in the first line, then the reasons, then what was and
// was not looked at.
#include <algorithm>

#include <fmt/format.h>

#include "model/format.h"
#include "present/layout.h"
#include "present/present.h"
#include "present/tcp.h"
#include "present/verdict_parts.h"

namespace culprit {

namespace {

constexpr std::size_t kServicesShown = 5;

std::string heading(const Verdict& verdict, const Style& style) {
    const std::uint64_t ns = verdict.to_ns > verdict.from_ns ? verdict.to_ns - verdict.from_ns : 0;
    std::string word = "HEALTHY:";
    std::string text = "no fault seen on";
    Paint color = Paint::kGreen;
    if (verdict.outcome == Outcome::kFindings) {
        const std::size_t count = verdict.findings.size();
        word = fmt::format("{} FINDING{}:", count, count == 1 ? "" : "S");
        text = "trouble on";
        color =
            !verdict.findings.empty() && verdict.findings.front().severity == Severity::kCritical
                ? Paint::kRed
                : Paint::kYellow;
    } else if (verdict.outcome == Outcome::kIncomplete) {
        word = "INCOMPLETE:";
        text = "not all could be looked at on";
        color = Paint::kYellow;
    }
    text += fmt::format(" {} in {}", safe_once(verdict.host), duration(ns));
    return wrap(paint(word, color, style.color) + ' ', text + '.', 2, style.width);
}

/// A block with a title, one wrapped entry per text; nothing when there are no texts.
std::string list_of(std::string_view title, const std::vector<std::string>& texts,
                    const Style& style) {
    if (texts.empty())
        return {};
    std::string out = '\n' + paint(title, Paint::kBold, style.color) + '\n';
    for (const std::string& text : texts)
        out += wrap("  - ", safe_once(text), 4, style.width);
    return out;
}

std::string layer_text(const LayerVerdict& layer, const Style& style) {
    static constexpr Paint kPaints[] = {Paint::kGreen, Paint::kRed, Paint::kYellow};
    constexpr std::size_t kIndent = 25;
    const auto status = static_cast<std::size_t>(layer.status);
    std::string first =
        pad(fmt::format("  {}", kLayerNames[static_cast<std::size_t>(layer.layer)]), 16) +
        pad(paint(kLayerStatusNames[status], kPaints[status], style.color), kIndent - 16);
    std::string out;
    const auto add = [&](std::string_view label, const std::vector<std::string>& texts,
                         std::string_view between) {
        if (texts.empty())
            return;
        out += wrap(first, safe_once(fmt::format("{}: {}", label, join(texts, between))), kIndent,
                    style.width);
        first.assign(kIndent, ' ');
    };
    add("checked", layer.checked, ", ");
    add("not checked", layer.not_checked, "; ");
    return out.empty() ? wrap(first, "", kIndent, style.width) : out;
}

std::string layers_text(const Verdict& verdict, const Style& style) {
    if (verdict.layers.empty())
        return {};
    std::string out = '\n' + paint("LAYERS", Paint::kBold, style.color) + '\n';
    for (const LayerVerdict& layer : verdict.layers)
        out += layer_text(layer, style);
    return out;
}

std::string counters_text(const Verdict& verdict, const Style& style) {
    std::string rows;
    std::uint32_t netns = 0;
    for (const Reconciled& row : verdict.reconciliation) {
        if (!row.kernel && !row.explained)
            continue;
        if (rows.empty() || row.netns != netns)
            rows += wrap("  ", "netns " + netns_name(row.netns, verdict.names), 4, style.width);
        netns = row.netns;
        rows += fmt::format("    {:<27}{:>13}{:>13}{:>13}\n", row.counter, row.kernel,
                            row.explained, row.unexplained());
        if (!row.note.empty())
            rows += wrap("      ", safe_once(row.note), 6, style.width);
    }
    if (!rows.empty())
        rows = fmt::format("\n{}{:>13}{:>13}{:>13}\n",
                           pad(paint("COUNTERS", Paint::kBold, style.color), 31), "kernel",
                           "explained", "unexplained") +
               rows;
    return rows + list_of("COUNTERS NOT COMPARED", verdict.reconciliation_gaps, style);
}

std::string lost_text(const Verdict& verdict, const Style& style) {
    std::vector<std::string> ring, map, limited;
    for (const auto& [id, lost] : verdict.lost) {
        if (lost.ring_full)
            ring.push_back(fmt::format("{} {}", lost.ring_full, kind_name(id)));
        if (lost.map_full)
            map.push_back(fmt::format("{} {}", lost.map_full, kind_name(id)));
        if (lost.limited)
            limited.push_back(fmt::format("{} {}", lost.limited, kind_name(id)));
    }
    const std::string warning = paint("WARNING:", Paint::kYellow, style.color) + ' ';
    std::string out;
    if (!ring.empty())
        out += wrap(warning,
                    "lost events (" + join(ring, ", ") +
                        "), the ring had no room: their counts are too low.",
                    2, style.width);
    if (!map.empty())
        out += wrap(warning,
                    "a full kernel map refused entries (" + join(map, ", ") +
                        "): some events say less.",
                    2, style.width);
    if (!limited.empty())
        out += wrap("", "Samples left out by rate limit: " + join(limited, ", ") + ".", 2,
                    style.width);
    return out.empty() ? out : '\n' + out;
}

std::string cost_text(const SelfCost& self, const Style& style) {
    std::uint64_t runs = 0, ns = 0, timed = 0;
    for (const ProgramCost& program : self.programs) {
        runs += program.runs;
        ns += program.ns;
        timed += program.ns ? program.runs : 0;
    }
    std::string text =
        fmt::format("Own cost: {:.2f} % of one core, {:.1f} MB of memory", finite(self.cpu_percent),
                    static_cast<double>(self.rss_bytes) / 1e6);
    if (timed)
        text += fmt::format(", {} at {}", amount(runs, "hook run"), duration(ns / timed));
    return '\n' + wrap("", text + '.', 2, style.width);
}

} // namespace

std::string verdict_text(const Verdict& verdict, const Style& style) {
    std::string out =
        heading(verdict, style) + triage_text(verdict, style) + verification_text(verdict, style);
    if (!verdict.findings.empty())
        out += '\n' + paint("FINDINGS", Paint::kBold, style.color) + '\n';
    for (std::size_t i = 0; i < verdict.findings.size(); i++)
        out.append(i ? "\n" : "").append(finding_text(verdict, i, style));
    out += next_steps_text(verdict, style);
    out += list_of("NOT SEEN", verdict.incomplete, style);
    out += list_of("THRESHOLDS CHANGED", verdict.thresholds, style);
    out += layers_text(verdict, style);
    out += tcp_summary(verdict.tcp, verdict.names, kServicesShown, style);
    out += counters_text(verdict, style);
    out += lost_text(verdict, style);
    return out + cost_text(verdict.self, style);
}

} // namespace culprit
