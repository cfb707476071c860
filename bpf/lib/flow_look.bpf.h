/* SPDX-License-Identifier: GPL-2.0-only */
/* What one look at a TCP socket tells, read from a copy of it. */
#ifndef CULPRIT_FLOW_LOOK_BPF_H
#define CULPRIT_FLOW_LOOK_BPF_H

#include "connection.h"
#include "flow.bpf.h"
#include "flow.h"

#define COPY_MAX 4096
#define QUESTION_NS 30000000000ULL

/* A tcp_sock as it lies in the kernel, read in bulk: so many fields one by one would cost several
 * times as much. One look runs at a time. */
static char copy[COPY_MAX] __attribute__((aligned(8)));

#define AT(field) bpf_core_field_offset(struct tcp_sock, field)

static __always_inline __u32 lower(__u32 a, __u32 b)
{
	return a < b ? a : b;
}

static __always_inline __u32 upper(__u32 a, __u32 b)
{
	return a > b ? a : b;
}

/* The part that tells whether the socket is idle, whatever its order in this kernel: of most
 * sockets nothing else is read, and what is read is seldom in a cache. */
static __always_inline const struct tcp_sock *copy_part(const void *sk)
{
	__u32 received = AT(inet_conn.icsk_ack.lrcvtime);
	__u32 begin = lower(lower(AT(rcv_nxt), AT(copied_seq)), lower(AT(write_seq), AT(snd_una)));
	__u32 end = upper(upper(AT(rcv_nxt), AT(copied_seq)), upper(AT(write_seq), AT(snd_una)));

	begin = lower(lower(begin, AT(snd_wl1)), lower(AT(lsndtime), AT(rcv_tstamp)));
	end = upper(upper(end, AT(snd_wl1)), upper(AT(lsndtime), AT(rcv_tstamp)));
	end += sizeof(__u32);
	if (end > COPY_MAX || received > COPY_MAX - sizeof(__u32) ||
	    bpf_probe_read_kernel(copy + begin, end - begin, sk + begin) ||
	    bpf_probe_read_kernel(copy + received, sizeof(__u32), sk + received))
		return NULL;
	return (const void *)copy;
}

static __always_inline bool copy_whole(const void *sk)
{
	__u32 size = bpf_core_type_size(struct tcp_sock);

	return size <= COPY_MAX && !bpf_probe_read_kernel(copy, size, sk);
}

static __always_inline bool is_after(__u32 a, __u32 b)
{
	return (__s32)(a - b) > 0;
}

/* Did the peer's last data come with or after its acknowledgement of ours? snd_wl1 is where the
 * segment began that acknowledged something last (net/ipv4/tcp_input.c: tcp_ack()). Times in ticks
 * cannot tell when the next question comes within a tick of the answer. */
static __always_inline bool peer_spoke_last(const struct tcp_sock *tp)
{
	return tp->rcv_nxt != tp->snd_wl1;
}

/* Does one side owe the other an answer? After a while that is how it stays. */
static __always_inline bool is_asked(const struct tcp_sock *tp, __u8 role, __u32 now)
{
	__u32 received = tp->inet_conn.icsk_ack.lrcvtime, sent = tp->lsndtime;
	bool peer = received == sent ? peer_spoke_last(tp) : is_after(received, sent);

	if ((role == ABI_ROLE_SERVER && !peer) || (role == ABI_ROLE_CLIENT && peer))
		return false;
	return now - (is_after(received, sent) ? received : sent) < QUESTION_NS / config.tick_ns;
}

/* Nothing happened since `then`, and nothing is under way. A FIN that the process has not taken is
 * one byte unread. */
static __always_inline bool is_idle(const struct tcp_sock *tp, __u8 role, __u32 then, __u32 now)
{
	if (is_after(tp->lsndtime, then) || is_after(tp->rcv_tstamp, then) ||
	    is_after(tp->inet_conn.icsk_ack.lrcvtime, then))
		return false;
	return tp->write_seq == tp->snd_una && tp->rcv_nxt - tp->copied_seq <= 1 &&
	       !is_asked(tp, role, now);
}

/* net/ipv4/tcp.c: tcp_get_info_chrono_stats(). */
static __always_inline void chrono_from_tcp(struct flow_look *look, const struct tcp_sock *tp)
{
	__u8 type = BPF_CORE_READ_BITFIELD(tp, chrono_type);
	__u32 running = look->now_ticks - tp->chrono_start;

	look->busy_ticks = tp->chrono_stat[0] + (type == 1 ? running : 0);
	look->rwnd_limited_ticks = tp->chrono_stat[1] + (type == 2 ? running : 0);
	look->sndbuf_limited_ticks = tp->chrono_stat[2] + (type == 3 ? running : 0);
}

static __always_inline void counts_from_tcp(struct flow_look *look, const struct tcp_sock *tp)
{
	look->bytes_sent = tp->bytes_acked;
	look->bytes_received = tp->bytes_received;
	look->segs_out = tp->segs_out;
	look->segs_in = tp->segs_in;
	look->data_segs_out = tp->data_segs_out;
	look->data_segs_in = tp->data_segs_in;
	look->retransmits = tp->total_retrans;
	look->spurious = tp->dsack_dups;
	look->reordered = tp->reord_seen;
	look->out_of_order = tp->rcv_ooopack;
	look->sent_ticks = tp->lsndtime;
	look->received_ticks = tp->inet_conn.icsk_ack.lrcvtime;
	look->heard_ticks = tp->rcv_tstamp;
	look->peer_spoke_last = peer_spoke_last(tp);
	look->timeouts = tp->inet_conn.icsk_retransmits;
	look->probes = tp->inet_conn.icsk_probes_out;
	look->srtt_us = tp->srtt_us >> 3;
	look->rttvar_us = tp->mdev_us >> 2;
	look->min_rtt_us = tp->rtt_min.s[0].v == ~0U ? 0 : tp->rtt_min.s[0].v;
}

/* include/net/tcp.h: tcp_receive_window(); net/ipv4/tcp_output.c: tcp_minshall_check(). */
static __always_inline void queues_from_copy(struct flow_look *look, const struct tcp_sock *tp)
{
	const struct sock *sk = &tp->inet_conn.icsk_inet.sk;
	__s32 window = tp->rcv_wup + tp->rcv_wnd - tp->rcv_nxt;
	__u8 locks = BPF_CORE_READ_BITFIELD(sk, sk_userlocks);

	look->in_flight = tp->snd_nxt - tp->snd_una;
	look->not_sent = tp->write_seq - tp->snd_nxt;
	look->unread = tp->rcv_nxt - tp->copied_seq;
	look->packets_out = tp->packets_out;
	look->small_in_flight =
		is_after(tp->snd_sml, tp->snd_una) && !is_after(tp->snd_sml, tp->snd_nxt);
	look->nagle = BPF_CORE_READ_BITFIELD(tp, nonagle) == 0;
	look->app_limited = tp->app_limited != 0;
	look->snd_wnd = tp->snd_wnd;
	look->rcv_wnd = window > 0 ? window : 0;
	look->cwnd = tp->snd_cwnd;
	look->mss = tp->mss_cache;
	look->rcv_mss = tp->inet_conn.icsk_ack.rcv_mss;
	look->sndbuf = sk->sk_sndbuf;
	look->rcvbuf = sk->sk_rcvbuf;
	look->sndbuf_locked = !!(locks & SOCK_SNDBUF_LOCK);
	look->rcvbuf_locked = !!(locks & SOCK_RCVBUF_LOCK);
}

#endif
