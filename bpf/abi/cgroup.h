/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which processes may use only part of the CPU time, and how often they had to wait for it. */
#ifndef CULPRIT_ABI_CGROUP_H
#define CULPRIT_ABI_CGROUP_H

#include "event.h"

#define CGROUP_PATH_BYTES 192

/* A cgroup with a CPU quota that a process is in, itself or further down: it is the one that has
 * the quota where the process waits. From cpu.stat and cpu.max (v1: cpu.cfs_*). */
struct cgroup_total {
	struct abi_head head;
	struct abi_owner owner; /* a process with sockets */
	__u64 cgroup; /* inode of its folder: tells cgroups apart */
	__u64 quota_us; /* CPU time for all its threads in a period */
	__u64 period_us;
	__u64 periods; /* that began since the last record, while it wanted to run */
	__u64 throttled; /* of them, it used up its quota */
	__u64 throttled_ns; /* it waited, added up over the CPUs */
	__u32 version; /* of the cgroup hierarchy: 1, 2 */
	__u32 pad;
	char path[CGROUP_PATH_BYTES]; /* of its folder in the file system, cut at the end; hostile
				       */
};
ABI_SIZE(struct cgroup_total, 328);

#endif
