// SPDX-License-Identifier: GPL-2.0-only
/* How long do packets wait in this host's egress queues, and how full are those? */
#include "vmlinux.h"

#include "datagram.bpf.h"
#include "filter.bpf.h"
#include "share.bpf.h"
#include "turn.bpf.h"

char LICENSE[] SEC("license") = "GPL";

#define QUEUES_MAX 1024
#define STAMPS 1024 /* power of two */

/* (netns, device, handle, parent) -> sampled facts. Inserted at dequeue, never deleted. Full: the
 * queue is not reported, counted in map_full. Shared by the CPUs, atomic adds: few packets come
 * here. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, QUEUES_MAX);
	__type(key, struct qdisc_key);
	__type(value, struct qdisc_value);
} queues SEC(".maps");

/* One zeroed value to insert from: too large for a program's stack. Never written. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct qdisc_value);
} blank SEC(".maps");

/* Packets under way, direct mapped by address. A slot overwritten by another packet, or never
 * looked at again (only the first packet of a bulk dequeue passes the hook), is a sample not taken;
 * the next enqueue at that address clears it. */
struct stamp {
	__u64 skb;
	__u64 when_ns;
	__u64 bytes; /* a qdisc may cut a packet and free it (tbf): its address may come again as
			that of a part, which is shorter */
};
static struct stamp stamps[STAMPS];

/* Slots with a stamp in them: all that most packets look at. */
static __u8 stamped[STAMPS];

static __always_inline __u32 stamp_of(const struct sk_buff *skb)
{
	__u64 address = (__u64)skb;

	return ((address >> 8) ^ (address >> 18)) & (STAMPS - 1);
}

/* When the packet was enqueued, 0 when it was not timed. */
static __always_inline __u64 stamp_take(__u32 at, const struct sk_buff *skb)
{
	if (stamps[at].skb != (__u64)skb)
		return 0;
	stamped[at] = 0;
	return stamps[at].bytes == skb->len ? stamps[at].when_ns : 0;
}

/* A packet goes into a queue. */
static __always_inline int stamp_put(const struct sk_buff *skb)
{
	__u32 at = stamp_of(skb);

	if (stamped[at] && stamps[at].skb == (__u64)skb)
		stamped[at] = 0;
	if (!turn_of(TURN_ENQUEUE))
		return 0;
	stamps[at].when_ns = bpf_ktime_get_boot_ns();
	stamps[at].bytes = skb->len;
	stamps[at].skb = (__u64)skb;
	stamped[at] = 1;
	return 0;
}

/* Fires after a successful enqueue to a root qdisc (net/core/dev.c: dev_qdisc_enqueue()); not when
 * an empty queue is bypassed, and not in 5.10. */
SEC("?tp_btf/qdisc_enqueue")
int BPF_PROG(qdisc_enqueued, struct Qdisc *qdisc, const struct netdev_queue *txq,
	     struct sk_buff *skb)
{
	return stamp_put(skb);
}

/* For 5.10: right before the packet is given to the root qdisc (net/core/dev.c:
 * __dev_queue_xmit()), also when that is bypassed or has no queue. Most virtual devices have none.
 */
SEC("?tp_btf/net_dev_queue")
int BPF_PROG(qdisc_offered, struct sk_buff *skb)
{
	struct net_device *dev = skb->dev;
	struct Qdisc *qdisc = dev ? dev->qdisc : NULL;

	return qdisc && qdisc->enqueue ? stamp_put(skb) : 0;
}

static __always_inline __u32 slot_of(__u64 sojourn_ns)
{
	__u64 us = sojourn_ns / 1000;
	__u32 slot = 0;

	for (__u32 i = 0; i < ABI_HIST_SLOTS - 1; i++) {
		if (us >> i == 0)
			break;
		slot = i + 1;
	}
	return slot & (ABI_HIST_SLOTS - 1);
}

static __always_inline struct qdisc_value *
queue_of(struct abi_ledger *ledger, const struct qdisc_key *key, const struct Qdisc *qdisc)
{
	struct qdisc_value *value = bpf_map_lookup_elem(&queues, key);
	const struct Qdisc_ops *ops = qdisc->ops;
	struct qdisc_share_key rest;
	__u32 zero = 0;
	void *fresh;

	if (value)
		return value;
	fresh = bpf_map_lookup_elem(&blank, &zero);
	if (!fresh || !ops)
		return NULL;
	bpf_map_update_elem(&queues, key, fresh, BPF_NOEXIST);
	value = bpf_map_lookup_elem(&queues, key);
	if (!value) {
		count_one(&ledger->map_full);
		return NULL;
	}
	comm_copy(value->id, ops->id);
	value->dropped = qdisc->qstats.drops;
	rest_of(&rest, key);
	share_at(&rest);
	return value;
}

