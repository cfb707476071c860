/* SPDX-License-Identifier: GPL-2.0-only */
/* A datagram leaves a socket: is it a question of a client, or a server's answer? */
#ifndef CULPRIT_DNS_SENT_BPF_H
#define CULPRIT_DNS_SENT_BPF_H

#include "dns_wait.bpf.h"

#define ASKERS 4096
#define ASKED_LATELY_NS (60 * SECOND_NS)
#define IP_OFFSET 0x1fff

/* Sockets without a fixed peer that asked a question, direct mapped by address: the jiffy of the
 * last one. Two sockets of one slot only cost a look into the map. */
static __u64 askers[ASKERS];

static __always_inline __u64 *asker_of(const struct sock *sk)
{
	__u64 address = (__u64)sk;
	__u32 slot = ((address >> 6) ^ (address >> 18)) & (ASKERS - 1);

	/* the pointer lives on, so its own register is not shifted: "R6 32-bit pointer arithmetic
	 * prohibited" */
	asm volatile("" : "+r"(slot) : "r"(sk));
	return &askers[slot & (ASKERS - 1)];
}

static __always_inline bool asked_lately(const struct sock *sk)
{
	__u64 asked = *asker_of(sk);

	return asked && (bpf_jiffies64() - asked) * config.tick_ns < ASKED_LATELY_NS;
}

/* One branch: a product is 0 when a factor is. */
static __always_inline bool is_dns_port(__u16 port)
{
	__u64 apart = 1;

	for (__u32 i = 0; i < ABI_DNS_PORTS; i++)
		apart *= port ^ config.dns_ports[i];
	return !apart;
}

static __always_inline bool is_udp(const struct sock *sk)
{
	__u8 state = sk->__sk_common.skc_state;

	return state != TCP_TIME_WAIT && state != TCP_NEW_SYN_RECV &&
	       sk->sk_protocol == IPPROTO_UDP;
}

static __always_inline bool is_tcp(const struct sock *sk)
{
	__u16 family = sk->__sk_common.skc_family;

	return (family == AF_INET || family == AF_INET6) && sk->sk_protocol == IPPROTO_TCP;
}

/* Without a hook that tells which socket is read, an answer finds its question by the port and id,
 * which no translation of addresses changes. Two namespaces or sockets that ask with both the same
 * at the same time would take each other's answer. */
struct dns_asker_key {
	__u16 port; /* the asking one, host order */
	__be16 id;
};

/* port and id -> asking socket. Inserted with a question, deleted with its answer; full: the least
 * recently used gives way, its question ends without an answer. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WAITING_MAX);
	__type(key, struct dns_asker_key);
	__type(value, __u64);
} dns_askers SEC(".maps");

static __always_inline void note_asker(const struct sock *sk, __u32 id)
{
	struct dns_asker_key key = { sk->__sk_common.skc_num, id };
	__u64 value = (__u64)sk;

	bpf_map_update_elem(&dns_askers, &key, &value, BPF_ANY);
}

/* Where the datagram goes. A socket with a fixed peer has it, before any translation. */
static __always_inline __u16 far_port(const struct sock *sk, const struct sk_buff *skb)
{
	__be16 ports[2] = {};

	if (sk->__sk_common.skc_dport)
		return bpf_ntohs(sk->__sk_common.skc_dport);
	if (bpf_probe_read_kernel(ports, sizeof(ports), skb->head + skb->transport_header))
		return 0;
	return bpf_ntohs(ports[1]);
}

static __always_inline void flow_of_question(struct abi_flow *flow, const struct sock *sk,
					     const struct sk_buff *skb, __u32 netns)
{
	struct packet packet = {};

	if (sk->__sk_common.skc_dport) {
		flow_at(flow, &sk->__sk_common, netns);
		flow->protocol = IPPROTO_UDP;
	} else {
		flow_from_skb(flow, &packet, skb);
		flow->netns = netns;
	}
}

