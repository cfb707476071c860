/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Shapes that some kernels have instead of the ones in vmlinux.h; libbpf strips what follows the
 * three underscores. Included by vmlinux.h inside its attribute block. */
#ifndef CULPRIT_FLAVORS_H
#define CULPRIT_FLAVORS_H

/* 5.10 before 5.10.262: the pointer to the cgroup is a number with flag bits
 * (8520e224f547 ("bpf, cgroups: Fix cgroup v2 fallback on v1/v2 mixed mode") changed it, and was
 * backported). */
struct sock_cgroup_data___v5_10 {
	u64 val;
};

/* 6.16: the inode number is in the socket itself, 0 while no process has it. */
struct sock___v6_16 {
	u64 sk_ino;
};

/* 6.18: the drops of UDP sockets are counted apart from the socket, once per half of the NUMA nodes
 * (net/core/sock.c: sk_drops_read()). */
struct numa_drop_counters___v6_18 {
	atomic_t drops0;
	atomic_t drops1;
};

struct sock___v6_18 {
	struct numa_drop_counters___v6_18 *sk_drop_counters;
};

/* 7.0: the retransmit timer is in the place of sk_timer, which was the keepalive timer. */
struct sock___v7_0 {
	struct timer_list tcp_retransmit_timer;
};

struct inet_connection_sock___v7_0 {
	struct timer_list icsk_keepalive_timer;
};

/* What a task entered the kernel with, on each architecture. */
struct pt_regs___on_x86 {
	unsigned long r8;
	unsigned long si;
	unsigned long di;
	unsigned long orig_ax;
};

struct pt_regs___on_arm64 {
	struct {
		u64 regs[31];
	};
	u64 orig_x0;
	__s32 syscallno;
};

/* For bpf_core_enum_value_exists(): helpers younger than the oldest kernel. */
enum bpf_func_id___young {
	BPF_FUNC_get_current_task_btf___young = 158,
	BPF_FUNC_sock_from_file___young = 162,
	BPF_FUNC_task_pt_regs___young = 175,
	BPF_FUNC_user_ringbuf_drain___young = 209,
};

#endif
