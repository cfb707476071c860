/* SPDX-License-Identifier: GPL-2.0-only */
/* Who really uses a socket? Learnt where the running task is known to work on it for itself: it
 * holds the socket's lock. Softirq and timers never do (net/ipv4/tcp_ipv4.c: tcp_v4_rcv() and
 * tcp_timer.c: tcp_write_timer() leave a locked socket alone), so the task they interrupted is
 * never taken for the owner. */
#ifndef CULPRIT_LEARN_BPF_H
#define CULPRIT_LEARN_BPF_H

#include "owner.bpf.h"

#define MARKS 4096
#define SERVERS_MAX 4096

/* Sockets whose reader is known, direct mapped by address: what makes the hook of each read cheap.
 * A slot taken by another socket only costs a look into the map. Not atomic: two CPUs that meet in
 * a slot may leave a mixture, which delays one hand-over. */
struct mark {
	__u64 sk;
	__u64 tgid;
};
static struct mark marks[MARKS];

/* tgid of a process that listens -> 1 once it forked: its workers may accept in its place, so
 * nothing is inherited from it any more. Least recently used ones give way; a server that is
 * forgotten counts as one without workers. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SERVERS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} servers SEC(".maps");

static __always_inline struct mark *mark_of(const struct sock *sk)
{
	__u64 address = (__u64)sk;

	return &marks[((address >> 6) ^ (address >> 18)) & (MARKS - 1)];
}

static __always_inline bool locked_by_task(const struct sock *sk)
{
	return sk->sk_lock.owned;
}

/* A kernel thread that closes or reads works for somebody else: delayed fput, sockets in flight. */
static __always_inline bool is_kernel_thread(void)
{
	struct task_struct *task;

	if (!bpf_core_enum_value_exists(enum bpf_func_id___young,
					BPF_FUNC_get_current_task_btf___young))
		return !(bpf_get_current_pid_tgid() >> 32);
	task = bpf_get_current_task_btf();
	return task->flags & PF_KTHREAD;
}

static __always_inline void take_over(struct abi_socket *known, __u32 provenance)
{
	__u64 cgroup = known->owner.cgroup_id;

	owner_from_current(&known->owner, provenance);
	known->owner.cgroup_id = cgroup;
}

/* Called for each piece of data a process reads. The last reader is the owner: a socket may have
 * been handed over. */
static __always_inline void learn_reader(const struct sock *sk)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct mark *mark = mark_of(sk);
	struct abi_socket *known;
	__u64 key = (__u64)sk;

	if ((mark->sk == key && mark->tgid == tgid) || !locked_by_task(sk) || is_kernel_thread())
		return;
	known = bpf_map_lookup_elem(&owners, &key);
	if (!known || known->role == ABI_ROLE_LISTENER)
		return;
	/* who called connect() stays its creator, seen reading or not */
	if (known->owner.tgid != tgid || known->owner.provenance < ABI_OWNER_CREATOR)
		take_over(known, ABI_OWNER_READER);
	known->used = 1;
	mark->tgid = tgid;
	mark->sk = key;
}

/* Called when a FIN or a reset goes out: only the last holder's close() does that. Whoever was seen
 * reading counts for more. */
static __always_inline void learn_closer(const struct sock *sk, struct abi_socket *known)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	if (!known || known->used || known->role == ABI_ROLE_LISTENER || !locked_by_task(sk) ||
	    is_kernel_thread())
		return;
	if (known->owner.tgid != tgid || known->owner.provenance < ABI_OWNER_CREATOR)
		take_over(known, ABI_OWNER_WRITER);
}

static __always_inline void learn_forget(const struct sock *sk)
{
	__u64 key = (__u64)sk;

	mark_of(sk)->sk = 0;
	bpf_map_delete_elem(&owners, &key);
}

static __always_inline void learn_server(__u32 tgid)
{
	__u32 alone = 0;

	bpf_map_update_elem(&servers, &tgid, &alone, BPF_NOEXIST);
}

/* A child that shares its parent's memory is about to exec (posix_spawn(), vfork()) or a thread. */
static __always_inline void learn_fork(const struct task_struct *parent,
				       const struct task_struct *child)
{
	__u32 tgid = parent->tgid;
	__u32 *forked;

	if (parent->mm == child->mm)
		return;
	forked = bpf_map_lookup_elem(&servers, &tgid);
	if (forked)
		*forked = 1;
}

/* What a connection inherits until its user is seen. */
static __always_inline void inherit(struct abi_owner *owner, __u32 netns, __u16 port)
{
	__u32 *forked;

	owner_from_listener(owner, netns, port);
	forked = bpf_map_lookup_elem(&servers, &owner->tgid);
	if (forked && *forked)
		owner_clear(owner);
}

/* A socket that is in the map already. Who was seen using it is better known than by its holders;
 * otherwise the first holder a walk meets is the owner, and a second one means that nobody knows
 * which of them uses it. */
static __always_inline void walk_known(struct abi_socket *known, const struct sock *sk,
				       const struct abi_owner *holder, __u32 walk)
{
	bool first = known->walk != walk;

	known->walk = walk;
	if (known->role == ABI_ROLE_LISTENER) {
		if (known->owner.tgid != holder->tgid)
			listener_share(netns_of_common(&sk->__sk_common), sk->__sk_common.skc_num);
		return;
	}
	if (known->owner.provenance != ABI_OWNER_UNKNOWN &&
	    known->owner.provenance != ABI_OWNER_HOLDER)
		return;
	if (first) {
		known->owner = *holder;
	} else if (known->owner.tgid != holder->tgid) {
		owner_clear(&known->owner);
		known->owner.cgroup_id = holder->cgroup_id;
	}
}

/* One file of one task, met by that walk. The lowest process that holds a listening socket stands
 * for it; that others do too is remembered. */
static __always_inline void walk_file(struct task_struct *task, struct file *file, __u32 walk)
{
	struct task_struct *leader = task->group_leader;
	struct socket *socket = bpf_sock_from_file(file);
	struct abi_socket fresh = { .walk = walk };
	struct abi_socket *known;
	struct sock *sk;
	__u64 key;

	if (!socket || !leader)
		return;
	sk = socket->sk;
	if (!sk || sk->sk_protocol != IPPROTO_TCP || sk->__sk_common.skc_state == TCP_CLOSE ||
	    (sk->__sk_common.skc_family != AF_INET && sk->__sk_common.skc_family != AF_INET6))
		return;
	key = (__u64)sk;
	fresh.owner.tgid = task->tgid;
	fresh.owner.start_ns = leader->start_boottime;
	comm_copy(fresh.owner.comm, leader->comm);
	fresh.owner.provenance = ABI_OWNER_HOLDER;
	fresh.owner.cgroup_id = cgroup_of(sk);
	known = bpf_map_lookup_elem(&owners, &key);
	if (known) {
		walk_known(known, sk, &fresh.owner, walk);
		return;
	}
	if (sk->__sk_common.skc_state == TCP_LISTEN) {
		fresh.role = ABI_ROLE_LISTENER;
		listener_add(&fresh.owner, netns_of_common(&sk->__sk_common),
			     sk->__sk_common.skc_num);
		learn_server(task->tgid);
	}
	bpf_map_update_elem(&owners, &key, &fresh, BPF_NOEXIST);
}

#endif