/* 1 when a < b, else 0, for numbers far below 2^63. No branch, since the verifier would follow both
 * ways in each round of a loop; hidden from the compiler, which would make one of it. */
static __always_inline __u64 is_below(__u64 a, __u64 b)
{
	__u64 below = a - b;

	asm volatile("" : "+r"(below));
	below >>= 63;
	asm volatile("" : "+r"(below));
	return below;
}

/* The name of the message goes to the event in lower case, and its hash. Returns where it ends, 0
 * when it is none. A global function: the verifier follows its 255 rounds once, whoever calls. */
__noinline int question_name(__u32 program)
{
	struct dns_work *work = work_of(program);
	__u64 hash = FNV_OFFSET, left = 0, byte, begins;

	if (!work)
		return 0;
	for (__u32 i = 0; i < DNS_NAME_BYTES - 1; i++) {
		byte = work->message.question[i];
		begins = is_below(left, 1); /* a label: the byte is its length */
		left += begins * (byte + 1) - 1;
		begins &= is_below(LABEL_MAX - 1, (byte - 1) & 0xff);
		byte += is_below((byte - 'A') & 0xff, 26) << 5;
		hash = (hash ^ byte) * FNV_PRIME;
		work->waiting.event.name[i] = byte;
		if (begins) {
			work->waiting.event.name_hash = hash;
			return byte ? 0 : i + 1;
		}
	}
	return 0;
}

/* Name, its hash and type of the message into the event, whose name is all 0. False: this is no
 * question. */
static __always_inline bool question_take(struct dns_work *work, __u32 program)
{
	struct dns_event *event = &work->waiting.event;
	__u32 end = question_name(program);

	if (!end || end > DNS_NAME_BYTES - 1 || sizeof(struct dns_header) + end + 4 > work->bytes)
		return false;
	event->type = (__u16)work->message.question[end] << 8 | work->message.question[end + 1];
	if (config.dns_hashes) {
		__builtin_memset(event->name, 0, sizeof(event->name));
		event->name[0] = DNS_NO_NAME;
	}
	return true;
}

/* How often, and since when, does the process ask for this name? */
static __always_inline void note_repeat(struct dns_waiting *waiting, __u64 now)
{
	struct dns_event *event = &waiting->event;
	struct dns_name_key key = { event->name_hash, event->owner.tgid, event->type };
	struct dns_name *known = bpf_map_lookup_elem(&dns_names, &key);
	struct dns_name fresh = { now, now, 0 };
	__u64 since = known ? now - known->last_ns : REPEAT_MAX_NS;

	if (known && since < REPEAT_MAX_NS) {
		fresh = *known;
		if (since >= REPEAT_MIN_NS) {
			fresh.tries++;
			fresh.last_ns = now;
		}
	}
	bpf_map_update_elem(&dns_names, &key, &fresh, BPF_ANY);
	waiting->first_ns = fresh.first_ns;
	event->retries = fresh.tries;
}

static __always_inline void question_count(struct dns_work *work)
{
	const struct dns_event *event = &work->waiting.event;
	struct dns_counts *counts = counts_of(work, event);

	if (!counts)
		return;
	count_one(&counts->questions);
	if (event->retries)
		count_one(&counts->retries);
}

/* A question whose flow, owner, name and type are known begins to wait. */
static __always_inline void question_begin(struct dns_work *work, const struct dns_waiting_key *key)
{
	struct dns_waiting *fresh = &work->waiting;
	struct dns_event *event = &fresh->event;

	if (config.filters && !(flow_matches(&event->flow) && owner_matches(&event->owner)))
		return;
	fresh->asked_ns = bpf_ktime_get_boot_ns();
	event->rcode = DNS_NO_RCODE;
	note_repeat(fresh, fresh->asked_ns);
	question_count(work);
	count_refused(ABI_DNS, bpf_map_update_elem(&dns_waitings, key, fresh, BPF_ANY));
}

