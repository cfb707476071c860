// SPDX-License-Identifier: MIT
// One finding for people: what, who, whom it hurts, where, how sure, what to do, how to check.
#include <algorithm>

#include <fmt/format.h>

#include "model/format.h"
#include "model/identity.h"
#include "present/layout.h"
#include "present/verdict_parts.h"
#include "util/text.h"
#include "util/time.h"

namespace culprit {

namespace {

/// The text's first lines; all of them when asked to explain.
std::string clipped(std::string text, const Style& style) {
    std::size_t end = 0;
    for (std::size_t line = 0; line < kLinesShown && end != std::string::npos; line++)
        end = text.find('\n', end + (line ? 1 : 0));
    if (style.explain || end == std::string::npos || end + 1 >= text.size())
        return text;
    text.resize(end);
    while (columns(std::string_view(text).substr(text.rfind('\n') + 1)) + 4 > style.width &&
           text.rfind(' ') != std::string::npos)
        text.resize(text.rfind(' '));
    return text + " ...\n";
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

std::string who_text(const Verdict& verdict, const Finding& finding, const Style& style) {
    if (!finding.culprit)
        return labelled("who:", "no process is to blame", style);
    std::string out = clipped(
        labelled("who:", party_text(*finding.culprit, finding.where.netns, verdict.names), style),
        style);
    const std::string more = identity_text(identify(finding.culprit->owner, verdict.names));
    return more.empty()
               ? out
               : out + clipped(wrap(std::string(kLabel, ' '), more, kLabel, style.width), style);
}

std::string hurts_text(const Verdict& verdict, const Finding& finding, const Style& style) {
    std::vector<std::string> hurt;
    for (const Party& party : finding.affected)
        hurt.push_back(party_text(party, finding.where.netns, verdict.names));
    return hurt.empty() ? "" : clipped(labelled("hurts:", join(hurt, "; "), style), style);
}

std::string evidence_text(const Finding& finding, const Style& style) {
    std::string out;
    const std::string indent(kLabel, ' ');
    const std::size_t all = finding.evidence.size();
    const std::size_t shown = style.explain ? all : std::min(all, kEvidenceShown);
    for (const Evidence& evidence : std::span(finding.evidence).first(shown)) {
        const std::string source =
            evidence.source.empty() ? "" : fmt::format(" ({})", safe_once(evidence.source));
        out += wrap(indent + "- ", safe_once(evidence.text) + source, kLabel + 2, style.width);
    }
    return all > shown ? out + fmt::format("{}- {} more: --explain\n", indent, all - shown) : out;
}

/// Commands stand on lines of their own and are never broken: they are there to be copied.
std::string repair_text(const Finding& finding, const Style& style) {
    std::string out;
    const std::string indent(kLabel, ' ');
    std::size_t commands = 0, left = finding.advice.size();
    for (const Advice& advice : finding.advice) {
        if (!style.explain && commands == kCommandsShown)
            break;
        left--;
        out += labelled("do:", safe_once(advice.text), style);
        if (!advice.command.empty()) {
            out += indent + "$ " + safe_once(advice.command) + '\n';
            commands++;
        }
        if (!advice.risk.empty())
            out += wrap(indent + "risk: ", safe_once(advice.risk), kLabel + 6, style.width);
    }
    if (left)
        out += labelled("do:", fmt::format("{} more: --explain", left), style);
    if (!finding.verify.empty())
        out += pad("   check:", kLabel) + "culprit " + safe_once(finding.verify) + '\n';
    return out;
}

} // namespace

std::string severity_word(Severity severity, const Style& style) {
    static constexpr Paint kPaints[] = {Paint::kBold, Paint::kYellow, Paint::kRed};
    const auto number = static_cast<std::size_t>(severity);
    return paint(fmt::format("[{}]", kSeverityNames[number]), kPaints[number], style.color);
}

std::string labelled(std::string_view label, std::string_view text, const Style& style) {
    return wrap(pad(fmt::format("   {}", label), kLabel), text, kLabel, style.width);
}

std::string finding_text(const Verdict& verdict, std::size_t number, const Style& style) {
    const Finding& finding = verdict.findings[number];
    std::string out =
        wrap(fmt::format("{}. {} ", number + 1, severity_word(finding.severity, style)),
             paint(safe_once(finding.title), Paint::kBold, style.color), 3, style.width);
    out += who_text(verdict, finding, style) + hurts_text(verdict, finding, style);
    if (const std::string where = where_text(finding.where, verdict.names); !where.empty())
        out += clipped(labelled("where:", where, style), style);
    out += labelled("seen:", seen_text(verdict, finding), style);
    return out + evidence_text(finding, style) + repair_text(finding, style);
}

} // namespace culprit
