/* SPDX-License-Identifier: GPL-2.0-only */
/* Who works on a socket, by probe reads: for programs that read packets with them in any case and
 * seldom get so far. A typed load of a pointer would cost Linux 6.18 a millisecond or two of load
 * time on each path (see README.md), these cost each run a third of a microsecond. */
#ifndef CULPRIT_PROBED_BPF_H
#define CULPRIT_PROBED_BPF_H

#include "datagram.bpf.h"

static __always_inline __u32 netns_probed(const struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
}

static __always_inline __u64 cgroup_probed(const struct sock *sk)
{
	/* as in cgroup_of() */
	if (!bpf_core_field_exists(struct sock_cgroup_data, cgroup))
		return 0;
	return BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn, id);
}

/* The running task. */
static __always_inline void owner_probed(struct abi_owner *owner, __u32 provenance)
{
	__u64 id = bpf_get_current_pid_tgid();

	owner_clear(owner);
	owner->tgid = id >> 32;
	owner->tid = (__u32)id;
	owner->provenance = provenance;
	owner_probe_current(owner);
}

static __always_inline struct file *file_probed(const struct task_struct *task, __u32 fd)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file *file = NULL;

	if (fd < BPF_CORE_READ(table, max_fds))
		bpf_probe_read_kernel(&file, sizeof(file), BPF_CORE_READ(table, fd) + fd);
	return file;
}

/* Is the running task in a system call that writes to this very socket? */
static __always_inline bool is_written_by_current(const struct sock *sk)
{
	struct syscall call = {};

	return syscall_registers(&call) && provenance_of_call(call.number) == ABI_OWNER_WRITER &&
	       socket_behind(file_probed(call.task, call.fd)) == sk;
}

/* Owner of a UDP socket that sends, as datagram_learn() has it. */
static __always_inline void writer_probed(struct abi_owner *owner, struct sock *sk)
{
	struct abi_socket *known = datagram_known(sk);

	if (is_written_by_current(sk)) {
		owner_probed(owner, ABI_OWNER_WRITER);
		if (!known && has_storage())
			known = bpf_sk_storage_get(&datagram_owners, sk, NULL,
						   BPF_SK_STORAGE_GET_F_CREATE);
		if (known)
			known->owner = *owner;
	} else {
		owner_unknown(owner);
		if (known)
			*owner = known->owner;
	}
	owner->cgroup_id = cgroup_probed(sk);
}

#endif
