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
    DropClass{"softnet-drop", "CPU_BACKLOG", "*"},
    DropClass{"softnet-drop", "*", "enqueue_to_backlog*"},
    DropClass{"tx-ring-full", "FULL_RING", "*"},
    DropClass{"tx-ring-full", "NOT_SPECIFIED", "tun_net_xmit*"},
    DropClass{"xdp-drop", "XDP", "*"},
    DropClass{"xdp-drop", "NOT_SPECIFIED", "veth_xdp_rcv*"},
    DropClass{"xdp-drop", "NOT_SPECIFIED", "do_xdp_generic*"},
    DropClass{"xdp-drop", "NOT_SPECIFIED", "netif_receive_generic_xdp*"},
    DropClass{"xdp-drop", "NOT_SPECIFIED", "bpf_prog_run_generic_xdp*"},
    DropClass{"tc-drop", "TC_*", "*"},
    DropClass{"cgroup-drop", "BPF_CGROUP_EGRESS", "*"},
    DropClass{"cgroup-drop", "SOCKET_FILTER", "*"}, // of a cgroup, or the socket's own
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
