// SPDX-License-Identifier: MIT
// The steps around the findings: how far it reaches, whether a repair worked, what to watch next.
#include <algorithm>

#include <fmt/format.h>

#include "kernel/counters.h"
#include "model/format.h"
#include "present/layout.h"
#include "present/verdict_parts.h"

namespace culprit {

namespace {

std::string share(std::uint64_t part, std::uint64_t whole) {
    return fmt::format("{} of {} ({})", part, whole,
                       percent(whole ? double(part) / double(whole) : 0));
}

std::string impact_line(const Impact& impact) {
    constexpr std::size_t kNamed = 2;
    std::vector<std::string> parts;
    if (const std::size_t hurt = impact.hurt.size()) {
        const std::vector named(impact.hurt.begin(),
                                impact.hurt.begin() +
                                    static_cast<std::ptrdiff_t>(std::min(hurt, kNamed)));
        parts.push_back(fmt::format("{} processes hurt: {}{}", share(hurt, impact.processes),
                                    join(named, ", "),
                                    hurt > kNamed ? fmt::format(", {} more", hurt - kNamed) : ""));
    } else {
        parts.emplace_back("no process is seen to suffer");
    }
    if (!impact.netns.empty())
        parts.push_back(fmt::format("trouble in {}", amount(impact.netns.size(), "namespace")));
    if (impact.failed)
        parts.push_back(share(impact.failed, impact.attempts) + " attempts to connect failed");
    if (impact.cut)
        parts.push_back(share(impact.cut, impact.ended) + " connections were cut");
    if (impact.sent_again)
        parts.push_back(fmt::format("{} had to send again", impact.sent_again));
    return join(parts, "; ");
}

/// A counter of the kernel that moves when this finding comes back; empty when none is known.
std::string counter_of(const Finding& finding) {
    for (const Evidence& evidence : finding.evidence) {
        const std::string_view source = evidence.source;
        const std::string_view first = source.substr(0, source.find_first_of(" ,"));
        if (find_counter(first))
            return std::string(first);
    }
    return {};
}

std::string command_line(std::string_view command) {
    return fmt::format("          $ {}\n", safe_once(command));
}

std::string numbers(Severity severity, std::uint64_t count, double per_second) {
    return fmt::format("{}, {}, {:.3g} per second",
                       kSeverityNames[static_cast<std::size_t>(severity)], amount(count, "time"),
                       finite(per_second));
}

std::string verified_text(const Verified& one, const Verdict& verdict, const Style& style) {
    static constexpr Paint kPaints[] = {Paint::kGreen, Paint::kYellow, Paint::kRed,
                                        Paint::kRed,   Paint::kYellow, Paint::kYellow};
    const auto repair = static_cast<std::size_t>(one.repair);
    const Sighting& before = one.before;
    std::string out =
        wrap("  " + pad(paint(kRepairNames[repair], kPaints[repair], style.color), 15),
             safe_once(before.title), 17, style.width);
    std::string text = "before: " + numbers(before.severity, before.count, before.rate_per_s);
    if (one.after) {
        const Finding& after = verdict.findings[*one.after];
        text += "; after: " + numbers(after.severity, after.count, after.rate_per_s);
    } else {
        text += "; after: not seen";
    }
    if (!one.why.empty())
        text += "; " + safe_once(one.why);
    else if (!one.after)
        text += fmt::format(", while {:.3g} per second went there", finite(one.load_per_s));
    return out + wrap(std::string(17, ' '), text, 17, style.width);
}

} // namespace

std::string triage_text(const Verdict& verdict, const Style& style) {
    std::string out = '\n' + paint("TRIAGE", Paint::kBold, style.color) + '\n';
    if (!verdict.scope.empty())
        out += wrap("  scope:  ", safe_once(verdict.scope), kLabel, style.width);
    return out + wrap("  impact: ", safe_once(impact_line(verdict.impact)), kLabel, style.width);
}

std::string next_steps_text(const Verdict& verdict, const Style& style) {
    const auto grave = std::ranges::find_if(
        verdict.findings, [](const Finding& f) { return f.severity != Severity::kInfo; });
    if (grave == verdict.findings.end())
        return {};
    std::string out = '\n' + paint("VALIDATION", Paint::kBold, style.color) + '\n';
    out +=
        wrap("   ", "keep this verdict (--output json > FILE); after the repair", 3, style.width) +
        command_line("culprit diagnose --verify FILE");
    if (grave->verify.empty())
        return out;
    out += '\n' + paint("MONITORING", Paint::kBold, style.color) + '\n';
    const std::string counter = counter_of(*grave);
    out += wrap("   ",
                counter.empty() ? "from a timer; exit code 3 is the alert"
                                : fmt::format("from a timer; exit code 3, or growth of {}, is the "
                                              "alert",
                                              counter),
                3, style.width);
    return out + command_line("culprit " + grave->verify);
}

std::string verification_text(const Verdict& verdict, const Style& style) {
    if (!verdict.verification)
        return {};
    const Verification& v = *verdict.verification;
    std::string out = '\n' + paint("VERIFICATION", Paint::kBold, style.color) +
                      fmt::format(" of what was found from {}\n", safe_once(v.from));
    if (v.findings.empty())
        out += "  nothing was found then\n";
    for (const Verified& one : v.findings)
        out += verified_text(one, verdict, style);
    for (const std::size_t i : v.fresh)
        out += wrap("  " + pad(paint("new", Paint::kRed, style.color), 15),
                    safe_once(verdict.findings[i].title), 17, style.width);
    return out;
}

} // namespace culprit
