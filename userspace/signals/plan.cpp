// SPDX-License-Identifier: MIT
// What of a signal this kernel allows, before anything is loaded. Pure.
#include <set>

#include "signals/all.h"
#include "signals/capture.h"

namespace culprit {

namespace {

bool is_absent(const char* hook, const Features& features) {
    return features.args_of(hook) == 0;
}

/// What does its work on this kernel; nullptr when nothing does.
const Hook* stand_in(const Signal& signal, const Hook& hook, const Features& features) {
    for (const Hook& other : signal.hooks)
        if (other.instead_of && other.instead_of == std::string_view(hook.tracepoint) &&
            !is_absent(other.tracepoint, features))
            return &other;
    return nullptr;
}

std::string locked_out(const Hook& hook) {
    return std::string("lockdown=confidentiality keeps ") + hook.tracepoint +
           " from reading kernel memory";
}

bool is_planned(const Hook& hook, const Features& features, bool iterators_only) {
    if (hook.alone)
        return iterators_only;
    return !hook.instead_of ||
           (is_absent(hook.instead_of, features) && !is_absent(hook.tracepoint, features));
}

} // namespace

SignalStatus plan_signal(const Signal& signal, const Features& features, bool iterators_only) {
    SignalStatus status{signal.name, State::kOn, {}, {}, {}};
    const auto off = [&](std::string why) {
        status.state = State::kOff;
        status.why.push_back(std::move(why));
    };
    for (const Hook& hook : signal.hooks) {
        if (!is_planned(hook, features, iterators_only))
            continue;
        const bool blocked = hook.probes && !features.may_read_packets();
        const std::uint32_t args = blocked ? 0 : features.args_of(hook.tracepoint);
        status.hooks.push_back({hook.tracepoint, args, false});
        if (args) {
            for (const Argument& argument : hook.arguments)
                (args >= argument.count ? status.gains : status.why)
                    .emplace_back(args >= argument.count ? argument.brings : argument.without);
        } else if (const Hook* other = stand_in(signal, hook, features)) {
            status.why.push_back(std::string("no hook ") + hook.tracepoint + ", " +
                                 other->tracepoint + " stands in: " + other->without);
        } else if (features.has_btf && hook.required) {
            off(blocked ? locked_out(hook)
                        : std::string("this kernel has no hook ") + hook.tracepoint);
        } else if (features.has_btf) {
            status.why.push_back(
                (blocked ? locked_out(hook) : std::string("no hook ") + hook.tracepoint) + ": " +
                hook.without);
        }
    }
    if (!features.has_btf && signal.elf)
        off("this kernel shows no BTF (" + features.btf_error +
            "): a kernel with CONFIG_DEBUG_INFO_BTF=y is needed");
    if (status.state == State::kOn && !status.why.empty())
        status.state = State::kDegraded;
    return status;
}

std::vector<std::string> wanted_hooks() {
    std::set<std::string> hooks; // several signals may hook the same one
    for (const Signal* signal : all_signals())
        for (const Hook& hook : signal->hooks)
            hooks.emplace(hook.tracepoint);
    return {hooks.begin(), hooks.end()};
}

} // namespace culprit
