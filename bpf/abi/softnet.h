/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What happened to the input backlog of one CPU. */
#ifndef CULPRIT_ABI_SOFTNET_H
#define CULPRIT_ABI_SOFTNET_H

#include "event.h"

/* One CPU's line of /proc/net/softnet_stat; counters are growth since the last record. */
struct softnet_total {
	struct abi_head head;
	__u32 number; /* of the CPU */
	__u32 max_backlog; /* net.core.netdev_max_backlog; 0 when not readable */
	__u64 processed; /* packets */
	__u64 dropped; /* because its backlog was full */
	__u64 time_squeeze; /* times softirq gave up with packets left */
	__u64 flow_limit; /* of those dropped: the backlog was half full and one flow filled it */
	__u64 backlog; /* packets waiting when it was read */
	__u64 ksoftirqd_ns; /* CPU time of ksoftirqd/N, in the time below */
	__u64 watched_ns; /* 0 while nothing is dropped */
};
ABI_SIZE(struct softnet_total, 80);

#endif
