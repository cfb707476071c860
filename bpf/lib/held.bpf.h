/* SPDX-License-Identifier: GPL-2.0-only */
/* Who holds each socket, as one walk over the file tables found it: for a look without hooks, where
 * only that walk writes and nothing is deleted. */
#ifndef CULPRIT_HELD_BPF_H
#define CULPRIT_HELD_BPF_H

#include "owner.bpf.h"

#define HELD_BITS 19
#define HELD_MAX (1 << HELD_BITS)
#define HELD_TRIES 64
#define HOLDERS_MAX 16384

struct held_socket {
	__u64 sk; /* 0: a free slot */
	__u32 tgid; /* 0: more than one process holds it */
	__u32 pad;
};

/* Open addressing: a socket is in the slot its address hashes to or in one of the next ones. An
 * array and not a hash map, which allocates each element, spread over memory: that would be a third
 * of the cost of an inventory. Inserted by the walk, never deleted. No free slot in reach, at first
 * when four fifths are taken: the socket has no owner, counted in map_full. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HELD_MAX);
	__type(key, __u32);
	__type(value, struct held_socket);
} held SEC(".maps");

/* tgid -> the process. Inserted by the walk, never deleted. Full: its sockets have no owner,
 * counted in map_full for each. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, HOLDERS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct abi_owner);
} holders SEC(".maps");

/* The slot that has the socket or would take it; NULL when all in reach have others. */
static __always_inline struct held_socket *held_slot(const struct sock *sk)
{
	__u64 key = (__u64)sk;
	/* of 32 bits, which the verifier takes for a number; of all, it would be math on a pointer
	 */
	__u32 first = (__u32)key * 2654435761U >> (32 - HELD_BITS);

	for (__u32 i = 0; i < HELD_TRIES; i++) {
		__u32 at = (first + i) & (HELD_MAX - 1);
		struct held_socket *slot = bpf_map_lookup_elem(&held, &at);

		if (!slot || !slot->sk || slot->sk == key)
			return slot;
	}
	return NULL;
}

static __always_inline bool holder_add(const struct task_struct *task)
{
	struct task_struct *leader = task->group_leader;
	struct abi_owner owner = {
		.tgid = task->tgid,
		.provenance = ABI_OWNER_HOLDER,
	};

	if (!leader)
		return false;
	if (bpf_map_lookup_elem(&holders, &owner.tgid))
		return true;
	owner.start_ns = leader->start_boottime;
	comm_copy(owner.comm, leader->comm);
	return bpf_map_update_elem(&holders, &owner.tgid, &owner, BPF_ANY) == 0;
}

/* False when a map is full. */
static __always_inline bool held_add(const struct sock *sk, const struct task_struct *task)
{
	struct held_socket *slot = held_slot(sk);
	__u32 tgid = task->tgid;

	if (!slot)
		return false;
	if (slot->sk) {
		if (slot->tgid != tgid)
			slot->tgid = 0;
		return true;
	}
	if (!holder_add(task))
		return false;
	slot->tgid = tgid;
	slot->sk = (__u64)sk;
	return true;
}

/* False when no process holds it; of several holders nobody knows which one uses it. The cgroup
 * stays. */
static __always_inline bool owner_from_holders(struct abi_owner *owner, const struct sock *sk)
{
	struct held_socket *slot = held_slot(sk);
	__u64 cgroup_id = owner->cgroup_id;
	struct abi_owner *holder;

	if (!slot || !slot->sk)
		return false;
	holder = bpf_map_lookup_elem(&holders, &slot->tgid);
	if (!holder)
		return true;
	*owner = *holder;
	owner->cgroup_id = cgroup_id;
	return true;
}

#endif