static __always_inline void send(struct abi_ledger *ledger, const struct sk_buff *skb,
				 struct sock *sk, const struct qdisc_key *key,
				 const struct qdisc_value *value, const struct Qdisc *qdisc,
				 __u64 sojourn)
{
	struct qdisc_event event = {};
	struct packet packet = {};

	flow_from_skb(&event.flow, &packet, skb);
	event.flow.netns = key->netns;
	event.flow.ifindex = key->ifindex;
	owner_from_packet_sock(&event.owner, sk, false);
	if (!record_matches(ledger, &event.flow, &event.owner))
		return;
	event.sojourn_ns = sojourn;
	event.backlog_bytes = qdisc->qstats.backlog;
	event.backlog_pkts = qdisc->q.qlen;
	event.handle = key->handle;
	event.parent = key->parent;
	__builtin_memcpy(event.id, value->id, sizeof(event.id));
	record_put(ledger, &event.head, ABI_QDISC, sizeof(event));
}

static __always_inline void add_wait(struct qdisc_value *value, const struct Qdisc *qdisc,
				     __u64 sojourn)
{
	count_one(&value->timed);
	__sync_fetch_and_add(&value->sojourn_ns, sojourn);
	count_one(&value->slots[slot_of(sojourn)]);
	value->dropped = qdisc->qstats.drops;
	if (qdisc->qstats.backlog > value->backlog_bytes)
		value->backlog_bytes = qdisc->qstats.backlog;
	if (qdisc->q.qlen > value->backlog_pkts)
		value->backlog_pkts = qdisc->q.qlen;
}

/* A packet that was timed, stands for others, or both. */
static __noinline int look_at(const struct Qdisc *qdisc, const struct netdev_queue *txq,
			      const struct sk_buff *skb, __u64 since, __u32 stands_for)
{
	struct abi_ledger *ledger = ledger_of(ABI_QDISC);
	struct net_device *dev = txq->dev;
	/* before the paths part: the verifier pays for each load of a pointer on each path */
	struct sock *sk = sock_of_skb(skb);
	__u64 now = bpf_ktime_get_boot_ns(), interval;
	/* clocks of two CPUs may differ by a little */
	__u64 sojourn = !since ? wait_by_tcp(skb, sk) : now > since ? now - since : 0;
	struct qdisc_key key = { .handle = qdisc->handle, .parent = qdisc->parent };
	struct qdisc_value *value;
	struct net *net;

	net = dev ? dev->nd_net.net : NULL;
	if (!ledger || !net)
		return 0;
	key.netns = net->ns.inum;
	key.ifindex = dev->ifindex;
	if (!place_matches(key.netns, key.ifindex))
		return 0;
	value = queue_of(ledger, &key, qdisc);
	if (!value)
		return 0;
	share(&key, skb, sk, stands_for, sojourn);
	if (!sojourn)
		return 0;
	add_wait(value, qdisc, sojourn);
	if (sojourn < config.slow_ns)
		return 0;
	count_one(&value->slow);
	count_one(&ledger->seen);
	interval = rate_interval();
	if (!wanted(ABI_QDISC) || value->interval == interval) {
		count_one(&ledger->limited);
		return 0;
	}
	value->interval = interval;
	send(ledger, skb, sk, &key, value, qdisc, sojourn);
	return 0;
}

/* net/sched/sch_generic.c: dequeue_skb(). skb is NULL when the queue had nothing to give. */
SEC("?tp_btf/qdisc_dequeue")
int BPF_PROG(qdisc_dequeued, struct Qdisc *qdisc, const struct netdev_queue *txq, int packets,
	     struct sk_buff *skb)
{
	__u32 at = stamp_of(skb), stands_for;
	__u64 since;

	if (!skb)
		return 0;
	since = stamped[at] ? stamp_take(at, skb) : 0;
	stands_for = turn_of(TURN_DEQUEUE);
	if (since || stands_for)
		look_at(qdisc, txq, skb, since, stands_for);
	return 0;
}
