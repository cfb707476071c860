/* SPDX-License-Identifier: GPL-2.0-only */
/* Whose socket is it: the map of owners, and how a record gets its owner from a socket. */
#ifndef CULPRIT_OWNER_BPF_H
#define CULPRIT_OWNER_BPF_H

#include "connection.h"
#include "flow.bpf.h"

#define OWNERS_MAX 524288
#define LISTENERS_MAX 8192

/* struct sock pointer -> abi_socket. A hash and not a socket storage: the first touch of a storage
 * allocates, and tracing programs have none on 5.10. Without preallocation memory follows
 * the number of sockets in use. Inserted at SYN_SENT, LISTEN, ESTABLISHED, deleted
 * when the socket is freed. Full: the socket has no owner and no durations, counted in map_full.
 * An owner that changes is written in place while another CPU may copy it. A copy of two halves has
 * a number and a start of different processes, which no process has: that one record says "exited"
 * and accuses nobody else. A lock would cost each record, and the stack has no room to replace the
 * entry. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OWNERS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct abi_socket);
} owners SEC(".maps");

/* (netns, port) -> the process that listens. Inserted at LISTEN, deleted with the last listener.
 * Full: connections accepted there have an unknown owner, counted in map_full. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LISTENERS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct abi_listener_key);
	__type(value, struct abi_listener);
} listeners SEC(".maps");

static __always_inline __u64 cgroup_of(const struct sock *sk)
{
	struct cgroup *cgroup;
	struct kernfs_node *kn;

	/* the flag-bit form of early 5.10 (flavors.h): the cgroup stays unknown there */
	if (!bpf_core_field_exists(struct sock_cgroup_data, cgroup))
		return 0;
	cgroup = sk->sk_cgrp_data.cgroup;
	if (!cgroup)
		return 0;
	kn = cgroup->kn;
	return kn ? kn->id : 0;
}

static __always_inline void owner_clear(struct abi_owner *owner)
{
	__builtin_memset(owner, 0, sizeof(*owner));
}

/* Older kernels leave bytes of a longer name behind the end of a shorter one. Without a branch: the
 * verifier would follow each of them through all that comes later, which takes most of a second. */
static __always_inline void comm_end(char *comm)
{
	__u32 inside = 1;

	for (int i = 0; i < ABI_COMM_BYTES; i++) {
		__u32 byte = (__u8)comm[i];

		inside *= (byte + 255) >> 8;
		comm[i] = byte * inside;
	}
}

/* Sixteen bytes of a BTF-typed array: bpf_probe_read_kernel_str() would not load under
 * lockdown=confidentiality. */
static __always_inline void comm_copy(char *to, const char *from)
{
	const __u64 *words = (const __u64 *)from;

	((__u64 *)to)[0] = words[0];
	((__u64 *)to)[1] = words[1];
	comm_end(to);
}

/* The running task's process by probe reads, into an owner that is cleared. */
static __always_inline void owner_probe_current(struct abi_owner *owner)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	owner->start_ns = BPF_CORE_READ(task, group_leader, start_boottime);
	BPF_CORE_READ_STR_INTO(&owner->comm, task, group_leader, comm);
	BPF_CORE_READ_STR_INTO(&owner->thread, task, comm);
}

/* The running task's process. Only for hooks that run in the context of the system call in
 * question. */
static __always_inline void owner_from_current(struct abi_owner *owner, __u32 provenance)
{
	owner_clear(owner);
	owner->tgid = bpf_get_current_pid_tgid() >> 32;
	owner->tid = (__u32)bpf_get_current_pid_tgid();
	owner->provenance = provenance;
	if (bpf_core_enum_value_exists(enum bpf_func_id___young,
				       BPF_FUNC_get_current_task_btf___young)) {
		struct task_struct *task = bpf_get_current_task_btf(), *leader = task->group_leader;

		if (!leader)
			return;
		owner->start_ns = leader->start_boottime;
		comm_copy(owner->comm, leader->comm);
		comm_copy(owner->thread, task->comm);
	} else if (config.probe_reads) {
		/* 5.10: the helper returns a number, so a probe read is the only way; under
		 * lockdown=confidentiality the process has only its number */
		owner_probe_current(owner);
	}
}

