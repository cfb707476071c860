// SPDX-License-Identifier: MIT
// The list, with the reason for each entry. The place is part of the key: "no reason given" is
// noise in one function and a fault in another.
#include "detect/benign.h"

#include <array>
#include <string>

#include "abi/drop.h"
#include "model/format.h"

namespace culprit {

namespace {

constexpr std::array kBenign = {
    Benign{"QUEUE_PURGE", "*", "what was left in a queue when its socket closed"},
    Benign{"SOCKET_CLOSE", "*", "the socket was closing"},
    Benign{"SOCKET_DESTROYED", "*", "the socket was closing"},
    Benign{"TCP_CLOSE", "*", "the socket was closing"},
    Benign{"TCP_CLOSE_SYN", "*", "the socket was closing"},
    Benign{"TCP_ABORT_ON_DATA", "*", "data for a process that has closed"},
    Benign{"TCP_ABORT_ON_LINGER", "*", "the process did not want to wait at close"},
    Benign{"TCP_RESET", "*", "a reset did its work"},
    Benign{"TCP_OLD_ACK", "*", "an acknowledgement overtaken by a later one"},
    Benign{"TCP_TOO_OLD_ACK", "*", "an acknowledgement overtaken by a later one"},
    Benign{"TCP_OLD_DATA", "*", "data that had already arrived: follows a repeat, causes nothing"},
    Benign{"TCP_OLD_SEQUENCE", "*", "a segment that had already arrived"},
    Benign{"TCP_INVALID_SYN", "*", "a repeated SYN-ACK"},
    Benign{"TCP_INVALID_SEQUENCE", "*", "a repeat or a probe outside the window"},
    Benign{"TCP_OFOMERGE", "*", "out-of-order data that was already queued"},
    Benign{"TCP_RFC7323_PAWS", "*", "an old duplicate (RFC 7323)"},
    Benign{"TCP_RFC7323_PAWS_ACK", "*", "an old duplicate (RFC 7323)"},
    Benign{"TCP_ZEROWINDOW", "*", "a probe of a closed window: the window is the story"},
    Benign{"TCP_FLAGS", "*", "a segment without ACK for a connection"},
    Benign{"TCP_FASTOPEN", "*", "a probe of TCP Fast Open"},
    Benign{"NO_SOCKET", "*", "nobody listens: told by resets and refused connections"},
    Benign{"UNHANDLED_PROTO", "*", "LLDP, STP and the like", true},
    Benign{"OTHERHOST", "*", "a frame for another host", true},
    Benign{"IP_INADDRERRORS", "ip_route_input_slow", "a broadcast or stray"},
    Benign{"PACKET_SOCK_ERROR", "*", "a capture did not want it"},
    Benign{"SOCKET_FILTER", "packet_rcv", "a capture's filter"},
    Benign{"SOCKET_FILTER", "tpacket_rcv", "a capture's filter"},
    Benign{"TAP_FILTER", "*", "a capture's filter"},
    Benign{"TAP_TXFILTER", "*", "a capture's filter"},
    Benign{"UNIX_DISCONNECT", "*", "a Unix socket closed"},
    Benign{"UNIX_SKIP_OOB", "*", "a Unix socket skipped out-of-band data"},
    Benign{"IPV6DISABLED", "*", "IPv6 is switched off there"},
    Benign{"IPV6_NDISC_NS_OTHERHOST", "*", "a neighbour question for another host"},
    Benign{"ARP_PVLAN_DISABLE", "*", "ARP for another host"},
    Benign{"DUP_FRAG", "*", "a fragment that had already arrived"},
    Benign{"NOT_SPECIFIED", "tcp_v4_rcv",
           "handled by a closing or half-open connection's small socket"},
    Benign{"NOT_SPECIFIED", "tcp_v6_rcv",
           "handled by a closing or half-open connection's small socket"},
    Benign{"NOT_SPECIFIED", "tcp_rcv_state_process", "a late ACK of a closing connection"},
    // kernels without reasons: duplicates, old acknowledgements, probes
    Benign{"NOT_SPECIFIED", "tcp_drop", "a duplicate or old segment"},
    Benign{"NOT_SPECIFIED", "tcp_rcv_established", "a duplicate or old segment"},
    Benign{"NOT_SPECIFIED", "tcp_data_queue", "a duplicate or old segment"},
    Benign{"NOT_SPECIFIED", "tcp_validate_incoming", "a duplicate or old segment"},
    Benign{"NOT_SPECIFIED", "tcp_v4_do_rcv", "a duplicate or old segment"},
    Benign{"NOT_SPECIFIED", "tcp_v6_do_rcv", "a duplicate or old segment"},
    Benign{"NOT_SPECIFIED", "llc_rcv", "STP and the like"},
    Benign{"NOT_SPECIFIED", "arp_process", "an ARP packet, done with"},
    Benign{"NOT_SPECIFIED", "sk_stream_kill_queues",
           "what was left in a queue when its socket closed"},
    Benign{"NOT_SPECIFIED", "inet_sock_destruct",
           "what was left in a queue when its socket closed"},
    Benign{"NOT_SPECIFIED", "skb_queue_purge", "what was left in a queue when its socket closed"},
    Benign{"NOT_SPECIFIED", "skb_rbtree_purge",
           "what had waited for missing data when its connection closed"},
    Benign{"NOT_SPECIFIED", "tun_queue_purge",
           "what a TUN device's process left unread at its end"},
    Benign{"NOT_SPECIFIED", "netlink_broadcast_filtered", "a netlink message nobody subscribed to"},
    Benign{"NOT_SPECIFIED", "netlink_unicast", "a netlink message for a socket that is gone"},
    Benign{"NOT_SPECIFIED", "unix_release_sock", "a Unix socket closed"},
    Benign{"NOT_SPECIFIED", "unix_stream_connect", "a Unix connection was refused"},
    Benign{"NOT_SPECIFIED", "unix_dgram_sendmsg", "a Unix datagram found no reader"},
    Benign{"NOT_SPECIFIED", "skb_release_data", "the last part of a packet that was delivered"},
    Benign{"NOT_SPECIFIED", "ip6_mc_input", "multicast nobody here joined"},
    Benign{"NOT_SPECIFIED", "igmp_rcv", "multicast housekeeping"},
    Benign{"NOT_SPECIFIED", "igmp6_event_report", "multicast housekeeping"},
    Benign{"NOT_SPECIFIED", "icmpv6_rcv", "an ICMPv6 message, done with"},
    Benign{"NOT_SPECIFIED", "ndisc_rcv", "a neighbour message, done with"},
    Benign{"NOT_SPECIFIED", "ndisc_router_discovery", "a router advertisement, done with"},
};

/// Not normal life although a line above fits: somebody may go on sending to a port that is closed.
/// Datagrams have no reset that would tell of it.
bool is_told(std::string_view reason, std::string_view function) {
    return reason == "NO_SOCKET" && (function.starts_with("__udp") || function.starts_with("udp"));
}

/// "tcp_v4_rcv.isra.0+0x85" -> "tcp_v4_rcv"
std::string_view function_of(std::string_view symbol) {
    return symbol.substr(0, symbol.find_first_of("+."));
}

} // namespace

std::span<const Benign> benign_drops() {
    return kBenign;
}

std::string_view benign_drop(std::string_view reason, std::string_view symbol, bool tagged) {
    // a kernel without reasons says nothing: judged by the place alone, like "no reason given"
    const std::string_view given = reason.empty() || reason == "-" ? "NOT_SPECIFIED" : reason;
    const std::string_view function = function_of(symbol);
    if (is_told(given, function))
        return {};
    for (const Benign& benign : kBenign)
        if ((benign.reason == "*" || benign.reason == given) &&
            (benign.function == "*" || benign.function == function) && !(benign.untagged && tagged))
            return benign.why;
    return {};
}

bool is_normal_life(const Kind& kind, std::span<const std::byte> record, const Names& names) {
    std::string reason, place;
    const bool tagged = kind.id == ABI_DROP && value_at<drop_event>(record, 0).tagged;
    for (const Field& field : kind.fields) {
        if (field.type == Type::kDropReason)
            reason = field_text(field, record, names);
        if (field.type == Type::kSymbol)
            place = field_text(field, record, names);
    }
    return !place.empty() && !benign_drop(reason, place, tagged).empty();
}

} // namespace culprit
