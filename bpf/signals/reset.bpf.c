// SPDX-License-Identifier: GPL-2.0-only
/* Who resets TCP connections, this host or its peers, in which state and why? */
#include "vmlinux.h"

#include "filter.bpf.h"
#include "owner.bpf.h"
#include "reset.h"

char LICENSE[] SEC("license") = "GPL";

enum {
	HOOK_SEND = 0,
	HOOK_RECEIVE = 1
};

/* The socket that resets, if it is a whole one: answers to strays come with a TIME_WAIT socket or
 * with none. */
static __always_inline bool describe_socket(struct reset_event *event, const struct sock *sk)
{
	struct tcp_sock *tp;
	__u8 state;

	if (!sk)
		return false;
	state = sk->__sk_common.skc_state;
	event->tcp_state = state;
	if (state == TCP_TIME_WAIT || state == TCP_NEW_SYN_RECV) {
		flow_from_common(&event->flow, &sk->__sk_common);
		owner_from_sock(&event->owner, sk, false);
		return true;
	}
	tp = bpf_skc_to_tcp_sock((void *)sk);
	if (!tp)
		return false;
	flow_from_tcp(&event->flow, tp);
	owner_from_sock(&event->owner, sk, true);
	return true;
}

/* The packet that is answered came from the remote end: swap. */
static __always_inline void describe_packet(struct reset_event *event, const struct sk_buff *skb)
{
	struct abi_flow in = {};
	struct packet packet = {};

	flow_from_skb(&in, &packet, skb);
	device_of_skb(skb, &in.netns, &in.ifindex);
	__builtin_memcpy(event->flow.local, in.remote, ABI_ADDR_BYTES);
	__builtin_memcpy(event->flow.remote, in.local, ABI_ADDR_BYTES);
	event->flow.local_port = in.remote_port;
	event->flow.remote_port = in.local_port;
	event->flow.family = in.family;
	event->flow.protocol = in.protocol;
	event->flow.netns = in.netns;
	event->flow.ifindex = in.ifindex;
}

/* A listener answers for a connection it does not have: the packet knows the tuple, the socket the
 * owner. The rest is zeroed. */
static __always_inline void describe(struct reset_event *event, const struct sock *sk,
				     const struct sk_buff *skb)
{
	__builtin_memset(&event->flow, 0, sizeof(*event) - sizeof(event->head));
	if ((!describe_socket(event, sk) || event->tcp_state == TCP_LISTEN) && skb)
		describe_packet(event, skb);
}

/* Asked before there is room in the ring: what the user's filter excludes leaves no hole there. */
static __always_inline bool passes(struct abi_ledger *ledger, const struct sock *sk,
				   const struct sk_buff *skb)
{
	struct reset_event event;

	if (!config.filters)
		return true;
	describe(&event, sk, skb);
	return record_matches(ledger, &event.flow, &event.owner);
}

/* skb is the packet that is answered, NULL when there is none. */
static __always_inline struct reset_event *begin(const struct sock *sk, const struct sk_buff *skb)
{
	struct abi_ledger *ledger = ledger_of(ABI_RESET);
	struct reset_event *event;

	if (!ledger)
		return NULL;
	count_one(&ledger->seen);
	if (!passes(ledger, sk, skb))
		return NULL;
	event = record_begin(ledger, ABI_RESET, bpf_ktime_get_boot_ns(), sizeof(*event));
	if (event)
		describe(event, sk, skb);
	return event;
}

/* Either argument may be NULL: sk when a packet without socket is answered, skb when the process
 * aborts. The reason is there since 6.10. Older kernels do not call it at all when there is no
 * socket. */
SEC("?tp_btf/tcp_send_reset")
int BPF_PROG(reset_send, const struct sock *sk, const struct sk_buff *skb)
{
	struct reset_event *event = begin(sk, skb);

	if (!event)
		return 0;
	event->direction = ABI_SENT;
	if (config.args[HOOK_SEND] > 2) {
		event->reason = (__u32)ctx[2];
		event->reason_known = 1;
	}
	record_send(event, sizeof(*event));
	return 0;
}

SEC("?tp_btf/tcp_receive_reset")
int BPF_PROG(reset_receive, const struct sock *sk)
{
	struct reset_event *event = begin(sk, NULL);

	if (!event)
		return 0;
	event->direction = ABI_RECEIVED;
	record_send(event, sizeof(*event));
	return 0;
}
