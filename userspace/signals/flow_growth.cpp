// SPDX-License-Identifier: MIT
// Growth of the kernel's counters between two looks, and what a look itself shows.
#include "signals/flow_growth.h"

#include <netinet/tcp.h>

#include <algorithm>
#include <cstring>

#include "abi/connection.h"

namespace culprit {

namespace {

constexpr std::uint64_t kSilentTimeouts = 3;

/// The peer has closed: its FIN was received.
bool has_their_fin(const flow_look& look) {
    return look.state == TCP_CLOSE_WAIT || look.state == TCP_LAST_ACK || look.state == TCP_CLOSING;
}

/// This side has closed, and the peer has not acknowledged its FIN.
bool sends_fin(const flow_look& look) {
    return look.state == TCP_FIN_WAIT1 || look.state == TCP_LAST_ACK || look.state == TCP_CLOSING;
}

std::uint64_t less(std::uint64_t bytes, bool one) {
    return bytes - std::min<std::uint64_t>(bytes, one ? 1 : 0);
}

std::uint64_t timeouts_of(const flow_look& look) {
    return std::max(look.timeouts, look.probes);
}

/// As it was when it came to ESTABLISHED.
flow_look newborn(const flow_look& look) {
    flow_look born{};
    born.sk = look.sk;
    born.flow = look.flow;
    born.role = look.role;
    born.state = TCP_ESTABLISHED;
    born.when_ns = born.since_ns = look.since_ns;
    // its SYN; a restored socket (TCP_REPAIR) never sent one
    born.bytes_sent =
        look.role == ABI_ROLE_CLIENT ? std::min<std::uint64_t>(1, look.bytes_sent) : 0;
    return born;
}

void add_round_trip(const flow_look& now, flow_total& into) {
    if (!now.srtt_us)
        return;
    into.rtt_looks = 1;
    into.srtt_us = into.srtt_max_us = now.srtt_us;
    into.rttvar_us = now.rttvar_us;
    into.min_rtt_us = now.min_rtt_us;
}

/// net/ipv4/tcp_output.c: tcp_nagle_check().
bool waits_for_nagle(const flow_look& now) {
    const std::uint64_t room =
        now.snd_wnd > now.in_flight ? std::uint64_t{now.snd_wnd} - now.in_flight : 0;
    return now.nagle && now.not_sent && now.not_sent < now.mss && now.packets_out &&
           now.small_in_flight && now.packets_out < now.cwnd && room >= now.not_sent;
}

void add_sending(const flow_look& now, flow_total& into) {
    if (!unsent_of(now))
        return;
    into.sending = 1;
    into.app_limited = now.app_limited;
    into.nagle_wait = waits_for_nagle(now);
    into.snd_wnd = now.snd_wnd;
    into.cwnd = std::uint64_t{now.cwnd} * now.mss;
    into.in_flight = now.in_flight;
    into.not_sent = now.not_sent;
    into.sndbuf = now.sndbuf;
}

void add_state(const flow_look& now, flow_total& into) {
    into.rcv_wnd = now.rcv_wnd;
    into.rcvbuf = now.rcvbuf;
    into.unread = into.unread_max = unread_of(now);
    into.sndbuf_locked = now.sndbuf_locked;
    into.rcvbuf_locked = now.rcvbuf_locked;
    into.mss = now.mss;
    into.unanswered = timeouts_of(now);
}

/// Since when something lasts that is so now, and how long that is.
std::uint64_t lasts(bool so, std::uint64_t now_ns, std::uint64_t& since_ns) {
    if (!so)
        since_ns = 0;
    else if (!since_ns)
        since_ns = now_ns;
    return so ? now_ns - since_ns : 0;
}

} // namespace

std::uint64_t sent_of(const flow_look& look) {
    return less(look.bytes_sent, look.state == TCP_FIN_WAIT2);
}

std::uint64_t received_of(const flow_look& look) {
    return less(look.bytes_received, has_their_fin(look));
}

std::uint64_t unsent_of(const flow_look& look) {
    return less(std::uint64_t{look.in_flight} + look.not_sent, sends_fin(look));
}

std::uint64_t unread_of(const flow_look& look) {
    return less(look.unread, has_their_fin(look));
}

std::uint8_t role_of(const flow_look& look) {
    // net.ipv4.ip_local_port_range as it is when nobody changed it
    const auto of_clients = [](std::uint16_t port) { return port >= 32768 && port <= 60999; };
    if (look.role != ABI_ROLE_UNKNOWN)
        return look.role;
    if (of_clients(look.flow.local_port))
        return ABI_ROLE_CLIENT;
    return of_clients(look.flow.remote_port) ? ABI_ROLE_SERVER : ABI_ROLE_UNKNOWN;
}

FlowGrowth::FlowGrowth(const flow_look& first, bool is_newborn)
    : x_last(is_newborn ? newborn(first) : first), x_known(is_newborn) {}

bool FlowGrowth::is_same(const flow_look& look) const {
    return look.since_ns == x_last.since_ns &&
           std::memcmp(&look.flow, &x_last.flow, sizeof(look.flow)) == 0;
}

void FlowGrowth::add_growth(const flow_look& now, const Pace& pace, flow_total& into) const {
    const auto ns = [&](std::uint32_t to, std::uint32_t from) {
        return std::uint64_t{to - from} * pace.tick_ns;
    };
    into.looks = 1;
    // idle in between: watched, and nothing to send
    into.watched_ns =
        now.when_ns - std::clamp<std::uint64_t>(pace.before_ns, x_last.when_ns, now.when_ns);
    into.bytes_sent = sent_of(now) - sent_of(x_last);
    into.bytes_received = received_of(now) - received_of(x_last);
    into.segs_out = now.segs_out - x_last.segs_out;
    into.segs_in = now.segs_in - x_last.segs_in;
    into.retransmits = now.retransmits - x_last.retransmits;
    into.spurious = now.spurious - x_last.spurious;
    into.reordered = now.reordered - x_last.reordered;
    into.out_of_order = now.out_of_order - x_last.out_of_order;
    into.busy_ns = ns(now.busy_ticks, x_last.busy_ticks);
    into.rwnd_limited_ns = ns(now.rwnd_limited_ticks, x_last.rwnd_limited_ticks);
    into.sndbuf_limited_ns = ns(now.sndbuf_limited_ticks, x_last.sndbuf_limited_ticks);
}

void FlowGrowth::add_windows(const flow_look& now, flow_total& into) {
    const bool zero = now.not_sent && unsent_of(now) && now.snd_wnd < now.mss;
    const bool closed = unread_of(now) && now.rcv_wnd < now.rcv_mss;
    // looks do not see a window that opens for a moment, but what came through meanwhile
    const bool sent = sent_of(now) != sent_of(x_last);
    const bool received = received_of(now) != received_of(x_last);
    into.zero_window_ns = lasts(zero && !sent, now.when_ns, x_zero_ns);
    into.closed_window_ns = lasts(closed && !received, now.when_ns, x_closed_ns);
    into.zero_window = x_known && zero;
    into.closed_window = x_known && closed;
}

/// The iterator also shows connections on which an answer is due: most of them only seem so.
bool FlowGrowth::is_idle(const flow_look& now) const {
    return now.sent_ticks == x_last.sent_ticks && now.received_ticks == x_last.received_ticks &&
           now.heard_ticks == x_last.heard_ticks && !unsent_of(now) && !unread_of(now) &&
           !timeouts_of(now);
}

flow_total FlowGrowth::grow(const flow_look& now, const Pace& pace) {
    flow_total total{};
    total.flows = 1;
    if (timeouts_of(now) >= kSilentTimeouts) {
        total.silent = 1;
        total.quiet_ns = std::uint64_t{now.now_ticks - now.heard_ticks} * pace.tick_ns;
    }
    add_windows(now, total);
    if (x_known) {
        add_growth(now, pace, total);
        add_sending(now, total);
        add_round_trip(now, total);
        add_state(now, total);
        if (now.role == ABI_ROLE_CLIENT || now.role == ABI_ROLE_SERVER)
            x_answers.add(talk_of(x_last), talk_of(now), now.mss, pace.tick_ns, total);
    }
    if (is_idle(now) && !total.waiting)
        total = {};
    x_known = true;
    x_last = now;
    return total;
}

} // namespace culprit
