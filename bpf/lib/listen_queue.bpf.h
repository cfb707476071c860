/* SPDX-License-Identifier: GPL-2.0-only */
/* What a listening socket is found by, and what a look at its queues tells. */
#ifndef CULPRIT_LISTEN_QUEUE_BPF_H
#define CULPRIT_LISTEN_QUEUE_BPF_H

#include "flow.bpf.h"
#include "listen.h"

static __always_inline void key_of_flow(struct listen_key *key, const struct abi_flow *flow)
{
	__builtin_memcpy(key->addr, flow->local, sizeof(key->addr));
	key->netns = flow->netns;
	key->port = flow->local_port;
	key->family = flow->family;
}

/* The family is the socket's own: a listener on [::] also has the IPv4 connections. */
static __always_inline void key_of_child(struct listen_key *key, const struct sock_common *skc)
{
	key->netns = netns_of_common(skc);
	key->port = skc->skc_num;
	key->family = skc->skc_family;
	if (key->family == AF_INET6) {
		__u32 *addr = (__u32 *)key->addr;

		for (int i = 0; i < 4; i++)
			addr[i] = skc->skc_v6_rcv_saddr.in6_u.u6_addr32[i];
	} else {
		addr4_set(key->addr, skc->skc_rcv_saddr);
	}
}

/* Reads a listener by the address it was last seen at. Probe reads: a socket that was freed in the
 * meantime gives numbers or nothing, never a fault. False: there is no such listener any more. */
static __always_inline bool queues_read(struct listen_value *value, const struct sock *sk)
{
	const struct inet_connection_sock *icsk = (const void *)sk;
	struct net *net = BPF_CORE_READ(sk, __sk_common.skc_net.net);
	__u16 port = BPF_CORE_READ(sk, __sk_common.skc_num);

	if (BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_LISTEN ||
	    BPF_CORE_READ(net, ns.inum) != value->flow.netns ||
	    (value->flow.local_port && port != value->flow.local_port))
		return false;
	value->flow.local_port = port;
	value->drops = BPF_CORE_READ(sk, sk_drops.counter);
	value->depth = BPF_CORE_READ(sk, sk_ack_backlog);
	value->limit = BPF_CORE_READ(sk, sk_max_ack_backlog);
	value->syn_depth = BPF_CORE_READ(icsk, icsk_accept_queue.qlen.counter);
	value->defer_accept = BPF_CORE_READ(icsk, icsk_accept_queue.rskq_defer_accept);
	value->somaxconn = BPF_CORE_READ(net, core.sysctl_somaxconn);
	value->max_syn_backlog = BPF_CORE_READ(net, ipv4.sysctl_max_syn_backlog);
	/* an int before 5.15, a byte since */
	value->syncookies = BPF_CORE_READ_BITFIELD_PROBED(net, ipv4.sysctl_tcp_syncookies);
	return true;
}

#endif
