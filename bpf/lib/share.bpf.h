/* SPDX-License-Identifier: GPL-2.0-only */
/* Who has how much of an egress queue: the map of shares, and how a packet is added. */
#ifndef CULPRIT_SHARE_BPF_H
#define CULPRIT_SHARE_BPF_H

#include "datagram.bpf.h"
#include "qdisc.h"

#define SHARES_MAX 4096
#define LONGEST_WAIT_NS 60000000000ULL /* more is no time of that clock */

/* (queue, owner or flow) -> its part of the queue. Inserted at dequeue, deleted by userspace at
 * each tick. Full: added to the rest of its queue, which is inserted with the queue and stays.
 * Shared by the CPUs, atomic adds; the largest wait may miss one of two at the same moment. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SHARES_MAX);
	__type(key, struct qdisc_share_key);
	__type(value, struct qdisc_share_value);
} shares SEC(".maps");

/* One zeroed value to insert from. Never written. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct qdisc_share_value);
} blank_share SEC(".maps");

static __always_inline struct qdisc_share_value *share_at(const struct qdisc_share_key *key)
{
	struct qdisc_share_value *value = bpf_map_lookup_elem(&shares, key);
	__u32 zero = 0;
	void *fresh;

	if (value)
		return value;
	fresh = bpf_map_lookup_elem(&blank_share, &zero);
	if (!fresh)
		return NULL;
	bpf_map_update_elem(&shares, key, fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&shares, key);
}

static __always_inline void rest_of(struct qdisc_share_key *rest, const struct qdisc_key *queue)
{
	__builtin_memset(rest, 0, sizeof(*rest));
	rest->netns = queue->netns;
	rest->ifindex = queue->ifindex;
	rest->handle = queue->handle;
	rest->parent = queue->parent;
}

/* How long ago TCP handed a packet over, for one that was not timed: a qdisc may have cut it out of
 * a large one (tbf). TCP leaves the time in the packet (net/ipv4/tcp_output.c:
 * __tcp_transmit_skb()), on the clock of bpf_ktime_get_ns(); 0 when it did not. */
static __always_inline __u64 wait_by_tcp(const struct sk_buff *skb, const struct sock *sk)
{
	__u64 sent = skb->tstamp, now;
	__u8 state;

	if (!sk || !sent)
		return 0;
	state = sk->__sk_common.skc_state;
	if (state == TCP_TIME_WAIT || state == TCP_NEW_SYN_RECV || sk->sk_protocol != IPPROTO_TCP)
		return 0;
	now = bpf_ktime_get_ns();
	return now > sent && now - sent < LONGEST_WAIT_NS ? now - sent : 0;
}

/* One that stands for so many, 0 for none but itself; waited so long, 0 when it was not timed. */
static __always_inline void share(const struct qdisc_key *queue, const struct sk_buff *skb,
				  struct sock *sk, __u64 stands_for, __u64 sojourn)
{
	struct qdisc_share_key key;
	struct qdisc_share_value *value;
	struct packet packet = {};
	struct abi_owner owner;

	rest_of(&key, queue);
	owner_from_packet_sock(&owner, sk, false);
	if (owner.tgid) {
		key.tgid = owner.tgid;
		key.start_ns = owner.start_ns;
	} else {
		flow_from_skb(&key.flow, &packet, skb);
		key.flow.netns = sk && key.flow.family ? netns_of_common(&sk->__sk_common) : 0;
	}
	value = share_at(&key);
	if (!value) {
		rest_of(&key, queue);
		value = share_at(&key);
	} else if (owner.tgid && !value->owner.tgid) {
		value->owner = owner;
	}
	if (!value)
		return;
	__sync_fetch_and_add(&value->packets, stands_for);
	__sync_fetch_and_add(&value->bytes, stands_for * skb->len);
	if (!sojourn)
		return;
	count_one(&value->timed);
	__sync_fetch_and_add(&value->sojourn_ns, sojourn);
	if (sojourn > value->sojourn_max_ns)
		value->sojourn_max_ns = sojourn;
}

#endif
