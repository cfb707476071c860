/* SPDX-License-Identifier: GPL-2.0-only */
/* What a socket looks like at this moment: queues, buffers, timers, ages. */
#ifndef CULPRIT_SOCKET_BPF_H
#define CULPRIT_SOCKET_BPF_H

#include "held.bpf.h"
#include "learn.bpf.h"
#include "socket.h"

static __always_inline __u64 inode_of(const struct sock *sk)
{
	const struct sock___v6_16 *young = (const void *)sk;
	struct socket *socket;
	struct inode *inode;
	struct file *file;

	if (bpf_core_field_exists(young->sk_ino))
		return young->sk_ino;
	socket = sk->sk_socket;
	file = socket ? socket->file : NULL;
	inode = file ? file->f_inode : NULL;
	return inode ? inode->i_ino : 0;
}

/* net/core/sock.c: sk_drops_read(). */
static __always_inline __u32 drops_of(const struct sock *sk)
{
	const struct sock___v6_18 *young = (const void *)sk;
	struct numa_drop_counters___v6_18 *apart;

	if (!bpf_core_field_exists(young->sk_drop_counters))
		return sk->sk_drops.counter;
	apart = young->sk_drop_counters;
	return apart ? apart->drops0.counter + apart->drops1.counter : sk->sk_drops.counter;
}

static __always_inline void basics_from_sock(struct socket_info *info, const struct sock *sk)
{
	info->owner.cgroup_id = cgroup_of(sk);
	info->inode = inode_of(sk);
	info->drops = drops_of(sk);
	info->rmem_alloc = sk->sk_backlog.rmem_alloc.counter;
	info->rcvbuf = sk->sk_rcvbuf;
	info->wmem_queued = sk->sk_wmem_queued;
	info->sndbuf = sk->sk_sndbuf;
}

static __always_inline void timer_set(struct socket_info *info, __u32 timer, __u64 expires)
{
	__s64 left = expires - bpf_jiffies64();

	info->timer = timer;
	info->timer_ns = left > 0 ? left * config.tick_ns : 0;
}

static __always_inline __u64 retransmit_at(const struct inet_connection_sock *icsk)
{
	const struct sock___v7_0 *young = (const void *)icsk;

	if (bpf_core_field_exists(young->tcp_retransmit_timer))
		return young->tcp_retransmit_timer.expires;
	return icsk->icsk_retransmit_timer.expires;
}

/* 0 when none is pending: a pending timer is in a list. */
static __always_inline __u64 keepalive_at(const struct inet_connection_sock *icsk)
{
	const struct inet_connection_sock___v7_0 *young = (const void *)icsk;

	if (bpf_core_field_exists(young->icsk_keepalive_timer))
		return young->icsk_keepalive_timer.entry.pprev ? young->icsk_keepalive_timer.expires
							       : 0;
	return icsk->icsk_inet.sk.sk_timer.entry.pprev ? icsk->icsk_inet.sk.sk_timer.expires : 0;
}

/* As net/ipv4/inet_diag.c: inet_sk_diag_fill() decides. */
static __always_inline void timer_from_tcp(struct socket_info *info,
					   const struct inet_connection_sock *icsk)
{
	__u64 keepalive;

	switch (icsk->icsk_pending) {
	case 0:
		keepalive = keepalive_at(icsk);
		if (keepalive)
			timer_set(info, ABI_TIMER_KEEPALIVE, keepalive);
		break;
	case ICSK_TIME_PROBE0:
		timer_set(info, ABI_TIMER_PROBE, retransmit_at(icsk));
		break;
	default:
		timer_set(info, ABI_TIMER_RETRANSMIT, retransmit_at(icsk));
	}
}

static __always_inline __u64 since(__u64 then)
{
	return then ? bpf_ktime_get_boot_ns() - then : 0;
}

