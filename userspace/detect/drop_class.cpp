// SPDX-License-Identifier: MIT
// Which finding tells of which drops. The first line that matches wins; what no line matches is
// local-drop.
#include <array>

#include "detect/drops.h"

namespace culprit {

namespace {

struct DropClass {
    std::string_view finding;
    std::string_view reason;   // "*" any; a trailing * stands for any ending
    std::string_view function; // the same
};

constexpr std::array kClasses = {
    DropClass{"neigh-failure", "NEIGH_FAILED", "*"},
    DropClass{"neigh-failure", "NEIGH_QUEUEFULL", "*"},
    DropClass{"neigh-table-full", "NEIGH_CREATEFAIL", "*"},
    DropClass{"neigh-failure", "*", "neigh_invalidate"}, // IPv6 gives no reason
    DropClass{"neigh-failure", "*", "arp_error_report"},
    DropClass{"neigh-failure", "*", "ndisc_error_report"},
    // kernels without reasons
    DropClass{"neigh-failure", "-", "__neigh_event_send"},
    DropClass{"neigh-table-full", "-", "ip_finish_output2"},
    DropClass{"neigh-table-full", "-", "ip6_finish_output2"},
    DropClass{"local-drop", "*", "*"},
};

bool matches(std::string_view pattern, std::string_view text) {
    if (pattern.ends_with('*'))
        return text.starts_with(pattern.substr(0, pattern.size() - 1));
    return pattern == text;
}

} // namespace

std::string_view drop_class(std::string_view reason, std::string_view function) {
    for (const DropClass& one : kClasses)
        if (matches(one.reason, reason) && matches(one.function, function))
            return one.finding;
    return "local-drop";
}

} // namespace culprit
