// SPDX-License-Identifier: GPL-2.0-only
/* Which packets does this host answer with an ICMP error, and which of its sockets are hit by one?
 */
#include "vmlinux.h"

#include "filter.bpf.h"
#include "icmp.h"
#include "owner.bpf.h"
#include "path.bpf.h"

char LICENSE[] SEC("license") = "GPL";

#define ICMP_KEYS_MAX 1024

/* Exact totals. Full: errors of a new kind are not in the totals and not sampled, counted in
 * map_full; a namespace has less than twenty. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, ICMP_KEYS_MAX);
	__type(key, struct icmp_key);
	__type(value, struct icmp_value);
} icmps SEC(".maps");

static __always_inline struct icmp_value *total_of(struct abi_ledger *ledger,
						   const struct icmp_key *key)
{
	struct icmp_value *value = bpf_map_lookup_elem(&icmps, key);
	struct icmp_value fresh = {};

	if (value)
		return value;
	bpf_map_update_elem(&icmps, key, &fresh, BPF_NOEXIST);
	value = bpf_map_lookup_elem(&icmps, key);
	if (!value)
		count_one(&ledger->map_full);
	return value;
}

/* Counts it, and says whether it may be a record: the kernel does not limit how often it asks for
 * smaller packets (net/ipv4/icmp.c: icmpv4_mask_allow()). */
static __always_inline bool count_and_sample(struct abi_ledger *ledger, const struct icmp_key *key)
{
	struct icmp_value *value = total_of(ledger, key);
	__u64 interval = rate_interval();

	if (!value) {
		count_one(&ledger->limited);
		return false;
	}
	count_one(&value->packets);
	if (value->interval != interval) {
		value->interval = interval;
		value->samples = 0;
	}
	if (wanted(ABI_ICMP) && (!config.samples || value->samples++ < config.samples))
		return true;
	count_one(&ledger->limited);
	return false;
}

/* Where the packet should have left by. The route is a tagged number, so it needs probe reads. */
static __always_inline void way_out(struct icmp_event *event, const struct sk_buff *skb)
{
	const struct dst_entry *dst = (const void *)(skb->_skb_refdst & SKB_DST_PTRMASK);
	struct net_device *dev;

	if (!dst || !config.probe_reads)
		return;
	dev = BPF_CORE_READ(dst, dev);
	if (!dev)
		return;
	event->out_netns = BPF_CORE_READ(dev, nd_net.net, ns.inum);
	event->out_ifindex = BPF_CORE_READ(dev, ifindex);
	event->mtu = BPF_CORE_READ(dev, mtu);
}

/* net/ipv4/icmp.c: __icmp_send(), behind the kernel's rate limit: one call per message that is
 * sent. Since 6.10, and in some older stable kernels; icmp6_send() has no tracepoint. skb is the
 * packet that is answered. */
SEC("?tp_btf/icmp_send")
int BPF_PROG(icmp_sent, const struct sk_buff *skb, int type, int code)
{
	struct abi_ledger *ledger = ledger_of(ABI_ICMP);
	struct icmp_key key = { .direction = ABI_SENT, .family = AF_INET };
	const struct sock *sk = sock_of_skb(skb);
	struct icmp_event event = {};
	struct packet packet = {};

	if (!ledger)
		return 0;
	count_one(&ledger->seen);
	if (sk)
		owner_from_sock(&event.owner, sk, false);
	device_of_skb(skb, &event.flow.netns, &event.flow.ifindex);
	way_out(&event, skb);
	if (!event.flow.netns)
		event.flow.netns = event.out_netns;
	flow_from_skb(&event.flow, &packet, skb);
	if (!record_matches(ledger, &event.flow, &event.owner))
		return 0;
	key.netns = event.flow.netns;
	key.type = event.type = type;
	key.code = event.code = code;
	if (!count_and_sample(ledger, &key))
		return 0;
	event.direction = ABI_SENT;
	event.bytes = skb->len;
	event.path = path_of(skb);
	record_put(ledger, &event.head, ABI_ICMP, sizeof(event));
	return 0;
}

/* What the kernel makes of ICMP errors (net/ipv4/icmp.c: icmp_err_convert, net/ipv6/icmp.c:
 * icmpv6_err_convert()). Resets come this way too: a refused TCP connection is one nearly always.
 */
static __always_inline bool is_from_icmp(__u32 error, __u16 protocol)
{
	switch (error) {
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EHOSTDOWN:
	case ENONET:
	case EPROTO:
	case EMSGSIZE:
	case ENOPROTOOPT:
	case EOPNOTSUPP:
	case EACCES:
		return true;
	case ECONNREFUSED:
		return protocol != IPPROTO_TCP;
	default:
		return false;
	}
}

/* In softirq, or in the backlog of whoever holds the socket: the running task means nothing. */
static __always_inline int received(const struct sock *sk)
{
	struct abi_ledger *ledger = ledger_of(ABI_ICMP);
	struct icmp_key key = { .direction = ABI_RECEIVED };
	__u16 protocol = sk->sk_protocol;
	struct icmp_event event = {};

	event.error = sk->sk_err;
	if (!ledger || !is_from_icmp(event.error, protocol))
		return 0;
	count_one(&ledger->seen);
	flow_from_common(&event.flow, &sk->__sk_common);
	event.flow.protocol = protocol;
	owner_from_sock(&event.owner, sk, true);
	if (!record_matches(ledger, &event.flow, &event.owner))
		return 0;
	key.netns = event.flow.netns;
	key.family = event.flow.family;
	key.error = event.error;
	if (!count_and_sample(ledger, &key))
		return 0;
	event.direction = ABI_RECEIVED;
	record_put(ledger, &event.head, ABI_ICMP, sizeof(event));
	return 0;
}

/* net/core/sock.c: sk_error_report(). Since 5.15. An ICMP error about an established TCP
 * connection does not come here: the socket only keeps it (retransmit: soft_error). */
SEC("?tp_btf/inet_sk_error_report")
int BPF_PROG(icmp_received, const struct sock *sk)
{
	return received(sk);
}

/* For 5.10: an error that ends an attempt to connect (net/ipv4/tcp_ipv4.c: tcp_v4_err()). */
SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(icmp_ended, const struct sock *sk, int oldstate, int newstate)
{
	if (sk->sk_protocol != IPPROTO_TCP || oldstate != TCP_SYN_SENT || newstate != TCP_CLOSE)
		return 0;
	return received(sk);
}