/* A kernel thread works for somebody else: delayed fput, sockets in flight, lost carriers. */
static __always_inline bool is_kernel_thread(void)
{
	struct task_struct *task;

	if (bpf_core_enum_value_exists(enum bpf_func_id___young,
				       BPF_FUNC_get_current_task_btf___young)) {
		task = bpf_get_current_task_btf();
		return task->flags & PF_KTHREAD;
	}
	if (!config.probe_reads)
		return true;
	task = (void *)bpf_get_current_task();
	return BPF_CORE_READ(task, flags) & PF_KTHREAD;
}

/* Owner of a socket already known by its address; full says whether more than sock_common may be
 * read. */
static __always_inline void owner_from_sock(struct abi_owner *owner, const struct sock *sk,
					    bool full)
{
	__u64 key = (__u64)sk;
	struct abi_socket *known = bpf_map_lookup_elem(&owners, &key);

	if (known)
		*owner = known->owner;
	else
		owner_clear(owner);
	if (full)
		owner->cgroup_id = cgroup_of(sk);
}

/* What a socket behind a port of this namespace inherits: unknown when several processes listen
 * there, or the kernel itself. */
static __always_inline void owner_from_listener(struct abi_owner *owner, __u32 netns, __u16 port)
{
	struct abi_listener_key key = { .netns = netns, .port = port };
	struct abi_listener *listener = bpf_map_lookup_elem(&listeners, &key);

	if (!listener || listener->shared || !listener->owner.tgid) {
		owner_clear(owner);
		return;
	}
	*owner = listener->owner;
	owner->provenance = ABI_OWNER_LISTENER;
	owner->tid = 0;
	__builtin_memset(owner->thread, 0, sizeof(owner->thread));
}

static __always_inline int listener_add(const struct abi_owner *owner, __u32 netns, __u16 port)
{
	struct abi_listener_key key = { .netns = netns, .port = port };
	struct abi_listener *known = bpf_map_lookup_elem(&listeners, &key);
	struct abi_listener fresh = { .owner = *owner, .sockets = 1 };

	/* listen() without bind(): the port is chosen after the hook; connections there have no
	 * owner */
	if (!port)
		return 0;
	if (known) {
		if (known->owner.tgid != owner->tgid || known->owner.start_ns != owner->start_ns)
			known->shared = 1;
		__sync_fetch_and_add(&known->sockets, 1);
		return 0;
	}
	return bpf_map_update_elem(&listeners, &key, &fresh, BPF_ANY);
}

/* One listening socket in two processes' file tables: which of them accepts is not known. */
static __always_inline void listener_share(__u32 netns, __u16 port)
{
	struct abi_listener_key key = { .netns = netns, .port = port };
	struct abi_listener *known = bpf_map_lookup_elem(&listeners, &key);

	if (known)
		known->shared = 1;
}

static __always_inline void listener_inherit(const struct abi_owner *heir, __u32 netns, __u16 port)
{
	struct abi_listener_key key = { .netns = netns, .port = port };
	struct abi_listener *known = bpf_map_lookup_elem(&listeners, &key);

	if (known)
		known->owner = *heir;
}

static __always_inline void listener_remove(__u32 netns, __u16 port)
{
	struct abi_listener_key key = { .netns = netns, .port = port };
	struct abi_listener *known = bpf_map_lookup_elem(&listeners, &key);

	if (!known)
		return;
	if (known->sockets <= 1)
		bpf_map_delete_elem(&listeners, &key);
	else
		__sync_fetch_and_add(&known->sockets, -1);
}

#endif
