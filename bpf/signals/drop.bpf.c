// SPDX-License-Identifier: GPL-2.0-only
/* Which packets does this host drop, at which place in the kernel, for which reason, and whose were
 * they? */
#include "vmlinux.h"

#include "datagram.bpf.h"
#include "drop.h"
#include "drop_table.bpf.h"
#include "filter.bpf.h"
#include "path.bpf.h"
#include "tick.bpf.h"
#include "vlan.bpf.h"

char LICENSE[] SEC("license") = "GPL";

enum {
	HOOK_KFREE = 0
};

static __always_inline bool may_sample(struct drop_slot *slot)
{
	__u64 interval;

	if (!config.samples)
		return true;
	interval = rate_interval();
	if (slot->interval != interval) {
		slot->interval = interval;
		slot->samples = 0;
	}
	if (slot->samples >= config.samples)
		return false;
	slot->samples++;
	return true;
}

/* Straight into the key: the stack is short. */
static __always_inline void protocol_read(struct drop_key *key, const struct sk_buff *skb)
{
	__u16 offset = skb->network_header;

	if (!config.probe_reads || !offset || offset == 0xffff)
		return;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		bpf_probe_read_kernel(&key->protocol, 1, skb->head + offset + 9);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		bpf_probe_read_kernel(&key->protocol, 1, skb->head + offset + 6);
}

/* Where a datagram went to, 0 when it is none. */
static __always_inline __u16 udp_port_of(const struct sk_buff *skb, __u8 protocol)
{
	__u16 offset = skb->transport_header;
	__be16 port = 0;

	if (protocol != IPPROTO_UDP || !offset || offset == 0xffff)
		return 0;
	/* struct udphdr: source, dest */
	bpf_probe_read_kernel(&port, sizeof(port), skb->head + offset + sizeof(port));
	return bpf_ntohs(port);
}

/* Of a packet that is on no device: its socket tells, or the call that reads it. */
static __noinline __u32 netns_without_device(const struct sk_buff *skb, struct sock *sk,
					     __u8 protocol)
{
	if (sk)
		return netns_of_common(&sk->__sk_common);
	return config.probe_reads ? netns_of_reader(udp_port_of(skb, protocol)) : 0;
}

/* The verifier pays for each load of a pointer on each path, so they come before the paths part. */
struct dropped {
	const struct sk_buff *skb;
	const struct net_device *dev;
	struct sock *sk;
};

/* Writes every byte of flow and owner. */
static __always_inline void describe(struct abi_flow *flow, struct abi_owner *owner,
				     struct packet *packet, const struct dropped *dropped,
				     const struct drop_key *key)
{
	flow_clear(flow);
	flow->netns = key->netns;
	flow->ifindex = key->ifindex;
	if (!dropped->sk && !key->ifindex && key->netns)
		owner_from_current(owner, ABI_OWNER_READER); /* netns_of_reader() */
	else
		owner_from_packet_sock(owner, dropped->sk, true);
	flow_from_skb(flow, packet, dropped->skb);
}

static __always_inline void send_stack(void *ctx, const struct dropped *dropped,
				       const struct drop_key *key)
{
	struct abi_ledger *ledger = ledger_of(ABI_DROP_STACK);
	struct packet packet = {};
	struct drop_stack *record;
	long bytes;

	if (!ledger)
		return;
	count_one(&ledger->seen);
	record = record_begin(ledger, ABI_DROP_STACK, tick_time(), sizeof(*record));
	if (!record)
		return;
	describe(&record->flow, &record->owner, &packet, dropped, key);
	record->location = key->location;
	record->reason = key->reason;
	record->pad = 0;
	/* what the walk does not reach is cleared by the helper */
	bytes = bpf_get_stack(ctx, record->stack, sizeof(record->stack), 0);
	if (bytes < 0)
		record->stack[0] = 0;
	record_send(record, sizeof(*record));
}