/* A device on top of another one passes the same packet on. */
static __always_inline bool is_passed_on(const struct dns_waiting *known, const struct sk_buff *skb)
{
	return known && known->skb == (__u64)skb &&
	       bpf_ktime_get_boot_ns() - known->asked_ns < REPEAT_MIN_NS;
}

static __noinline void question_sent(const struct sk_buff *skb, struct sock *sk,
				     struct dns_work *work)
{
	struct dns_waiting_key key = { .sk = (__u64)sk, .protocol = IPPROTO_UDP };
	struct dns_waiting *fresh = &work->waiting;

	__builtin_memset(fresh, 0, sizeof(*fresh));
	work->bytes = datagram_read(&work->message, sizeof(work->message), skb);
	if (!work->bytes || !is_question(&work->message.header) || !question_take(work, WORK_SENT))
		return;
	key.id = work->message.header.id;
	if (is_passed_on(bpf_map_lookup_elem(&dns_waitings, &key), skb))
		return;
	fresh->skb = (__u64)skb;
	if (config.args[HOOK_CONSUME])
		note_asker(sk, key.id);
	flow_of_question(&fresh->event.flow, sk, skb, work->caller.user.netns);
	fresh->event.owner = work->caller.user.owner;
	*asker_of(sk) = bpf_jiffies64();
	question_begin(work, &key);
}

/* What the caller is asked at that address and port, and what it answers. */
static __always_inline struct dns_counts *served_at(struct dns_work *work,
						    const struct abi_flow *flow)
{
	const struct dns_user *user = &work->caller.user;
	struct dns_key *key = &work->key;

	if (!place_matches(user->netns, 0) || !owner_matches(&user->owner))
		return NULL;
	__builtin_memcpy(key->server, flow->local, sizeof(key->server));
	key->start_ns = user->owner.start_ns;
	key->tgid = user->owner.tgid;
	key->netns = user->netns;
	key->port = flow->local_port;
	key->type = 0;
	key->family = flow->family;
	key->protocol = flow->protocol;
	key->role = DNS_SERVER;
	key->pad = 0;
	return counts_at(work, &user->owner);
}

/* Where it is not known which socket is read: at any address. */
static __always_inline struct dns_counts *served_anywhere(struct dns_work *work, __u16 port)
{
	struct abi_flow *flow = &work->waiting.event.flow;

	flow_clear(flow);
	flow->local_port = port;
	flow->family = AF_INET;
	flow->protocol = IPPROTO_UDP;
	return served_at(work, flow);
}

static __always_inline struct dns_counts *served(struct dns_work *work, const struct sock *sk)
{
	struct abi_flow *flow = &work->waiting.event.flow;

	if (config.args[HOOK_CONSUME])
		return served_anywhere(work, sk->__sk_common.skc_num);
	flow_at(flow, &sk->__sk_common, work->caller.user.netns);
	flow->protocol = sk->sk_protocol;
	return served_at(work, flow);
}

/* Of a large answer only the first fragment has the header. */
static __always_inline bool is_later_fragment(const struct sk_buff *skb)
{
	struct iphdr ip = {};

	return skb->protocol == bpf_htons(ETH_P_IP) &&
	       !bpf_probe_read_kernel(&ip, sizeof(ip), skb->head + skb->network_header) &&
	       ip.frag_off & bpf_htons(IP_OFFSET);
}

static __noinline void answer_sent(const struct sk_buff *skb, const struct sock *sk,
				   struct dns_work *work)
{
	struct dns_header header = {};
	struct dns_counts *counts;

	if (is_later_fragment(skb) || !datagram_read(&header, sizeof(header), skb) ||
	    !(header.flags & bpf_htons(DNS_QR)))
		return;
	counts = served(work, sk);
	if (!counts)
		return;
	count_one(&counts->answers);
	count_rcode(counts, bpf_ntohs(header.flags), !header.answers);
}

#endif
