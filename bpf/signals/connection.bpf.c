// SPDX-License-Identifier: GPL-2.0-only
/* How did each TCP connection begin and end, and whose socket was it? */
#include "vmlinux.h"

#include "attempt.bpf.h"
#include "connection.h"
#include "ending.bpf.h"
#include "filter.bpf.h"
#include "walk.bpf.h"

char LICENSE[] SEC("license") = "GPL";

static __always_inline void remember(__u64 key, const struct abi_socket *socket)
{
	count_refused(ABI_CLOSE, bpf_map_update_elem(&owners, &key, socket, BPF_ANY));
}

/* SYN_SENT and LISTEN are entered inside connect() and listen() (net/ipv4/tcp_ipv4.c:
 * tcp_v4_connect(), net/ipv4/inet_connection_sock.c: inet_csk_listen_start()): the one moment at
 * which the running task is the owner. */
static __always_inline void opened(const struct sock *sk, __u8 role, const struct place *at)
{
	struct abi_socket socket = {};

	/* what the kernel opens for itself or for somebody (NFS, MPTCP) has no owner to name */
	if (!is_kernel_thread())
		owner_from_current(&socket.owner, ABI_OWNER_CREATOR);
	socket.owner.cgroup_id = at->cgroup_id;
	socket.opened_ns = bpf_ktime_get_boot_ns();
	socket.role = role;
	socket.listed = role == ABI_ROLE_LISTENER && sk->__sk_common.skc_num;
	remember((__u64)sk, &socket);
	if (role != ABI_ROLE_LISTENER)
		return;
	if (socket.owner.tgid)
		learn_server(socket.owner.tgid);
	count_refused(ABI_CLOSE, listener_add(&socket.owner, at->netns, sk->__sk_common.skc_num));
}

static __always_inline void established(const struct sock *sk, struct abi_socket *known,
					int oldstate, const struct place *at)
{
	__u64 now = bpf_ktime_get_boot_ns();
	struct abi_socket fresh = {};

	if (oldstate == TCP_SYN_SENT)
		connect_result(sk, known, now, true, at);
	/* SYN_RECV after our own SYN (simultaneous open) keeps the client's entry; any other entry
	 * at this address is left over from a socket that is gone */
	if (known && known->role == ABI_ROLE_CLIENT) {
		known->established_ns = now;
		return;
	}
	fresh.established_ns = now;
	fresh.role = oldstate == TCP_SYN_SENT ? ABI_ROLE_CLIENT : ABI_ROLE_SERVER;
	if (fresh.role == ABI_ROLE_SERVER)
		inherit(&fresh.owner, at->netns, sk->__sk_common.skc_num);
	remember((__u64)sk, &fresh);
}

static __always_inline void closing(struct abi_socket *known, __u8 closer)
{
	if (known && !known->closing_ns) {
		known->closing_ns = bpf_ktime_get_boot_ns();
		known->closer = closer;
	}
}

static __always_inline void close_owner(struct abi_owner *owner, const struct abi_socket *known,
					const struct abi_flow *flow, const struct place *at)
{
	if (!known)
		inherit(owner, flow->netns, flow->local_port);
	else
		*owner = known->owner;
	owner->cgroup_id = at->cgroup_id;
}

static __always_inline bool close_passes(struct abi_ledger *ledger, const struct tcp_sock *tp,
					 const struct abi_socket *known, const struct place *at)
{
	struct abi_owner owner;
	struct abi_flow flow;

	if (!config.filters)
		return true;
	flow_from_tcp_at(&flow, tp, at->netns);
	close_owner(&owner, known, &flow, at);
	return record_matches(ledger, &flow, &owner);
}

