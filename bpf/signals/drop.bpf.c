// SPDX-License-Identifier: GPL-2.0-only
/* Which packets does this host drop, at which place in the kernel, for which reason, and whose were
 * they? */
#include "vmlinux.h"

#include "datagram.bpf.h"
#include "drop.h"
#include "filter.bpf.h"
#include "path.bpf.h"
#include "vlan.bpf.h"

char LICENSE[] SEC("license") = "GPL";

enum {
	HOOK_KFREE = 0
};

#define DROP_KEYS_MAX 1024

/* Exact totals. Full: new keys are added to the all-zero key, which userspace inserts at start; the
 * sum stays exact. 1024 keys are 10 MB at 255 CPUs. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, DROP_KEYS_MAX);
	__type(key, struct drop_key);
	__type(value, struct drop_value);
} drops SEC(".maps");

/* The first drop of its kind on this CPU. A function of its own, as all that is rare: what it
 * clears costs the others nothing. */
static __noinline struct drop_value *total_new(struct abi_ledger *ledger,
					       const struct drop_key *key)
{
	struct drop_value *value, fresh = {};
	struct drop_key other = {};

	/* another CPU may have been faster: only a key that is not there afterwards was refused */
	bpf_map_update_elem(&drops, key, &fresh, BPF_NOEXIST);
	value = bpf_map_lookup_elem(&drops, key);
	if (value)
		return value;
	count_one(&ledger->map_full);
	return bpf_map_lookup_elem(&drops, &other);
}

static __always_inline bool may_sample(struct drop_value *value)
{
	__u64 interval;

	if (!config.samples)
		return true;
	interval = rate_interval();
	if (value->interval != interval) {
		value->interval = interval;
		value->samples = 0;
	}
	if (value->samples >= config.samples)
		return false;
	value->samples++;
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

static __always_inline void send_stack(void *ctx, const struct drop_event *event)
{
	struct abi_ledger *ledger = ledger_of(ABI_DROP_STACK);
	struct drop_stack *record;
	long bytes;

	if (!ledger)
		return;
	count_one(&ledger->seen);
	record = record_begin(ledger, ABI_DROP_STACK, bpf_ktime_get_boot_ns(), sizeof(*record));
	if (!record)
		return;
	record->flow = event->flow;
	record->owner = event->owner;
	record->location = event->location;
	record->reason = event->reason;
	record->pad = 0;
	/* what the walk does not reach is cleared by the helper */
	bytes = bpf_get_stack(ctx, record->stack, sizeof(record->stack), 0);
	if (bytes < 0)
		record->stack[0] = 0;
	record_send(record, sizeof(*record));
}

/* The caller's stack and this one together are all that kernels before 6.13 give to a program
 * ("combined stack size of 2 calls is 544. Too large"), so what can be had anew is not handed over.
 */
static __noinline int sample(__u64 *ctx, struct sock *sk, const struct drop_key *key,
			     struct drop_value *value)
{
	/* the verifier pays for each load of a pointer on each path: before the paths part */
	const struct sk_buff *skb = (const struct sk_buff *)ctx[0];
	const struct net_device *dev = skb->dev;
	struct abi_ledger *ledger = ledger_of(ABI_DROP);
	struct drop_event event = {};
	struct packet packet = {};

	if (!ledger)
		return 0;
	event.flow.netns = key->netns;
	event.flow.ifindex = key->ifindex;
	if (!sk && !key->ifindex && key->netns)
		owner_from_current(&event.owner, ABI_OWNER_READER); /* netns_of_reader() */
	else
		owner_from_packet_sock(&event.owner, sk, true);
	flow_from_skb(&event.flow, &packet, skb);
	if (!record_matches(ledger, &event.flow, &event.owner))
		return 0;
	if (config.filters && !may_sample(value)) {
		count_one(&ledger->limited);
		return 0;
	}
	event.location = key->location;
	event.reason = key->reason;
	event.ethertype = key->ethertype;
	event.bytes = skb->len;
	event.seq = packet.seq;
	event.tcp_flags = packet.tcp_flags;
	event.icmp_type = packet.icmp_type;
	event.icmp_code = packet.icmp_code;
	event.path = path_of(skb);
	event.tagged = came_tagged(skb, dev);
	event.vlan = event.tagged && skb->vlan_proto ? skb->vlan_tci & VLAN_ID_MASK : 0;
	if (wanted(ABI_DROP))
		record_put(ledger, &event.head, ABI_DROP, sizeof(event));
	else
		count_one(&ledger->limited);
	if (wanted(ABI_DROP_STACK))
		send_stack(ctx, &event);
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
	struct sock *sk = sock_of_skb(skb);
	struct drop_value *value;

	if (!ledger)
		return 0;
	add_alone(&ledger->seen, 1);
	if (config.args[HOOK_KFREE] > 2)
		key.reason = (__u32)ctx[2];
	if (config.args[HOOK_KFREE] > 3 && ctx[3])
		sk = (struct sock *)ctx[3];
	protocol_read(&key, skb);
	place_of_device(skb->dev, &key.netns, &key.ifindex);
	if (!key.netns)
		key.netns = netns_without_device(skb, sk, key.protocol);
	if (!place_matches(key.netns, key.ifindex)) {
		count_one(&ledger->filtered);
		return 0;
	}
	key.ethertype = bpf_ntohs(skb->protocol);
	value = bpf_map_lookup_elem(&drops, &key);
	if (!value)
		value = total_new(ledger, &key);
	if (!value)
		return 0;
	add_alone(&value->packets, 1);
	add_alone(&value->bytes, skb->len);
	/* without a filter the limit comes first: a storm must not pay for records nobody gets */
	if ((wanted(ABI_DROP) || wanted(ABI_DROP_STACK)) && (config.filters || may_sample(value)))
		sample(ctx, sk, &key, value);
	else
		add_alone(&ledger->limited, 1);
	return 0;
}
