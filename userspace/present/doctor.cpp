// SPDX-License-Identifier: MIT
// What works on this kernel, what does not, and what is lost by that.
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "kernel/confinement.h"
#include "present/layout.h"
#include "present/present.h"

namespace culprit {

namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kStateNames[] = {"on", "degraded", "off"};
constexpr std::size_t kLabel = 14; // columns before what is said

const char* state_name(State state) {
    return kStateNames[static_cast<std::size_t>(state)];
}

/// What is lost without a capability.
std::string without(const std::string& capability) {
    if (capability == "CAP_BPF")
        return "no program can be loaded, nothing is seen";
    if (capability == "CAP_PERFMON")
        return "programs may not trace the kernel, nothing is seen";
    if (capability == "CAP_SYS_ADMIN")
        return "devices of other network namespaces have no names, namespaces without process no "
               "counters";
    if (capability == "CAP_SYS_PTRACE")
        return "network namespaces and program files of other users' processes are not found";
    if (capability == "CAP_DAC_READ_SEARCH")
        return "cgroups of processes that are gone have no path";
    if (capability == "CAP_NET_ADMIN")
        return "rules of firewalls that drop something are not named";
    if (capability == "CAP_SYSLOG")
        return "places in the kernel are addresses without names";
    return "what needs it does not work";
}

std::string line(std::string_view label, std::string_view text, const Style& style) {
    return wrap(pad(fmt::format("{}:", label), kLabel), text, kLabel, style.width);
}

std::string yes_no(bool good, std::string_view why_not, const Style& style) {
    if (good)
        return paint("yes", Paint::kGreen, style.color);
    return paint("no", Paint::kRed, style.color) + fmt::format(", {}", safe_once(why_not));
}

std::string kernel_text(const DoctorReport& report, const Style& style) {
    const Features& features = report.features;
    std::string out = line("culprit", safe_once(report.version), style);
    out += line("kernel", safe_once(features.release), style);
    out += line("BTF", yes_no(features.has_btf, features.btf_error, style), style);
    std::string lockdown = safe_once(features.lockdown);
    if (!features.may_read_packets())
        lockdown += ", programs may not read kernel memory";
    out += line("lockdown", lockdown, style);
    out += line(
        "kallsyms",
        yes_no(features.has_symbols, "addresses are hidden: kernel places stay numbers", style),
        style);
    return out + line("start time", fmt::format("{:.0f} ms", finite(report.start_ms)), style);
}

std::string confinement_text(const DoctorReport& report, const Style& style) {
    const std::string_view what = "while watching it keeps no more than ";
    std::vector<std::string> kept;
    for (const Capability& one : kept_capabilities())
        kept.emplace_back(one.name);
    if (!report.confined)
        return wrap("  ", "not given up: " + safe_once(report.confined.error().what), 2,
                    style.width);
    return wrap("  ",
                fmt::format("{}{}, and may start nothing (no_new_privs, a filter of system calls)",
                            what, join(kept, ", ")),
                2, style.width);
}

std::string capabilities_text(const DoctorReport& report, const Style& style) {
    constexpr std::size_t kColumn = 22;
    std::string out = '\n' + paint("CAPABILITIES", Paint::kBold, style.color) + '\n';
    for (const auto& [name, effective] : report.features.capabilities)
        out += wrap(pad("  " + name, kColumn), yes_no(effective != 0, without(name), style),
                    kColumn, style.width);
    return out + confinement_text(report, style);
}

std::string hooks_text(const SignalStatus& signal) {
    std::vector<std::string> hooks;
    for (const HookStatus& hook : signal.hooks)
        hooks.push_back(fmt::format("{}({}) {}", hook.tracepoint, hook.arguments,
                                    hook.attached    ? "attached"
                                    : hook.arguments ? "not attached"
                                                     : "absent"));
    return join(hooks, ", ");
}

std::string signal_text(const SignalStatus& signal, const Style& style) {
    static constexpr Paint kPaints[] = {Paint::kGreen, Paint::kYellow, Paint::kRed};
    const auto state = static_cast<std::size_t>(signal.state);
    std::string out = pad("  " + signal.name, kLabel) +
                      paint(kStateNames[state], kPaints[state], style.color) + '\n';
    if (!signal.hooks.empty())
        out += wrap("    hooks: ", hooks_text(signal), 11, style.width);
    if (!signal.gains.empty())
        out += wrap("    with:  ", safe_once(join(signal.gains, ", ")), 11, style.width);
    for (const std::string& why : signal.why)
        out += wrap("    - ", safe_once(why), 6, style.width);
    return out;
}

Json signal_json(const SignalStatus& signal) {
    const auto texts = [](const std::vector<std::string>& list) {
        Json out = Json::array();
        for (const std::string& text : list)
            out.push_back(safe_once(text));
        return out;
    };
    Json hooks = Json::array();
    for (const HookStatus& hook : signal.hooks)
        hooks.push_back({{"tracepoint", hook.tracepoint},
                         {"arguments", hook.arguments},
                         {"attached", hook.attached}});
    return {{"name", signal.name},
            {"state", state_name(signal.state)},
            {"hooks", hooks},
            {"gains", texts(signal.gains)},
            {"why", texts(signal.why)}};
}

Json capabilities_json(const Features& features) {
    Json out = Json::array();
    for (const auto& [name, effective] : features.capabilities)
        out.push_back({{"name", name},
                       {"effective", effective != 0},
                       {"lost", effective ? Json(nullptr) : Json(without(name))}});
    return out;
}

Json confinement_json(const DoctorReport& report) {
    Json kept = Json::array();
    for (const Capability& one : kept_capabilities())
        kept.push_back(one.name);
    return {
        {"confined", report.confined.has_value()},
        {"error", report.confined ? Json(nullptr) : Json(safe_once(report.confined.error().what))},
        {"keeps", kept}};
}

} // namespace

std::string doctor_text(const DoctorReport& report, const Style& style) {
    std::string out = kernel_text(report, style) + capabilities_text(report, style);
    out += '\n' + paint("SIGNALS", Paint::kBold, style.color) + '\n';
    for (const SignalStatus& signal : report.signals)
        out += signal_text(signal, style);
    return out;
}

std::string doctor_json(const DoctorReport& report) {
    const Features& features = report.features;
    Json out;
    out["schema"] = "culprit.doctor/1";
    out["version"] = safe_once(report.version);
    out["kernel"] = safe_once(features.release);
    out["btf"] = {
        {"present", features.has_btf},
        {"error", features.has_btf ? Json(nullptr) : Json(safe_once(features.btf_error))}};
    out["lockdown"] = safe_once(features.lockdown);
    out["kallsyms"] = features.has_symbols;
    out["capabilities"] = capabilities_json(features);
    out["confinement"] = confinement_json(report);
    out["start_ms"] = finite(report.start_ms);
    out["signals"] = Json::array();
    for (const SignalStatus& signal : report.signals)
        out["signals"].push_back(signal_json(signal));
    return out.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

} // namespace culprit
