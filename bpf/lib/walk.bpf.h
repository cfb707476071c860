/* SPDX-License-Identifier: GPL-2.0-only */
/* Sockets found in the tasks' file tables: who holds them? */
#ifndef CULPRIT_WALK_BPF_H
#define CULPRIT_WALK_BPF_H

#include "file.bpf.h"
#include "learn.bpf.h"

/* A listening socket stays with the process that stands for it; when that ended, an heir does. */
static __always_inline void walk_listener(struct abi_socket *known, const struct sock *sk,
					  const struct abi_owner *holder)
{
	__u32 netns = netns_of_common(&sk->__sk_common);
	__u16 port = sk->__sk_common.skc_num;

	if (known->owner.tgid == holder->tgid)
		return;
	if (!is_gone(known->owner.tgid)) {
		listener_share(netns, port);
		return;
	}
	known->owner = *holder;
	listener_inherit(holder, netns, port);
	learn_server(holder->tgid);
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
		walk_listener(known, sk, holder);
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

/* One file of one task, met by that walk; an error when a map is full. The lowest process that
 * holds a listening socket stands for it; that others do too is remembered. */
static __always_inline int walk_file(struct task_struct *task, struct file *file, __u32 walk)
{
	struct task_struct *leader = task->group_leader;
	struct sock *sk = sock_of_file(file);
	struct abi_socket fresh = { .walk = walk };
	struct abi_socket *known;
	__u64 key = (__u64)sk;
	int error;

	if (!sk || !leader)
		return 0;
	fresh.owner.tgid = task->tgid;
	fresh.owner.start_ns = leader->start_boottime;
	comm_copy(fresh.owner.comm, leader->comm);
	fresh.owner.provenance = ABI_OWNER_HOLDER;
	fresh.owner.cgroup_id = cgroup_of(sk);
	if (sk->__sk_common.skc_state == TCP_LISTEN)
		fresh.role = ABI_ROLE_LISTENER;
	/* a hook that was faster knows more */
	error = bpf_map_update_elem(&owners, &key, &fresh, BPF_NOEXIST);
	if (error == -EEXIST) {
		known = bpf_map_lookup_elem(&owners, &key);
		if (known)
			walk_known(known, sk, &fresh.owner, walk);
		return 0;
	}
	if (error || fresh.role != ABI_ROLE_LISTENER)
		return error;
	learn_server(task->tgid);
	return listener_add(&fresh.owner, netns_of_common(&sk->__sk_common),
			    sk->__sk_common.skc_num);
}

#endif
