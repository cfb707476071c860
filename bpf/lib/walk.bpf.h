/* SPDX-License-Identifier: GPL-2.0-only */
/* Sockets found in the tasks' file tables: who holds them? */
#ifndef CULPRIT_WALK_BPF_H
#define CULPRIT_WALK_BPF_H

#include "file.bpf.h"
#include "learn.bpf.h"

static __always_inline bool same_comm(const struct abi_owner *a, const struct abi_owner *b)
{
	const __u64 *left = (const __u64 *)a->comm, *right = (const __u64 *)b->comm;

	return left[0] == right[0] && left[1] == right[1];
}

/* A TCP socket met in a file table. Where it listens is of interest only of one that does. */
struct met {
	__u64 key; /* its address */
	__u32 netns;
	__u16 port;
	bool listens;
};

/* A listening socket stays with the process that called listen(), and passes to an heir when that
 * ended. Found by its holders it belongs to the lowest of a program's processes; init only keeps it
 * for others (socket activation), and of different programs nobody knows which one accepts. */
static __always_inline void walk_listener(struct abi_socket *known, const struct met *met,
					  const struct abi_owner *holder, bool first)
{
	__u32 tgid = known->owner.tgid;

	if (tgid == holder->tgid)
		return;
	if (is_gone(tgid) || tgid == 1 || (first && !tgid)) {
		known->owner = *holder;
		listener_inherit(holder, met->netns, met->port);
		learn_server(holder->tgid);
		return;
	}
	listener_share(met->netns, met->port);
	if (known->owner.provenance == ABI_OWNER_HOLDER && holder->tgid != 1 &&
	    !same_comm(&known->owner, holder)) {
		owner_clear(&known->owner);
		known->owner.cgroup_id = holder->cgroup_id;
	}
}

/* A socket that is in the map already. Who was seen using it is better known than by its holders;
 * otherwise the first holder a walk meets is the owner, and a second one means that nobody knows
 * which of them uses it. */
static __always_inline void walk_known(struct abi_socket *known, const struct met *met,
				       const struct abi_owner *holder, __u32 walk)
{
	bool first = known->walk != walk;

	known->walk = walk;
	if (known->role == ABI_ROLE_LISTENER) {
		walk_listener(known, met, holder, first);
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

static __always_inline int walk_tcp(const struct met *met, struct abi_socket *fresh)
{
	struct abi_socket *known;
	__u64 key = met->key;
	int error;

	if (met->listens) {
		fresh->role = ABI_ROLE_LISTENER;
		fresh->listed = 1;
	}
	/* a hook that was faster knows more */
	error = bpf_map_update_elem(&owners, &key, fresh, BPF_NOEXIST);
	if (error == -EEXIST) {
		known = bpf_map_lookup_elem(&owners, &key);
		if (known)
			walk_known(known, met, &fresh->owner, fresh->walk);
		return 0;
	}
	if (error || !fresh->listed)
		return error;
	learn_server(fresh->owner.tgid);
	return listener_add(&fresh->owner, met->netns, met->port);
}

static __always_inline int walk_datagram(struct sock *sk, struct abi_socket *fresh)
{
	struct abi_socket *known = bpf_sk_storage_get(&datagram_owners, sk, NULL, 0);
	struct met met = {};

	if (known) {
		walk_known(known, &met, &fresh->owner, fresh->walk);
		return 0;
	}
	return bpf_sk_storage_get(&datagram_owners, sk, fresh, BPF_SK_STORAGE_GET_F_CREATE)
		       ? 0
		       : -ENOMEM;
}

/* False when the process is going. */
static __always_inline bool holder_from_task(struct abi_owner *owner,
					     const struct task_struct *task)
{
	struct task_struct *leader = task->group_leader;

	if (!leader)
		return false;
	owner->tgid = task->tgid;
	owner->start_ns = leader->start_boottime;
	comm_copy(owner->comm, leader->comm);
	owner->provenance = ABI_OWNER_HOLDER;
	return true;
}

static __always_inline int walk_typed(struct file *file, struct abi_socket *fresh)
{
	struct sock *sk = sock_of_file(file);
	struct met met = { .key = (__u64)sk };

	if (!sk)
		return 0;
	fresh->owner.cgroup_id = cgroup_of(sk);
	if (is_datagram(sk))
		return walk_datagram(sk, fresh);
	met.listens = sk->__sk_common.skc_state == TCP_LISTEN;
	if (met.listens) {
		met.netns = netns_of_common(&sk->__sk_common);
		met.port = sk->__sk_common.skc_num;
	}
	return walk_tcp(&met, fresh);
}

static __always_inline int walk_read(const struct file *file, struct abi_socket *fresh)
{
	const struct sock *sk = address_of_file(file);
	struct met met = { .key = (__u64)sk };

	if (!sk || BPF_CORE_READ(sk, sk_protocol) != IPPROTO_TCP ||
	    BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_CLOSE)
		return 0;
	if (bpf_core_field_exists(struct sock_cgroup_data, cgroup))
		fresh->owner.cgroup_id = BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id);
	met.listens = listens_at(sk);
	if (met.listens) {
		met.netns = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
		met.port = BPF_CORE_READ(sk, __sk_common.skc_num);
	}
	return walk_tcp(&met, fresh);
}

/* One file of one task, met by that walk; an error when a map is full. The lowest process that
 * holds a listening socket stands for it; that others do too is remembered. */
static __always_inline int walk_file(struct task_struct *task, struct file *file, __u32 walk)
{
	struct abi_socket fresh = { .walk = walk };

	if (!holder_from_task(&fresh.owner, task))
		return 0;
	return has_typed_files() ? walk_typed(file, &fresh) : walk_read(file, &fresh);
}

#endif
