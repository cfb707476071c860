// SPDX-License-Identifier: GPL-2.0-only
/* How full are the queues of each listening TCP socket, and what does it drop? */
#include "vmlinux.h"

#include "file.bpf.h"
#include "filter.bpf.h"
#include "listeners.bpf.h"

char LICENSE[] SEC("license") = "GPL";

/* From what it has counted and queued so far. */
static __always_inline void begin(struct listen_value *value, __u64 key)
{
	value->since_ns = bpf_ktime_get_boot_ns();
	value->drops_before = value->drops;
	value->drops_told = value->drops;
	value->depth_before = value->depth;
	group_join(value, key);
	count_refused(ABI_LISTEN, bpf_map_update_elem(&listening, &key, value, BPF_NOEXIST));
}

static __always_inline void enter(const struct sock *sk)
{
	struct listen_value value = {};
	__u64 key = (__u64)sk;
	struct listen_value *known = bpf_map_lookup_elem(&listening, &key);

	/* the walk meets a socket once for each file that leads to it */
	if (known)
		return;
	flow_from_common(&value.flow, &sk->__sk_common);
	owner_from_sock(&value.owner, sk, true);
	value.drops = sk->sk_drops.counter;
	value.depth = sk->sk_ack_backlog;
	begin(&value, key);
}

/* The same by probe reads; the walk of the connection signal was there before and knows the owner.
 */
static __always_inline void enter_read(const struct sock *sk)
{
	struct listen_value value = {};
	__u64 key = (__u64)sk;

	if (bpf_map_lookup_elem(&listening, &key))
		return;
	value.flow.local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	value.flow.family = BPF_CORE_READ(sk, __sk_common.skc_family);
	value.flow.protocol = IPPROTO_TCP;
	value.flow.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	value.flow.ifindex = BPF_CORE_READ(sk, __sk_common.skc_bound_dev_if);
	if (value.flow.family == AF_INET6)
		BPF_CORE_READ_INTO(&value.flow.local, sk, __sk_common.skc_v6_rcv_saddr);
	else
		addr4_set(value.flow.local, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
	owner_from_sock(&value.owner, sk, false);
	value.drops = BPF_CORE_READ(sk, sk_drops.counter);
	value.depth = BPF_CORE_READ(sk, sk_ack_backlog);
	begin(&value, key);
}

/* An entry at the address of a socket that only now begins to listen is left over from one that is
 * gone: of that one the last look is all there is. */
static __always_inline void gone_unseen(const struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct listen_value *value = bpf_map_lookup_elem(&listening, &key);

	if (value)
		leave(value, key);
}

/* Called in close(), shutdown() or at the process's end (net/ipv4/tcp.c: __tcp_close()): the queue
 * is still as it was. */
static __always_inline void closed(const struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct listen_value *value = bpf_map_lookup_elem(&listening, &key);

	if (!value)
		return;
	value->drops = sk->sk_drops.counter;
	value->depth = sk->sk_ack_backlog;
	value->limit = sk->sk_max_ack_backlog;
	leave(value, key);
}

/* The child is in its listener's accept queue by now (net/ipv4/tcp_minisocks.c: tcp_check_req(),
 * tcp_child_process()). */
static __always_inline void established(const struct sock *child)
{
	const struct sock *listener;
	struct listen_group *group;
	struct listen_key key;
	__u32 depth;

	key_of_child(&key, &child->__sk_common);
	group = bpf_map_lookup_elem(&addresses, &key);
	if (!group) {
		__builtin_memset(key.addr, 0, sizeof(key.addr));
		group = bpf_map_lookup_elem(&addresses, &key);
	}
	if (!group)
		return;
	count_one(&group->established);
	if (group->sockets != 1 || !group->sk)
		return;
	listener = (const struct sock *)group->sk;
	depth = BPF_CORE_READ(listener, sk_ack_backlog);
	if (depth > group->peak)
		group->peak = depth;
}

SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(listen_state, const struct sock *sk, int oldstate, int newstate)
{
	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	if (newstate == TCP_LISTEN) {
		gone_unseen(sk);
		enter(sk);
	} else if (newstate == TCP_ESTABLISHED && oldstate == TCP_SYN_RECV) {
		established(sk);
	} else if (newstate == TCP_CLOSE && oldstate == TCP_LISTEN) {
		closed(sk);
	}
	return 0;
}

/* sk is the listener. */
SEC("?tp_btf/tcp_retransmit_synack")
int BPF_PROG(listen_synack, const struct sock *sk, const struct request_sock *req)
{
	__u64 key = (__u64)sk;
	struct listen_value *value = bpf_map_lookup_elem(&listening, &key);

	if (value)
		count_one(&value->synack_retransmits);
	return 0;
}

/* Listeners older than culprit. */
SEC("?iter/task_file")
int listen_walk(struct bpf_iter__task_file *ctx)
{
	struct file *file = ctx->file;
	const struct sock *address;
	struct sock *sk;

	if (!file)
		return 0;
	if (!has_typed_files()) {
		address = address_of_file(file);
		if (address && listens_at(address))
			enter_read(address);
		return 0;
	}
	sk = sock_of_file(file);
	if (sk && !is_datagram(sk) && sk->__sk_common.skc_state == TCP_LISTEN)
		enter(sk);
	return 0;
}

/* One event for a queue that became full or dropped something since the last one. */
static __always_inline void tell(struct listen_value *value)
{
	struct abi_ledger *ledger = ledger_of(ABI_LISTEN);
	__u32 drops = value->drops - value->drops_told;
	bool full = value->peak > value->limit;
	bool news = drops || (full && !value->full_told);
	struct listen_event event = {};

	value->full_told = full;
	value->drops_told = value->drops;
	if (!ledger || !news || !wanted(ABI_LISTEN))
		return;
	count_one(&ledger->seen);
	event.flow = value->flow;
	event.owner = value->owner;
	event.drops = drops;
	event.depth = value->peak;
	event.limit = value->limit;
	event.syn_depth = value->syn_depth;
	event.full = full;
	event.sockets = value->sockets;
	record_put(ledger, &event.head, ABI_LISTEN, sizeof(event));
}

/* Over `listening`, run by userspace at each of its ticks: no hook fires for a SYN that a full
 * queue drops (it is consumed like any other), so the sockets themselves are looked at. Not
 * iter/tcp: it walks all connections of a namespace to find its listeners. */
SEC("?iter/bpf_map_elem")
int listen_look(struct bpf_iter__bpf_map_elem *ctx)
{
	const __u64 *at = ctx->key;
	struct listen_value *value;
	struct listen_group *group;
	struct abi_socket *owned;
	__u64 sk;

	if (!at || !ctx->value)
		return 0;
	sk = *at;
	value = bpf_map_lookup_elem(&listening, &sk);
	if (!value)
		return 0;
	if (!queues_read(value, (const struct sock *)sk)) {
		leave(value, sk);
		return 0;
	}
	if (!value->group_ns)
		group_join(value, sk);
	owned = bpf_map_lookup_elem(&owners, &sk);
	if (owned)
		value->owner = owned->owner;
	if (!matches(value))
		return 0;
	group = group_of(value);
	group_read(value, group);
	/* no room left: the kernel comes back to this entry with an empty buffer */
	if (bpf_seq_write(ctx->meta->seq, value, sizeof(*value)))
		return 0;
	if (group)
		group->peak = 0;
	tell(value);
	return 0;
}
