// SPDX-License-Identifier: GPL-2.0-only
/* Which addresses on the links do not resolve and who waits for them, and which change their
 * link-layer address? */
#include "vmlinux.h"

#include "filter.bpf.h"
#include "neighbour.bpf.h"
#include "owner.bpf.h"

char LICENSE[] SEC("license") = "GPL";

#define WAITING_MAX 1024
#define EVENTS_PER_INTERVAL 64

/* struct neighbour pointer -> what waits for it. Inserted with the first packet that waits, begun
 * anew when a queue begins anew, deleted when the address is known or has failed. Full: the least
 * recently used gives way, a failure has no owner then; more there are only in address scans. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WAITING_MAX);
	__type(key, __u64);
	__type(value, struct neigh_waiting);
} waiting SEC(".maps");

/* Events of an interval, written by all CPUs without a lock: a few more may pass. */
static __u64 sent_interval;
static __u64 sent;

/* Whoever is on the link can make these events as fast as he sends. */
static __always_inline bool may_send(void)
{
	__u64 interval = rate_interval();

	if (sent_interval != interval) {
		sent_interval = interval;
		sent = 0;
	}
	return sent++ < EVENTS_PER_INTERVAL;
}

static __always_inline bool is_wanted(const struct neigh_event *event)
{
	if (!place_matches(event->netns, event->ifindex))
		return false;
	if (!(config.filters & ABI_FILTER_ADDR))
		return true;
	return event->family == config.addr_family && addr_matches(event->address);
}

static __always_inline void send(struct abi_ledger *ledger, struct neigh_event *event)
{
	if (!is_wanted(event))
		count_one(&ledger->filtered);
	else if (!wanted(ABI_NEIGH) || !may_send())
		count_one(&ledger->limited);
	else
		record_put(ledger, &event->head, ABI_NEIGH, sizeof(*event));
}

/* A route by way of a gateway. The route is a tagged number, so it needs probe reads. */
static __always_inline bool is_routed(const struct sk_buff *skb)
{
	unsigned long dst = skb->_skb_refdst & SKB_DST_PTRMASK;

	if (!dst || !config.probe_reads)
		return false;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return BPF_CORE_READ((const struct rtable *)dst, rt_uses_gateway);
	return BPF_CORE_READ((const struct rt6_info *)dst, rt6i_flags) & RTF_GATEWAY;
}

static __always_inline struct neigh_waiting *waiting_of(__u64 key, bool begun)
{
	struct neigh_waiting *value = bpf_map_lookup_elem(&waiting, &key);
	struct neigh_waiting fresh = {};

	if (value && begun)
		return value;
	bpf_map_update_elem(&waiting, &key, &fresh, BPF_ANY);
	return bpf_map_lookup_elem(&waiting, &key);
}

/* net/core/neighbour.c: __neigh_event_send(), for each packet that finds no usable entry; the one
 * that came is the last of the queue. When the address has failed the queue is gone, and freed
 * packets do not tell their next hop. */
SEC("?tp_btf/neigh_event_send_done")
int BPF_PROG(neigh_asked, struct neighbour *n, int rc)
{
	struct neigh_waiting *value;
	struct abi_owner owner = {};
	__u64 key = (__u64)n;
	struct sk_buff *skb;
	struct sock *sk;
	__u32 qlen;

	if (n->nud_state != NUD_INCOMPLETE)
		return 0;
	qlen = n->arp_queue.qlen;
	skb = n->arp_queue.prev;
	if (!qlen)
		bpf_map_delete_elem(&waiting, &key);
	if (!qlen || !skb)
		return 0;
	sk = sock_of_skb(skb);
	if (sk)
		owner_from_sock(&owner, sk, false);
	value = waiting_of(key, qlen > 1);
	if (!value)
		return 0;
	count_one(&value->packets);
	if (is_routed(skb))
		count_one(&value->routed);
	if (owner.tgid)
		value->owner = owner;
	return 0;
}

static __always_inline void add_waiting(struct neigh_event *event, __u64 key)
{
	struct neigh_waiting *value = bpf_map_lookup_elem(&waiting, &key);

	if (!value)
		return;
	event->owner = value->owner;
	event->packets = value->packets;
	event->routed = value->routed;
	bpf_map_delete_elem(&waiting, &key);
}

/* net/core/neighbour.c: neigh_timer_handler(), behind the last probe; nearly always the state is
 * another one. Entries that were asked again in that moment are missed: they fail again. */
SEC("?tp_btf/neigh_timer_handler")
int BPF_PROG(neigh_failed, struct neighbour *n, int error)
{
	struct abi_ledger *ledger = ledger_of(ABI_NEIGH);
	struct neigh_event event = {};
	__u64 key = (__u64)n;

	if (n->nud_state & NUD_LEARNT)
		bpf_map_delete_elem(&waiting, &key);
	if (n->nud_state != NUD_FAILED)
		return 0;
	if (!ledger || !describe(&event, n))
		return 0;
	count_one(&ledger->seen);
	event.type = ABI_NEIGH_FAILED;
	add_waiting(&event, key);
	/* only an entry without a valid address lets packets wait */
	event.old_state = state_number(event.packets ? NUD_INCOMPLETE : NUD_PROBE);
	event.new_state = state_number(NUD_FAILED);
	if (config.filters && !owner_matches(&event.owner))
		count_one(&ledger->filtered);
	else
		send(ledger, &event);
	return 0;
}

/* net/core/neighbour.c: __neigh_update(), before it decides. The address on the wire is a plain
 * pointer, which tp_btf programs may not read before 6.0: a raw tracepoint, which knows no types
 * and so needs probe reads. What an administrator writes is his business, and entries that are not
 * learnt do not change. */
SEC("?raw_tp/neigh_update")
int BPF_PROG(neigh_moved, struct neighbour *n, const u8 *lladdr, u8 new, u32 flags, u32 pid)
{
	const struct net_device *dev;
	struct neigh_event event = {};
	struct abi_ledger *ledger;
	__u64 *macs = (__u64 *)event.old_mac;
	__u8 old;

	if (!lladdr || pid || flags & NEIGH_UPDATE_F_ADMIN)
		return 0;
	bpf_core_read(event.old_mac, 6, &n->ha);
	bpf_probe_read_kernel(event.new_mac, 6, lladdr);
	if (!macs[0] || !macs[1] || macs[0] == macs[1])
		return 0;
	old = BPF_CORE_READ(n, nud_state);
	dev = BPF_CORE_READ(n, dev);
	if (old & (NUD_NOARP | NUD_PERMANENT) || BPF_CORE_READ(dev, addr_len) != 6)
		return 0;
	event.type = ABI_NEIGH_CHANGED;
	if (old & NUD_LEARNT && !(flags & NEIGH_UPDATE_F_OVERRIDE)) {
		/* in all other states the one we have need not have answered of late */
		if (old != NUD_REACHABLE)
			return 0;
		event.type = ABI_NEIGH_REFUSED;
	}
	ledger = ledger_of(ABI_NEIGH);
	if (!ledger)
		return 0;
	count_one(&ledger->seen);
	describe_read(&event, n, dev);
	event.old_state = state_number(old);
	event.new_state = state_number(event.type == ABI_NEIGH_REFUSED ? old : new);
	send(ledger, &event);
	return 0;
}
