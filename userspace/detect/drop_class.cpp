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
    DropClass{"forwarding-disabled", "IP_INADDRERRORS", "ip_error"},
    DropClass{"forwarding-disabled", "IP_INADDRERRORS", "ip6_forward"},
    DropClass{"no-route", "IP_INNOROUTES", "*"},
    DropClass{"no-route", "IP_OUTNOROUTES", "*"},
    DropClass{"no-route", "*", "ip6_pkt_*"},
    DropClass{"blackhole-route", "*", "ip_error"},
    DropClass{"blackhole-route", "*", "dst_discard*"},
    DropClass{"rp-filter-drop", "IP_RPFILTER", "*"},
    DropClass{"martian-source", "IP_LOCALNET", "*"},
    DropClass{"martian-source", "IP_LOCAL_SOURCE", "*"},
    DropClass{"martian-source", "IP_INVALID_SOURCE", "*"},
    DropClass{"martian-source", "IP_INVALID_DEST", "*"},
    // kernels before 6.14 (martians) or without reasons
    DropClass{"martian-source", "NOT_SPECIFIED", "ip_rcv_finish_core"},
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