static __always_inline void send(struct abi_ledger *ledger, const struct dropped *dropped,
				 const struct drop_key *key)
{
	const struct sk_buff *skb = dropped->skb;
	struct packet packet = {};
	struct drop_event *event;

	event = record_begin(ledger, ABI_DROP, tick_time(), sizeof(*event));
	if (!event)
		return;
	describe(&event->flow, &event->owner, &packet, dropped, key);
	event->location = key->location;
	event->bytes = skb->len;
	event->reason = key->reason;
	event->seq = packet.seq;
	event->ethertype = key->ethertype;
	event->tcp_flags = packet.tcp_flags;
	event->path = path_of(skb);
	event->tagged = came_tagged(skb, dropped->dev);
	event->vlan = event->tagged && skb->vlan_proto ? skb->vlan_tci & VLAN_ID_MASK : 0;
	event->icmp_type = packet.icmp_type;
	event->icmp_code = packet.icmp_code;
	__builtin_memset(event->pad, 0, sizeof(event->pad));
	record_send(event, sizeof(*event));
}

/* Asked before there is room in the ring: what the user's filter excludes leaves no hole there. The
 * limit is asked here, so that it counts only what passes. */
static __always_inline bool passes(struct abi_ledger *ledger, const struct dropped *dropped,
				   const struct drop_key *key, struct drop_slot *slot)
{
	struct packet packet = {};
	struct abi_owner owner;
	struct abi_flow flow;

	if (!config.filters)
		return true;
	describe(&flow, &owner, &packet, dropped, key);
	if (!record_matches(ledger, &flow, &owner))
		return false;
	if (may_sample(slot))
		return true;
	count_one(&ledger->limited);
	return false;
}

static __noinline int sample(void *ctx, struct abi_ledger *ledger, const struct dropped *dropped,
			     const struct drop_key *key, struct drop_slot *slot)
{
	if (!passes(ledger, dropped, key, slot))
		return 0;
	if (wanted(ABI_DROP))
		send(ledger, dropped, key);
	else
		count_one(&ledger->limited);
	if (wanted(ABI_DROP_STACK))
		send_stack(ctx, dropped, key);
	return 0;
}

/* net/core/skbuff.c: kfree_skb_reason(), sk_skb_reason_drop(). Arguments grew: reason in 5.17
 * (c504e5c2f964 ("net: skb: introduce kfree_skb_reason()")), receiving socket in 6.11. */
SEC("?tp_btf/kfree_skb")
int BPF_PROG(drop_skb, const struct sk_buff *skb, void *location)
{
	struct abi_ledger *ledger = ledger_of(ABI_DROP);
	struct drop_key key = { .location = (__u64)location };
	/* the socket the packet belonged to (sent by us), or the one it was for (since 6.11) */
	struct dropped dropped = { .skb = skb, .dev = skb->dev, .sk = sock_of_skb(skb) };
	struct drop_slot *slot;

	if (!ledger)
		return 0;
	add_alone(&ledger->seen, 1);
	if (config.args[HOOK_KFREE] > 2)
		key.reason = (__u32)ctx[2];
	if (config.args[HOOK_KFREE] > 3 && ctx[3])
		dropped.sk = (struct sock *)ctx[3];
	protocol_read(&key, skb);
	place_of_device(skb->dev, &key.netns, &key.ifindex);
	if (!key.netns)
		key.netns = netns_without_device(skb, dropped.sk, key.protocol);
	if (!place_matches(key.netns, key.ifindex)) {
		count_one(&ledger->filtered);
		return 0;
	}
	key.ethertype = bpf_ntohs(skb->protocol);
	slot = drop_slot_of(ledger, &key);
	if (!slot)
		return 0;
	add_alone(&slot->packets, 1);
	add_alone(&slot->bytes, skb->len);
	/* without a filter the limit comes first: a storm must not pay for records nobody gets */
	if ((wanted(ABI_DROP) || wanted(ABI_DROP_STACK)) && (config.filters || may_sample(slot)))
		sample(ctx, ledger, &dropped, &key, slot);
	else
		add_alone(&ledger->limited, 1);
	return 0;
}
