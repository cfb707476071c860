/* SPDX-License-Identifier: GPL-2.0-only */
/* How did a connection end, did it carry data, and which port was the service? Read from what the
 * socket still knows. */
#ifndef CULPRIT_ENDING_BPF_H
#define CULPRIT_ENDING_BPF_H

#include <bpf/bpf_helpers.h>

#include "connection.h"
#include "consts.bpf.h"
#include "emit.bpf.h"

/* sk_err is set before the state changes when the peer or a timer ended it (net/ipv4/tcp_input.c:
 * tcp_reset(), tcp_timer.c: tcp_write_err()), and still 0 when this host aborts (tcp.c:
 * __tcp_close(), tcp_disconnect()). */
static __always_inline __u8 ending_of(int oldstate, int error)
{
	if (error == ETIMEDOUT)
		return ABI_ENDING_TIMEOUT;
	if (error == ECONNRESET || error == EPIPE)
		return ABI_ENDING_RESET_RECEIVED;
	if (error)
		return ABI_ENDING_OTHER;
	if (oldstate == TCP_ESTABLISHED || oldstate == TCP_CLOSE_WAIT || oldstate == TCP_SYN_RECV)
		return ABI_ENDING_RESET_SENT;
	return oldstate == TCP_FIN_WAIT1 ? ABI_ENDING_OTHER : ABI_ENDING_FIN;
}

/* bytes_acked counts the SYN and the FIN of a side that sent them (RFC 4898
 * tcpEStatsAppHCThruOctetsAcked plus 1 each); bytes_received the FIN. */
static __always_inline bool moved_data(const struct close_event *event)
{
	return event->bytes_sent > 2 || event->bytes_received > 1;
}

/* Without a role (older than culprit) a listener behind the local port tells a server. */
static __always_inline __u16 service_port(const struct close_event *event)
{
	bool server =
		event->role == ABI_ROLE_SERVER || event->owner.provenance == ABI_OWNER_LISTENER;

	return server ? event->flow.local_port : event->flow.remote_port;
}

static __always_inline void close_times(struct close_event *event, const struct abi_socket *known,
					__u64 now)
{
	__u64 end = known->closing_ns ? known->closing_ns : now;

	event->role = known->role;
	event->closer = known->closer;
	if (known->opened_ns && known->established_ns)
		event->handshake_ns = known->established_ns - known->opened_ns;
	if (known->established_ns)
		event->established_ns = end - known->established_ns;
	event->closing_ns = known->closing_ns ? now - known->closing_ns : 0;
}

/* One question and one answer, as far as the times of the last data each way can tell. Needs the
 * counts and the role. */
static __always_inline void close_answer(struct close_event *event, const struct tcp_sock *tp)
{
	bool server = event->role == ABI_ROLE_SERVER;
	__u32 received = tp->inet_conn.icsk_ack.lrcvtime, sent = tp->lsndtime;
	__u64 answer = server ? event->bytes_sent : event->bytes_received;
	__s32 ticks = server ? sent - received : received - sent;
	__u64 ns = (__u64)(__u32)ticks * config.tick_ns;

	if (event->role == ABI_ROLE_UNKNOWN || event->bytes_sent <= 2 ||
	    event->bytes_received <= 1 || event->retransmits || ticks < 0 || ns > ANSWER_MAX_NS ||
	    answer > ANSWER_SEGS * (__u64)tp->mss_cache)
		return;
	event->answers = 1;
	event->answer_ns = ns;
	event->answered_late = ns >= ANSWER_LATE_NS;
}

static __always_inline void close_from_tcp(struct close_event *event, const struct sock *sk,
					   const struct tcp_sock *tp, int oldstate)
{
	event->bytes_sent = tp->bytes_acked;
	event->bytes_received = tp->bytes_received;
	event->had_data = moved_data(event);
	event->service_port = service_port(event);
	event->segs_out = tp->segs_out;
	event->segs_in = tp->segs_in;
	event->retransmits = tp->total_retrans;
	close_answer(event, tp);
	event->srtt_us = tp->srtt_us >> 3;
	event->min_rtt_us = tp->rtt_min.s[0].v == ~0U ? 0 : tp->rtt_min.s[0].v;
	event->last_state = oldstate;
	event->error = sk->sk_err;
	event->ending = ending_of(oldstate, sk->sk_err);
	if (!event->closer && event->ending == ABI_ENDING_RESET_SENT)
		event->closer = ABI_CLOSER_LOCAL;
	if (!event->closer && event->ending == ABI_ENDING_RESET_RECEIVED)
		event->closer = ABI_CLOSER_REMOTE;
}

#endif
