// SPDX-License-Identifier: MIT
// include/net/dropreason-core.h names the reasons; what they mean is in the code that gives them.
// Reasons that are normal life have their sentence in benign.cpp.
#include "detect/drop_reasons.h"

#include <array>

namespace culprit {

namespace {

struct Runbook {
    std::string_view reason, sentence;
};

constexpr std::array kRunbook = {
    Runbook{"NETFILTER_DROP", "a firewall rule or policy decided so, or connection tracking was "
                              "full"},
    Runbook{"QDISC_DROP", "an egress queue was at its limit: more is sent than the device or its "
                          "shaper lets through"},
    Runbook{"QDISC_OVERLIMIT", "an egress queue was at its packet limit"},
    Runbook{"QDISC_CONGESTED", "the queue's algorithm told a flow to slow down: a few are its "
                               "work, many are overload"},
    Runbook{"FQ_FLOW_LIMIT", "one flow filled its part of the queue: a sender that does not pace"},
    Runbook{"FULL_RING", "the device's ring was full: whoever empties it, a driver or a TUN "
                         "daemon, is too slow"},
    Runbook{"CPU_BACKLOG", "the CPU's input queue was full: softirq cannot keep up there "
                           "(net.core.netdev_max_backlog)"},
    Runbook{"SOCKET_RCVBUFF", "the socket's receive buffer was full: its process reads too slowly "
                              "or the buffer is too small"},
    Runbook{"SOCKET_BACKLOG", "packets came faster than the process that held the socket's lock "
                              "let go of it"},
    Runbook{"PROTO_MEM", "the protocol's memory limit (tcp_mem, udp_mem) was reached, whichever "
                         "socket took it"},
    Runbook{"SOCKET_FILTER", "a filter the process attached to its own socket refused it"},
    Runbook{"TCP_LISTEN_OVERFLOW", "an accept queue was full: the process accepts too slowly"},
    Runbook{"TCP_OFO_QUEUE_PRUNE", "out-of-order data was thrown away for want of memory"},
    Runbook{"TCP_OVERWINDOW", "data beyond the window that was offered: a misbehaving peer"},
    Runbook{"TCP_CSUM", "damaged on the way: cable, memory, or a device's broken offload"},
    Runbook{"UDP_CSUM", "damaged on the way: cable, memory, or a device's broken offload"},
    Runbook{"IP_CSUM", "the IP header was damaged on the way"},
    Runbook{"ICMP_CSUM", "damaged on the way: cable, memory, or a device's broken offload"},
    Runbook{"SKB_CSUM", "damaged on the way: cable, memory, or a device's broken offload"},
    Runbook{"TCP_MD5NOTFOUND", "the peer does not sign its segments (TCP MD5), and has to"},
    Runbook{"TCP_MD5UNEXPECTED", "the peer signs its segments (TCP MD5), and no key is set here"},
    Runbook{"TCP_MD5FAILURE", "the signature (TCP MD5) does not fit: different keys"},
    Runbook{"TCP_AONOTFOUND", "the peer does not sign its segments (TCP-AO), and has to"},
    Runbook{"TCP_AOUNEXPECTED", "the peer signs its segments (TCP-AO), and no key is set here"},
    Runbook{"TCP_AOKEYNOTFOUND", "signed (TCP-AO) with a key that is not known here"},
    Runbook{"TCP_AOFAILURE", "the signature (TCP-AO) does not fit: different keys"},
    Runbook{"IP_RPFILTER", "the way back to its source leads through another device: asymmetric "
                           "routing or a forged source (rp_filter)"},
    Runbook{"IP_LOCALNET", "a loopback address on a real link: forged or misrouted"},
    Runbook{"IP_LOCAL_SOURCE", "it claims to come from this host's own address"},
    Runbook{"IP_INVALID_SOURCE", "an impossible source address"},
    Runbook{"IP_INVALID_DEST", "an impossible destination address"},
    Runbook{"IP_INADDRERRORS", "not for an address of this host, which does not forward or has no "
                               "route"},
    Runbook{"IP_INNOROUTES", "no route for a packet that was to be forwarded"},
    Runbook{"IP_OUTNOROUTES", "no route for a packet made here"},
    Runbook{"IP_INHDR", "a damaged or impossible IP header, or its time to live ran out"},
    Runbook{"PKT_TOO_BIG", "larger than the next link's MTU and not to be fragmented: the sender "
                           "gets an ICMP message, if nobody drops that"},
    Runbook{"PKT_TOO_SMALL", "shorter than its headers say: damaged or cut"},
    Runbook{"FRAG_REASM_TIMEOUT", "a fragment of a datagram never came: loss on the way, or a "
                                  "firewall that drops fragments"},
    Runbook{"FRAG_TOO_FAR", "fragments of one source overtook each other too far"},
    Runbook{"NEIGH_FAILED", "the neighbour did not answer ARP or neighbour discovery"},
    Runbook{"NEIGH_QUEUEFULL", "too many packets waited for the neighbour's answer"},
    Runbook{"NEIGH_DEAD", "the neighbour entry was removed under it"},
    Runbook{"NEIGH_CREATEFAIL", "no neighbour entry could be made: the table is full"},
    Runbook{"TC_INGRESS", "a tc filter or program on the way in decided so"},
    Runbook{"TC_EGRESS", "a tc filter or program on the way out decided so"},
    Runbook{"XDP", "an XDP program decided so"},
    Runbook{"BPF_CGROUP_EGRESS", "a BPF program of the process's cgroup refused it: sendmsg() "
                                 "returned EPERM"},
    Runbook{"TC_COOKIE_ERROR", "a tc packet lost its bookkeeping: out of memory"},
    Runbook{"DEV_READY", "the device was not ready: down, or without carrier"},
    Runbook{"DEV_HDR", "the link header could not be written"},
    Runbook{"SKB_UCOPY_FAULT", "the reader's buffer could not be written to"},
    Runbook{"SKB_GSO_SEG", "a large packet could not be cut into segments"},
    Runbook{"NOMEM", "the kernel was out of memory"},
    Runbook{"HDR_TRUNC", "cut within its headers"},
    Runbook{"TCP_OFO_DROP", "out-of-order data found no room in the receive buffer"},
    Runbook{"TCP_MINTTL", "it came from farther away than the socket allows (IP_MINTTL)"},
    Runbook{"IP_NOPROTO", "no handler for that protocol above IP"},
    Runbook{"SECURITY_HOOK", "a security module (SELinux, AppArmor) refused it"},
    Runbook{"PFMEMALLOC", "memory is so short that only packets which free some are taken"},
    Runbook{"FQ_BAND_LIMIT", "one priority band of the fq qdisc was full"},
    Runbook{"FQ_HORIZON_LIMIT", "it was to be sent too far in the future (fq horizon)"},
    Runbook{"VXLAN_INVALID_HDR", "a damaged VXLAN header"},
    Runbook{"VXLAN_VNI_NOT_FOUND", "no tunnel here has that VXLAN number"},
    Runbook{"LOCAL_MAC", "it claims to come from this device's own link-layer address"},
    Runbook{"XFRM_POLICY", "an IPsec policy does not allow it"},
    Runbook{"IPV6_NDISC_BAD_OPTIONS", "a damaged neighbour discovery message"},
    Runbook{"NO_TX_TARGET", "the bridge or tunnel does not know where that address is"},
    Runbook{"VXLAN_ENTRY_EXISTS", "two places claim the same address of the tunnel"},
    Runbook{"MAC_INVALID_SOURCE", "an impossible link-layer source address"},
    Runbook{"BRIDGE_INGRESS_STP_STATE", "the bridge port is blocked by spanning tree"},
    Runbook{"CAN_RX_INVALID_FRAME", "a damaged CAN frame"},
    Runbook{"DUALPI2_STEP_DROP", "the queue's algorithm told a flow to slow down"},
    Runbook{"RECURSION_LIMIT", "devices stacked in a circle, or too deep"},
};

} // namespace

std::string_view drop_runbook(std::string_view reason) {
    for (const Runbook& one : kRunbook)
        if (one.reason == reason)
            return one.sentence;
    return {};
}

} // namespace culprit
