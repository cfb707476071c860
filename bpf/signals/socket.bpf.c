// SPDX-License-Identifier: GPL-2.0-only
/* Which sockets are there now, whose are they and what do their queues hold? Iterators only:
 * nothing runs unless it is asked for. */
#include "vmlinux.h"

#include "datagram.bpf.h"
#include "filter.bpf.h"
#include "socket.bpf.h"
#include "walk.bpf.h"

char LICENSE[] SEC("license") = "GPL";

/* Full buffer: the kernel calls again for this socket, so only what was written is counted. */
static __always_inline int put(struct seq_file *seq, struct socket_info *info)
{
	struct abi_ledger *ledger = ledger_of(ABI_SOCKET);

	if (!ledger)
		return 0;
	if (!record_matches(ledger, &info->flow, &info->owner)) {
		count_one(&ledger->seen);
		return 0;
	}
	info->head.when_ns = bpf_ktime_get_boot_ns();
	info->head.kind = ABI_SOCKET;
	info->head.size_bytes = sizeof(*info);
	info->head.cpu = bpf_get_smp_processor_id();
	if (bpf_seq_write(seq, info, sizeof(*info)) == 0) {
		count_one(&ledger->seen);
		count_one(&ledger->submitted);
	}
	return 0;
}

static __always_inline void from_tcp(struct socket_info *info, const struct tcp_sock *tp)
{
	const struct sock *sk = &tp->inet_conn.icsk_inet.sk;

	basics_from_sock(info, sk);
	flow_from_tcp(&info->flow, tp);
	info->state = sk->__sk_common.skc_state;
	life_of_tcp(info, sk);
	if (info->state == TCP_LISTEN)
		queues_from_listener(info, tp);
	else
		queues_from_tcp(info, tp);
}

/* A handshake under way on the server's side: a request, not a socket yet. */
static __always_inline void from_request(struct socket_info *info,
					 const struct tcp_request_sock *tr)
{
	const struct request_sock *request = &tr->req.req;

	flow_from_common(&info->flow, &request->__req_common);
	info->state = TCP_SYN_RECV;
	info->role = ABI_ROLE_SERVER;
	info->unanswered = request->num_timeout;
	info->retransmits = request->num_retrans;
	timer_set(info, ABI_TIMER_RETRANSMIT, request->rsk_timer.expires);
	owner_from_listener(&info->owner, info->flow.netns, info->flow.local_port);
}

/* The process is gone from it, only the listener behind the port may still tell whose it was. */
static __always_inline void from_timewait(struct socket_info *info,
					  const struct tcp_timewait_sock *tw)
{
	flow_from_common(&info->flow, &tw->tw_sk.__tw_common);
	info->state = tw->tw_sk.tw_substate;
	timer_set(info, ABI_TIMER_TIME_WAIT, tw->tw_sk.tw_timer.expires);
	inherit(&info->owner, info->flow.netns, info->flow.local_port);
}

/* All TCP sockets of the namespace in which the iterator was created, listening ones first. Since
 * 5.9; not sock_diag: that knows no owner, and to find one by its inode in /proc costs ten times as
 * much. */
SEC("?iter/tcp")
int socket_tcp(struct bpf_iter__tcp *ctx)
{
	/* loaded before the paths part: for each load of a pointer on each path the verifier
	 * searches the kernel's whole BTF, which would be a sixth of the cost of the start */
	struct seq_file *seq = ctx->meta->seq;
	struct sock_common *skc = ctx->sk_common;
	struct socket_info info = {};
	struct tcp_timewait_sock *tw;
	struct tcp_request_sock *tr;
	struct tcp_sock *tp;

	if (!skc)
		return 0;
	tp = bpf_skc_to_tcp_sock(skc);
	if (tp) {
		from_tcp(&info, tp);
		return put(seq, &info);
	}
	tw = bpf_skc_to_tcp_timewait_sock(skc);
	if (tw) {
		from_timewait(&info, tw);
		return put(seq, &info);
	}
	tr = bpf_skc_to_tcp_request_sock(skc);
	if (!tr)
		return 0;
	from_request(&info, tr);
	return put(seq, &info);
}

/* All UDP sockets of the namespace, as above. */
SEC("?iter/udp")
int socket_udp(struct bpf_iter__udp *ctx)
{
	struct seq_file *seq = ctx->meta->seq;
	struct udp_sock *udp = ctx->udp_sk;
	struct socket_info info = {};
	struct abi_socket *known;
	__s32 unread, unsent;
	struct sock *sk;

	if (!udp)
		return 0;
	sk = &udp->inet.sk;
	basics_from_sock(&info, sk);
	flow_from_common(&info.flow, &sk->__sk_common);
	info.flow.protocol = IPPROTO_UDP;
	info.state = sk->__sk_common.skc_state;
	/* net/ipv4/udp_diag.c: udp_diag_get_info(); the allocation count begins at 1 */
	unread = info.rmem_alloc - udp->forward_deficit;
	unsent = sk->sk_wmem_alloc.refs.counter - 1;
	info.recv_queue = unread > 0 ? unread : 0;
	info.send_queue = unsent > 0 ? unsent : 0;
	known = config.holders ? NULL : datagram_known(sk);
	if (config.holders)
		owner_from_holders(&info.owner, sk);
	else if (known)
		info.owner = known->owner; /* its cgroup was read from the socket too */
	return put(seq, &info);
}

/* The socket behind a file, and whether it listens: most are connected, and what they are is not
 * asked of the sock, whose memory is cold. */
static __always_inline const struct sock *inet_of_file(struct file *file, bool *listens)
{
	struct socket *socket;
	const struct sock *sk;

	if (!has_typed_files()) {
		sk = address_of_file(file);
		*listens = sk && listens_at(sk);
		return sk;
	}
	socket = bpf_sock_from_file(file);
	sk = socket && is_inet(socket) ? socket->sk : NULL;
	*listens = sk && socket->state == SS_UNCONNECTED && sk->__sk_common.skc_state == TCP_LISTEN;
	return sk;
}

/* Whose sockets they are, where no hook of the connection signal has seen it: run once before the
 * others, over the file tables of all tasks. */
SEC("?iter/task_file")
int socket_walk(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	bool added, listens = false;
	struct abi_ledger *ledger;
	const struct sock *sk;

	sk = task && file ? inet_of_file(file, &listens) : NULL;
	if (!sk)
		return 0;
	if (listens)
		added = walk_file(task, file, ctx->meta->session_id) == 0;
	else
		added = held_add(sk, task);
	ledger = added ? NULL : ledger_of(ABI_SOCKET);
	if (ledger)
		count_one(&ledger->map_full);
	return 0;
}
