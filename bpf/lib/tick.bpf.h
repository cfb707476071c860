/* SPDX-License-Identifier: GPL-2.0-only */
/* The time at the price of a load, for records of which there may be many at once. */
#ifndef CULPRIT_TICK_BPF_H
#define CULPRIT_TICK_BPF_H

#include "emit.bpf.h"

/* The last time that was asked for, per CPU. Never full. */
struct tick {
	__u64 jiffies;
	__u64 ns;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tick);
} ticks SEC(".maps");

/* Boot time, early by a tick at most. Only for samples: what is compared with the kernel's counters
 * must know on which side of their reading it was, and durations are shorter than a tick. */
static __always_inline __u64 tick_time(void)
{
	__u64 jiffies = bpf_jiffies64();
	__u32 zero = 0;
	struct tick *tick = bpf_map_lookup_elem(&ticks, &zero);

	if (!tick)
		return bpf_ktime_get_boot_ns();
	if (tick->jiffies != jiffies) {
		tick->ns = bpf_ktime_get_boot_ns();
		tick->jiffies = jiffies; /* last: a program that nests here asks anew */
	}
	return tick->ns;
}

#endif
