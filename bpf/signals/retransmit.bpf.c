// SPDX-License-Identifier: GPL-2.0-only
/* Which TCP segments are sent again, why does TCP think it must, and did the attempt leave the
 * socket at all? */
#include "vmlinux.h"

#include "filter.bpf.h"
#include "owner.bpf.h"
#include "retransmit.h"

char LICENSE[] SEC("license") = "GPL";

enum {
	HOOK_SKB = 0,
	HOOK_SYNACK = 1
}; /* index into config.args */

/* Before tcp_retransmit_timer() sends, tcp_enter_loss() has set CA_Loss; a tail loss probe goes out
 * in CA_Open while its timer is still the pending one (net/ipv4/tcp_timer.c, tcp_output.c:
 * tcp_send_loss_probe()). */
static __always_inline __u32 type_of(__u32 tcp_state, __u32 ca_state, __u32 pending)
{
	if (tcp_state == TCP_SYN_SENT || tcp_state == TCP_SYN_RECV)
		return ABI_RETRANSMIT_SYN;
	if (ca_state == TCP_CA_LOSS)
		return ABI_RETRANSMIT_RTO;
	if (ca_state == TCP_CA_RECOVERY)
		return ABI_RETRANSMIT_FAST;
	return pending == ICSK_TIME_LOSS_PROBE ? ABI_RETRANSMIT_TLP : ABI_RETRANSMIT_OTHER;
}

/* rcv_tstamp is in jiffies, 0 before the first ACK. */
static __always_inline __u64 heard_ns(const struct tcp_sock *tp, __u64 now)
{
	__u32 ago = (__u32)bpf_jiffies64() - tp->rcv_tstamp;

	return tp->rcv_tstamp ? now - (__u64)ago * config.tick_ns : 0;
}

static __always_inline void describe(struct retransmit_event *event, const struct tcp_sock *tp,
				     __u64 now)
{
	event->tcp_state = tp->inet_conn.icsk_inet.sk.__sk_common.skc_state;
	event->ca_state = BPF_CORE_READ_BITFIELD(&tp->inet_conn, icsk_ca_state);
	event->attempts = tp->inet_conn.icsk_retransmits;
	event->type = type_of(event->tcp_state, event->ca_state, tp->inet_conn.icsk_pending);
	event->life_segs_out = tp->segs_out;
	event->life_retransmits = tp->total_retrans;
	event->acked_bytes = tp->bytes_acked;
	event->acked_segs = tp->delivered;
	event->sacked_segs = tp->sacked_out;
	event->heard_ns = heard_ns(tp, now);
	event->mss = tp->mss_cache;
	event->soft_error = tp->inet_conn.icsk_inet.sk.sk_err_soft;
	event->srtt_us = tp->srtt_us >> 3;
	event->cwnd = tp->snd_cwnd;
}

/* Asked before there is room in the ring: what the user's filter excludes leaves no hole there. */
static __always_inline bool passes(struct abi_ledger *ledger, const struct sock *sk,
				   const struct tcp_sock *tp)
{
	struct abi_owner owner;
	struct abi_flow flow;

	if (!config.filters)
		return true;
	flow_from_tcp(&flow, tp);
	owner_from_sock(&owner, sk, true);
	return record_matches(ledger, &flow, &owner);
}

/* Writes every byte. */
static __always_inline void tell(struct retransmit_event *event, const struct sock *sk,
				 const struct tcp_sock *tp, const struct sk_buff *skb, int err)
{
	const struct tcp_skb_cb *cb = (const struct tcp_skb_cb *)skb->cb;
	__u32 segs = cb->tcp_gso_segs ? cb->tcp_gso_segs : 1;

	flow_from_tcp(&event->flow, tp);
	owner_from_sock(&event->owner, sk, true);
	describe(event, tp, event->head.when_ns);
	event->seq = cb->seq;
	event->bytes = err ? 0 : cb->end_seq - cb->seq;
	event->error = err < 0 ? -err : err;
	event->failed = err != 0;
	event->segs = err ? 0 : segs;
	event->pad = 0;
}

/* net/ipv4/tcp_output.c: __tcp_retransmit_skb(). One call per skb, not per segment. Until 6.16 it
 * fires for successful attempts only; since 6.17 for failed ones too, with err. Tcp.RetransSegs is
 * the sum of segs plus TcpExt.TCPRetransFail plus the SYN-ACKs: some failures are counted there,
 * some (-EBUSY: the first copy is still in this host's queue) not. */
SEC("?tp_btf/tcp_retransmit_skb")
int BPF_PROG(retransmit_skb, const struct sock *sk, const struct sk_buff *skb)
{
	struct abi_ledger *ledger = ledger_of(ABI_RETRANSMIT);
	struct tcp_sock *tp = bpf_skc_to_tcp_sock((void *)sk);
	struct retransmit_event *event;
	int err = 0;

	if (!ledger || !tp)
		return 0;
	count_one(&ledger->seen);
	if (config.args[HOOK_SKB] > 2)
		err = (int)ctx[2];
	if (!passes(ledger, sk, tp))
		return 0;
	event = record_begin(ledger, ABI_RETRANSMIT, bpf_ktime_get_boot_ns(), sizeof(*event));
	if (!event)
		return 0;
	tell(event, sk, tp, skb, err);
	record_send(event, sizeof(*event));
	return 0;
}

/* The client's ACK came; a listener with TCP_DEFER_ACCEPT waits for its data, and asks again when
 * it waited long enough (net/ipv4/inet_connection_sock.c: syn_ack_recalc()). */
static __always_inline bool is_acked(const struct request_sock *req)
{
	struct tcp_request_sock *tr = bpf_skc_to_tcp_request_sock((void *)req);

	return tr && BPF_CORE_READ_BITFIELD(&tr->req, acked);
}

/* sk is the listener; the connection is still a request, which is laid out like any sock_common. */
SEC("?tp_btf/tcp_retransmit_synack")
int BPF_PROG(retransmit_synack, const struct sock *sk, const struct request_sock *req)
{
	struct abi_ledger *ledger = ledger_of(ABI_RETRANSMIT);
	struct retransmit_event event = {};

	if (!ledger)
		return 0;
	count_one(&ledger->seen);
	flow_from_common(&event.flow, &req->__req_common);
	owner_from_sock(&event.owner, sk, true);
	event.type = ABI_RETRANSMIT_SYNACK;
	event.tcp_state = TCP_NEW_SYN_RECV;
	event.segs = 1;
	event.attempts = BPF_CORE_READ_BITFIELD(req, num_timeout);
	event.acked_segs = is_acked(req);
	if (record_matches(ledger, &event.flow, &event.owner))
		record_put(ledger, &event.head, ABI_RETRANSMIT, sizeof(event));
	return 0;
}
