/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Who may take packets away below the stack: XDP programs, tc filters, programs of cgroups, and the
 * process behind a TUN or TAP device. */
#ifndef CULPRIT_ABI_PROGRAM_H
#define CULPRIT_ABI_PROGRAM_H

#include "event.h"

#define ABI_PROGRAM_NAME 16

enum abi_program_where {
	ABI_PROGRAM_XDP = 0,
	ABI_PROGRAM_TC_INGRESS = 1,
	ABI_PROGRAM_TC_EGRESS = 2,
	ABI_PROGRAM_CGROUP_INGRESS = 3,
	ABI_PROGRAM_CGROUP_EGRESS = 4,
	ABI_PROGRAM_TUN = 5, /* no program: a process that reads what the device sends */
};

enum abi_program_mode {
	ABI_PROGRAM_MODE_NONE = 0,
	ABI_PROGRAM_NATIVE = 1, /* XDP in the driver */
	ABI_PROGRAM_GENERIC = 2, /* XDP in the stack */
	ABI_PROGRAM_OFFLOAD = 3, /* XDP in the hardware */
	ABI_PROGRAM_FILTER = 4, /* of a classifier; of TCX otherwise */
};

/* One of them, as it is attached. */
struct program_total {
	struct abi_head head;
	struct abi_owner owner; /* of a TUN device: its process. Of a cgroup's program: only the
				   cgroup it is attached to */
	__u32 netns; /* 0 for a cgroup's program */
	__u32 ifindex;
	__u32 where; /* enum abi_program_where */
	__u32 mode; /* enum abi_program_mode */
	__u32 program; /* BPF id; 0 when it is no BPF program */
	__u32 priority; /* of a tc filter */
	__u32 handle; /* of a tc filter */
	__u32 state; /* of a process: its letter in /proc/PID/stat; 0 otherwise */
	char name[ABI_PROGRAM_NAME]; /* of the program */
	char filter[ABI_PROGRAM_NAME]; /* kind of tc filter */
	__u64 drops; /* packets dropped since the last record, where it counts them */
	__u64 packets; /* a TUN device sent since the last record */
};
ABI_SIZE(struct program_total, 160);

#endif
