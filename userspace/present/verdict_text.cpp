// SPDX-License-Identifier: MIT
// A verdict for a tired person: the answer in the first line, then the reasons, then what was and
// was not looked at.
#include <algorithm>

#include <fmt/format.h>

#include "model/format.h"
#include "model/identity.h"
#include "present/layout.h"
#include "present/present.h"
#include "present/tcp.h"
#include "util/text.h"
#include "util/time.h"

namespace culprit {

namespace {

constexpr std::size_t kLabel = 10; // columns before the text of a finding
constexpr std::size_t kServicesShown = 5;

Paint paint_of(Severity severity) {
    return severity == Severity::kCritical  ? Paint::kRed
           : severity == Severity::kWarning ? Paint::kYellow
                                            : Paint::kBold;
}

std::string severity_word(const Finding& finding, const Style& style) {
    return paint(fmt::format("[{}]", kSeverityNames[static_cast<std::size_t>(finding.severity)]),
                 paint_of(finding.severity), style.color);
}

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
            verdict.findings.empty() ? Paint::kYellow : paint_of(verdict.findings.front().severity);
    } else if (verdict.outcome == Outcome::kIncomplete) {
        word = "INCOMPLETE:";
        text = "not all could be looked at on";
        color = Paint::kYellow;
    }
    text += fmt::format(" {} in {}", safe_once(verdict.host), duration(ns));
    if (!verdict.scope.empty())
        text += ": " + safe_once(verdict.scope);
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

std::string labelled(std::string_view label, std::string_view text, const Style& style) {
    return wrap(pad(fmt::format("   {}", label), kLabel), text, kLabel, style.width);
}

std::string party_text(const Party& party, std::uint32_t usual_netns, const Names& names) {
    const abi_owner& owner = party.owner;
    std::string text = owner_name(owner, names);
    if (owner.tgid)
        text += fmt::format(", {} of the socket", provenance(owner.provenance));
    else if (owner.cgroup_id)
        text += ", in cgroup " + safe_text(identify(owner, names).cgroup);
    if (party.netns && party.netns != usual_netns)
        text += ", in netns " + netns_name(party.netns, names);
    return text;
}

/// Program, where it runs, whether it still does. Of a container's id as much as its own tools
/// show.
std::string identity_text(const Identity& who) {
    constexpr std::size_t kShown = 12;
    std::vector<std::string> parts;
    if (!who.exe.empty())
        parts.push_back(safe_text(who.exe));
    if (const std::size_t id = who.container.find("://"); id != std::string::npos)
        parts.push_back(who.container.substr(0, id + 3 + kShown));
    else if (!who.unit.empty())
        parts.push_back("unit " + safe_text(who.unit));
    if (who.exited.value_or(false))
        parts.push_back("exited");
    return join(parts, ", ");
}

std::string where_text(const Where& where, const Names& names) {
    std::vector<std::string> parts;
    if (!where.local.empty() && !where.remote.empty())
        parts.push_back(fmt::format("{} -> {}", safe_once(where.local), safe_once(where.remote)));
    else if (!where.local.empty())
        parts.push_back("local " + safe_once(where.local));
    else if (!where.remote.empty())
        parts.push_back("remote " + safe_once(where.remote));
    if (!where.device.empty())
        parts.push_back("device " + safe_once(where.device));
    if (!where.kernel.empty())
        parts.push_back("kernel place " + safe_once(where.kernel));
    if (!where.reason.empty())
        parts.push_back("reason " + safe_once(where.reason));
    if (where.netns)
        parts.push_back("netns " + netns_name(where.netns, names));
    return join(parts, ", ");
}

std::string seen_text(const Verdict& verdict, const Finding& finding) {
    std::string text = amount(finding.count, "time");
    if (finding.rate_per_s > 0)
        text += fmt::format(", {:.3g} per second", finite(finding.rate_per_s));
    if (finding.first_ns)
        text += ", first at " +
                rfc3339(static_cast<std::int64_t>(finding.first_ns) + verdict.wall_offset_ns);
    return text + fmt::format(", confidence {:.0f} %", finite(finding.confidence) * 100);
}

/// Commands stand on lines of their own and are never broken: they are there to be copied.
std::string repair_text(const Finding& finding, const Style& style) {
    std::string out;
    for (const Advice& advice : finding.advice) {
        out += labelled("do:", safe_once(advice.text), style);
        if (!advice.command.empty())
            out += std::string(kLabel, ' ') + "$ " + safe_once(advice.command) + '\n';
    }
    if (!finding.verify.empty())
        out += pad("   check:", kLabel) + "culprit " + safe_once(finding.verify) + '\n';
    return out;
}

std::string finding_text(const Verdict& verdict, std::size_t number, const Style& style) {
    const Finding& finding = verdict.findings[number];
    std::string out =
        '\n' + wrap(fmt::format("{}. {} ", number + 1, severity_word(finding, style)),
                    paint(safe_once(finding.title), Paint::kBold, style.color), 3, style.width);
    const std::string who = finding.culprit
                                ? party_text(*finding.culprit, finding.where.netns, verdict.names)
                                : "no process is to blame";
    out += labelled("who:", who, style);
    if (finding.culprit)
        if (const std::string more = identity_text(identify(finding.culprit->owner, verdict.names));
            !more.empty())
            out += wrap(std::string(kLabel, ' '), more, kLabel, style.width);
    std::vector<std::string> hurt;
    for (const Party& party : finding.affected)
        hurt.push_back(party_text(party, finding.where.netns, verdict.names));
    if (!hurt.empty())
        out += labelled("hurts:", join(hurt, "; "), style);
    if (const std::string where = where_text(finding.where, verdict.names); !where.empty())
        out += labelled("where:", where, style);
    out += labelled("seen:", seen_text(verdict, finding), style);
    for (const Evidence& evidence : finding.evidence) {
        const std::string source =
            evidence.source.empty() ? "" : fmt::format(" ({})", safe_once(evidence.source));
        out += wrap(std::string(kLabel, ' ') + "- ", safe_once(evidence.text) + source, kLabel + 2,
                    style.width);
    }
    return out + repair_text(finding, style);
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
    std::string out = heading(verdict, style);
    for (std::size_t i = 0; i < verdict.findings.size(); i++)
        out += finding_text(verdict, i, style);
    out += list_of("NOT SEEN", verdict.incomplete, style);
    out += layers_text(verdict, style);
    out += tcp_summary(verdict.tcp, verdict.names, kServicesShown, style);
    out += counters_text(verdict, style);
    out += lost_text(verdict, style);
    return out + cost_text(verdict.self, style);
}

} // namespace culprit
