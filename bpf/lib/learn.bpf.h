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

enum {
	SERVER_ALONE = 0,
	SERVER_FORKED = 1, /* its workers may accept in its place: nothing is inherited from it */
	SERVER_GONE = 2, /* it left its listening sockets to others */
};

/* tgid of a process that called listen() -> one of these. Least recently used ones give way:
 * nothing is inherited from a server that is forgotten. */
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

static __always_inline void take_over(struct abi_socket *known, __u32 provenance)
{
	__u64 cgroup = known->owner.cgroup_id;

	owner_from_current(&known->owner, provenance);
	known->owner.cgroup_id = cgroup;
}

/* A socket older than culprit that no walk found, which no file led to at that moment. */
static __always_inline struct abi_socket *learn_old(const struct sock *sk, __u64 key)
{
	struct abi_socket fresh = {};

	fresh.owner.cgroup_id = cgroup_of(sk);
	count_refused(ABI_CLOSE, bpf_map_update_elem(&owners, &key, &fresh, BPF_NOEXIST));
	return bpf_map_lookup_elem(&owners, &key);
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
	if (!known)
		known = learn_old(sk, key);
	if (!known || known->role == ABI_ROLE_LISTENER)
		return;
	/* who called connect() stays its creator, seen reading or not */
	if (known->owner.tgid != tgid || known->owner.provenance < ABI_OWNER_CREATOR)
		take_over(known, ABI_OWNER_READER);
	mark->tgid = tgid;
	mark->sk = key;
}

/* Does this side send its FIN or a reset? An abort from outside (ss -K) has an error:
 * net/ipv4/tcp.c: tcp_abort(). */
static __always_inline bool closes_here(const struct sock *sk, int oldstate, int newstate)
{
	if (newstate == TCP_FIN_WAIT1 || newstate == TCP_LAST_ACK)
		return true;
	return newstate == TCP_CLOSE && !sk->sk_err &&
	       (oldstate == TCP_ESTABLISHED || oldstate == TCP_CLOSE_WAIT);
}

/* Called when a FIN or a reset goes out: only the last holder's close() does that. Whoever was seen
 * reading or connecting counts for more: the last holder may be a child that never knew of it. */
static __always_inline void learn_closer(const struct sock *sk, struct abi_socket *known)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	/* a walk of ours holds a file for a moment, and may be the last to let go of it */
	if (!known || known->owner.provenance >= ABI_OWNER_CREATOR || tgid == config.self ||
	    !locked_by_task(sk) || is_kernel_thread())
		return;
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
	__u32 alone = SERVER_ALONE;
	__u32 *known = bpf_map_lookup_elem(&servers, &tgid);

	if (!known || *known == SERVER_GONE)
		bpf_map_update_elem(&servers, &tgid, &alone, BPF_ANY);
}

/* A new process has its parent's sockets, also when it shares its memory until it execs
 * (posix_spawn(), vfork()). */
static __always_inline void learn_fork(const struct task_struct *parent,
				       const struct task_struct *child)
{
	__u32 tgid = parent->tgid;
	__u32 *known;

	if ((__u32)child->tgid == tgid) /* a thread */
		return;
	known = bpf_map_lookup_elem(&servers, &tgid);
	if (known)
		*known = SERVER_FORKED;
}

/* Fires for each thread, after it was taken off the count (kernel/exit.c: do_exit()). */
static __always_inline void learn_exit(const struct task_struct *task)
{
	struct signal_struct *group = task->signal;
	__u32 tgid = task->tgid;
	__u32 *known;

	if (!group || group->live.counter)
		return;
	known = bpf_map_lookup_elem(&servers, &tgid);
	if (known)
		*known = SERVER_GONE;
}

static __always_inline bool is_gone(__u32 tgid)
{
	__u32 *known = bpf_map_lookup_elem(&servers, &tgid);

	return known && *known == SERVER_GONE;
}

/* What a connection inherits until its user is seen. */
static __always_inline void inherit(struct abi_owner *owner, __u32 netns, __u16 port)
{
	__u32 *known, tgid;

	owner_from_listener(owner, netns, port);
	/* the owner may be in the ring, where kernels before 6.2 take no key from */
	tgid = owner->tgid;
	known = bpf_map_lookup_elem(&servers, &tgid);
	if (!known || *known != SERVER_ALONE)
		owner_clear(owner);
}

#endif
