/* SPDX-License-Identifier: GPL-2.0-only */
/* What came of a connect(): the record that tells it. */
#ifndef CULPRIT_ATTEMPT_BPF_H
#define CULPRIT_ATTEMPT_BPF_H

#include "connection.h"
#include "filter.bpf.h"
#include "owner.bpf.h"

/* The owner as it is known for this socket: `known` is its entry, if it has one. */
static __always_inline void owner_of(struct abi_owner *owner, const struct abi_socket *known,
				     const struct place *at)
{
	if (known)
		*owner = known->owner;
	else
		owner_clear(owner);
	owner->cgroup_id = at->cgroup_id;
}

static __always_inline void result_of(struct connect_event *event, const struct tcp_sock *tp,
				      __u32 error, bool ok)
{
	__u32 result = ABI_RESULT_OK;

	if (!ok && error)
		result = ABI_RESULT_ERROR;
	else if (!ok)
		result = tp->segs_out ? ABI_RESULT_ABANDONED : ABI_RESULT_LOCAL;
	/* the search for a port precedes all else, and this is its error
	 * (net/ipv4/inet_hashtables.c: __inet_hash_connect()); only the caller gets it */
	if (result == ABI_RESULT_LOCAL && !event->flow.local_port)
		error = EADDRNOTAVAIL;
	event->result = result;
	event->error = error;
}

/* The filter is asked before there is room in the ring: what it excludes leaves no hole there. */
static __always_inline bool connect_passes(struct abi_ledger *ledger, const struct tcp_sock *tp,
					   const struct abi_socket *known, const struct place *at)
{
	struct abi_owner owner;
	struct abi_flow flow;

	if (!config.filters)
		return true;
	flow_from_tcp_at(&flow, tp, at->netns);
	owner_of(&owner, known, at);
	return record_matches(ledger, &flow, &owner);
}

static __always_inline void connect_result(const struct sock *sk, const struct abi_socket *known,
					   __u64 now, bool ok, const struct place *at)
{
	struct abi_ledger *ledger = ledger_of(ABI_CONNECT);
	struct tcp_sock *tp = bpf_skc_to_tcp_sock((void *)sk);
	struct connect_event *event;

	if (!ledger || !tp || !wanted(ABI_CONNECT))
		return;
	add_alone(&ledger->seen, 1);
	if (!connect_passes(ledger, tp, known, at))
		return;
	event = record_begin(ledger, ABI_CONNECT, now, sizeof(*event));
	if (!event)
		return;
	flow_from_tcp_at(&event->flow, tp, at->netns);
	owner_of(&event->owner, known, at);
	event->latency_ns = known && known->opened_ns ? now - known->opened_ns : 0;
	event->syn_retransmits = tp->total_retrans;
	result_of(event, tp, ok ? 0 : sk->sk_err, ok);
	record_send(event, sizeof(*event));
}

#endif
