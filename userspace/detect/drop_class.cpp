// SPDX-License-Identifier: MIT
// Which finding tells of which drops. The first line that matches wins; what no line matches is
// local-drop.
#include <array>

#include "detect/drops.h"

namespace culprit {

namespace {

struct DropClass {
    std::string_view finding;
    std::string_view reason;   // "*" any; a * at the end or at the beginning stands for anything
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
    DropClass{"udp-rcvbuf-overflow", "SOCKET_RCVBUFF", "udp*"},
    DropClass{"udp-rcvbuf-overflow", "SOCKET_RCVBUFF", "__udp*"},
    DropClass{"udp-rcvbuf-overflow", "PROTO_MEM", "udp*"},
    DropClass{"udp-rcvbuf-overflow", "PROTO_MEM", "__udp*"},
    DropClass{"udp-port-unreachable", "NO_SOCKET", "__udp*"},
    DropClass{"udp-port-unreachable", "NO_SOCKET", "udp*"},
    DropClass{"rcvbuf-prune", "SOCKET_RCVBUFF", "tcp*"},
    DropClass{"rcvbuf-prune", "PROTO_MEM", "tcp*"},
    DropClass{"rcvbuf-prune", "SOCKET_BACKLOG", "tcp*"},
    DropClass{"rcvbuf-prune", "TCP_OFO_DROP", "*"},
    DropClass{"rcvbuf-prune", "TCP_OFO_QUEUE_PRUNE", "*"},
    DropClass{"md5-mismatch", "TCP_MD5*", "*"},
    DropClass{"md5-mismatch", "TCP_AO*", "*"},
    DropClass{"csum-errors", "TCP_CSUM", "*"},
    DropClass{"csum-errors", "UDP_CSUM", "*"},
    DropClass{"csum-errors", "ICMP_CSUM", "*"},
    DropClass{"csum-errors", "IP_CSUM", "*"},
    DropClass{"mtu-mismatch", "NOT_SPECIFIED", "__dev_forward_skb*"},
    DropClass{"vlan-mismatch", "OTHERHOST", "*"},
    DropClass{"vlan-mismatch", "UNHANDLED_PROTO", "*"},
    DropClass{"firewall-drop", "NETFILTER_DROP", "*"},
    DropClass{"firewall-drop", "-", "nf_hook_slow"}, // kernels without reasons
    DropClass{"mtu-blackhole", "PKT_TOO_BIG", "ip_forward*"},
    DropClass{"mtu-blackhole", "PKT_TOO_BIG", "ip6_forward*"},
    DropClass{"ttl-exceeded", "IP_INHDR", "ip_forward*"},
    DropClass{"ttl-exceeded", "IP_INHDR", "ip6_forward*"},
    DropClass{"reassembly-failure", "FRAG_REASM_TIMEOUT", "*"},
    DropClass{"reassembly-failure", "FRAG_TOO_FAR", "*"},
    DropClass{"qdisc-drop", "QDISC_*", "*"},
    DropClass{"qdisc-drop", "FQ_*", "*"},
    DropClass{"qdisc-drop", "CAKE_*", "*"},
    DropClass{"qdisc-drop", "NOT_SPECIFIED", "*_enqueue"},
    // kernels without reasons
    DropClass{"qdisc-drop", "-", "*_enqueue"},
    DropClass{"qdisc-drop", "-", "__dev_queue_xmit"},
    DropClass{"qdisc-drop", "-", "__dev_xmit_skb"},
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
    DropClass{"softnet-drop", "CPU_BACKLOG", "*"},
    DropClass{"softnet-drop", "*", "enqueue_to_backlog*"},
    DropClass{"tx-ring-full", "FULL_RING", "*"},
    DropClass{"tx-ring-full", "NOT_SPECIFIED", "tun_net_xmit*"},
    DropClass{"tx-ring-full", "-", "tun_net_xmit*"}, // kernels without reasons
    DropClass{"xdp-drop", "XDP", "*"},
    DropClass{"xdp-drop", "*", "veth_xdp_rcv*"},
    DropClass{"xdp-drop", "*", "do_xdp_generic*"},
    DropClass{"xdp-drop", "*", "netif_receive_generic_xdp*"},
    DropClass{"xdp-drop", "*", "bpf_prog_run_generic_xdp*"},
    DropClass{"tc-drop", "TC_*", "*"},
    DropClass{"cgroup-drop", "BPF_CGROUP_EGRESS", "*"},
    DropClass{"cgroup-drop", "SOCKET_FILTER", "*"}, // of a cgroup, or the socket's own
    DropClass{"local-drop", "*", "*"},
};

bool matches(std::string_view pattern, std::string_view text) {
    if (pattern.ends_with('*'))
        return text.starts_with(pattern.substr(0, pattern.size() - 1));
    if (pattern.starts_with('*'))
        return text.ends_with(pattern.substr(1));
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