static __always_inline void closed(const struct sock *sk, const struct abi_socket *known, __u64 now,
				   int oldstate, const struct place *at)
{
	struct abi_ledger *ledger = ledger_of(ABI_CLOSE);
	struct tcp_sock *tp = bpf_skc_to_tcp_sock((void *)sk);
	struct close_event *event;

	if (!ledger || !tp || !wanted(ABI_CLOSE))
		return;
	add_alone(&ledger->seen, 1);
	if (!close_passes(ledger, tp, known, at))
		return;
	event = record_begin(ledger, ABI_CLOSE, now, sizeof(*event));
	if (!event)
		return;
	__builtin_memset(&event->flow, 0, sizeof(*event) - sizeof(event->head));
	flow_from_tcp_at(&event->flow, tp, at->netns);
	close_owner(&event->owner, known, &event->flow, at);
	if (known)
		close_times(event, known, now);
	close_from_tcp(event, sk, tp, oldstate);
	record_send(event, sizeof(*event));
}

static __always_inline void gone(const struct sock *sk, const struct abi_socket *known,
				 int oldstate, const struct place *at)
{
	__u64 now = bpf_ktime_get_boot_ns();
	struct tcp_sock *tp;

	if (oldstate == TCP_SYN_SENT) {
		connect_result(sk, known, now, false, at);
	} else if (oldstate == TCP_LISTEN) {
		tp = bpf_skc_to_tcp_sock((void *)sk);
		if (tp && known && known->listed)
			listener_remove(at->netns, bpf_ntohs(tp->inet_conn.icsk_inet.inet_sport));
	} else if (oldstate != TCP_CLOSE) {
		closed(sk, known, now, oldstate, at);
	}
}

/* The most stable hook of all (5.10 .. 7.x unchanged). Keyed on the socket: at SYN_SENT the local
 * port is not chosen yet, at CLOSE skc_num is 0 again, so no key made of ports survives a
 * connection. */
SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(connection_state, const struct sock *sk, int oldstate, int newstate)
{
	struct abi_socket *known;
	__u64 key = (__u64)sk;
	struct place at = {};

	/* on the way from one FIN to the other there is nothing to learn */
	if (sk->sk_protocol != IPPROTO_TCP || newstate == TCP_FIN_WAIT2 || newstate == TCP_CLOSING)
		return 0;
	known = bpf_map_lookup_elem(&owners, &key);
	at.netns = netns_of_common(&sk->__sk_common);
	at.cgroup_id = cgroup_of(sk);
	if (closes_here(sk, oldstate, newstate))
		learn_closer(sk, known);
	switch (newstate) {
	case TCP_SYN_SENT:
		opened(sk, ABI_ROLE_CLIENT, &at);
		break;
	case TCP_LISTEN:
		opened(sk, ABI_ROLE_LISTENER, &at);
		break;
	case TCP_ESTABLISHED:
		established(sk, known, oldstate, &at);
		break;
	case TCP_FIN_WAIT1:
	case TCP_LAST_ACK:
		closing(known, ABI_CLOSER_LOCAL);
		break;
	case TCP_CLOSE_WAIT:
		closing(known, ABI_CLOSER_REMOTE);
		break;
	case TCP_CLOSE:
		gone(sk, known, oldstate, &at);
		break;
	}
	return 0;
}

/* Each piece of data a process takes (net/ipv4/tcp_input.c: tcp_rcv_space_adjust()). */
SEC("?tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(connection_read, struct sock *sk)
{
	learn_reader(sk);
	return 0;
}

/* The socket is about to be freed (net/ipv4/tcp_ipv4.c: tcp_v4_destroy_sock()). Not at CLOSE: an
 * aborting socket sends its reset after that, and the reset wants its owner. */
SEC("?tp_btf/tcp_destroy_sock")
int BPF_PROG(connection_free, struct sock *sk)
{
	learn_forget(sk);
	return 0;
}

SEC("?tp_btf/sched_process_fork")
int BPF_PROG(connection_fork, struct task_struct *parent, struct task_struct *child)
{
	learn_fork(parent, child);
	return 0;
}

SEC("?tp_btf/sched_process_exit")
int BPF_PROG(connection_exit, struct task_struct *task)
{
	learn_exit(task);
	return 0;
}

/* Sockets older than culprit, and those nobody was seen using: run at start and for the last look,
 * over the file tables of all tasks. */
SEC("?iter/task_file")
int connection_walk(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;

	if (task && file)
		count_refused(ABI_CLOSE, walk_file(task, file, ctx->meta->session_id));
	return 0;
}