/* What the hooks of the connection signal remember of this socket; false when they never met it. */
static __always_inline bool life_from_owners(struct socket_info *info, const struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct abi_socket *known = bpf_map_lookup_elem(&owners, &key);

	if (!known)
		return false;
	info->owner = known->owner;
	info->role = known->role;
	info->established_ns = since(known->established_ns);
	if (info->state == TCP_ESTABLISHED)
		info->state_ns = info->established_ns;
	else
		info->state_ns = since(known->closing_ns ?: known->opened_ns);
	return true;
}

/* Its own owner, or what a connection inherits from the listener behind its port. */
static __always_inline void life_of_tcp(struct socket_info *info, const struct sock *sk)
{
	__u64 cgroup_id = info->owner.cgroup_id;
	struct abi_listener_key port = {
		.netns = info->flow.netns,
		.port = info->flow.local_port,
	};
	bool known;

	if (config.holders && info->state != TCP_LISTEN)
		known = owner_from_holders(&info->owner, sk);
	else
		known = life_from_owners(info, sk);
	if (!known && info->state != TCP_LISTEN && info->state != TCP_SYN_SENT)
		inherit(&info->owner, info->flow.netns, info->flow.local_port);
	/* older than culprit: the listener may not pass the user's filter, so say it here */
	if (!info->role && info->state != TCP_LISTEN && bpf_map_lookup_elem(&listeners, &port))
		info->role = ABI_ROLE_SERVER;
	info->owner.cgroup_id = cgroup_id;
}

static __always_inline void queues_from_listener(struct socket_info *info,
						 const struct tcp_sock *tp)
{
	const struct inet_connection_sock *icsk = &tp->inet_conn;
	struct abi_listener_key key = {
		.netns = info->flow.netns,
		.port = info->flow.local_port,
	};
	struct abi_listener *listener = bpf_map_lookup_elem(&listeners, &key);

	info->role = ABI_ROLE_LISTENER;
	info->shared = listener && listener->shared;
	info->accept_queue = icsk->icsk_inet.sk.sk_ack_backlog;
	info->accept_limit = icsk->icsk_inet.sk.sk_max_ack_backlog;
	info->syn_queue = icsk->icsk_accept_queue.qlen.counter;
}

/* A FIN takes a sequence number and is no byte to read. */
static __always_inline __u32 unread_bytes(const struct tcp_sock *tp, __u32 state)
{
	bool fin = state == TCP_CLOSE_WAIT || state == TCP_LAST_ACK || state == TCP_CLOSING;
	__s32 unread = tp->rcv_nxt - tp->copied_seq;

	return unread > fin ? unread - fin : 0;
}

/* Nor is a SYN or FIN that waits for its acknowledgement a byte to send. */
static __always_inline __u32 unacked_bytes(const struct tcp_sock *tp, __u32 state)
{
	bool flag = state == TCP_SYN_SENT || state == TCP_SYN_RECV || state == TCP_FIN_WAIT1 ||
		    state == TCP_LAST_ACK || state == TCP_CLOSING;
	__s32 unacked = tp->write_seq - tp->snd_una;

	return unacked > flag ? unacked - flag : 0;
}

static __always_inline void queues_from_tcp(struct socket_info *info, const struct tcp_sock *tp)
{
	const struct inet_connection_sock *icsk = &tp->inet_conn;

	info->recv_queue = unread_bytes(tp, info->state);
	info->send_queue = unacked_bytes(tp, info->state);
	if (tp->rcv_tstamp)
		info->quiet_ns = (__u64)((__u32)bpf_jiffies64() - tp->rcv_tstamp) * config.tick_ns;
	info->bytes_sent = tp->bytes_acked;
	info->bytes_received = tp->bytes_received;
	info->retransmits = tp->total_retrans;
	info->srtt_us = tp->srtt_us >> 3;
	info->min_rtt_us = tp->rtt_min.s[0].v == ~0U ? 0 : tp->rtt_min.s[0].v;
	info->cwnd = tp->snd_cwnd;
	info->segs_out = tp->segs_out;
	info->segs_in = tp->segs_in;
	info->unanswered = icsk->icsk_retransmits;
	info->probes = icsk->icsk_probes_out;
	info->backoff = icsk->icsk_backoff;
	timer_from_tcp(info, icsk);
}

#endif
