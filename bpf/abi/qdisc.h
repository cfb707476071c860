/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records about egress queues: sampled waiting times per qdisc, and single packets that waited too
 * long. */
#ifndef CULPRIT_ABI_QDISC_H
#define CULPRIT_ABI_QDISC_H

#include "event.h"

/* queues map: which root qdisc. */
struct qdisc_key {
	__u32 netns;
	__u32 ifindex;
	__u32 handle; /* 0 for a device's default qdisc */
	__u32 parent; /* 0xffffffff: root */
};
ABI_SIZE(struct qdisc_key, 16);

/* queues map: all from timed packets only. */
struct qdisc_value {
	char id[16]; /* "pfifo_fast", "tbf" .. */
	__u64 timed; /* packets timed from enqueue to dequeue */
	__u64 sojourn_ns; /* their sum */
	__u64 slow; /* of them longer than the threshold */
	__u64 backlog_bytes; /* largest seen since the last tick */
	__u64 backlog_pkts; /* largest seen since the last tick */
	__u64 dropped; /* the qdisc's own counter when last looked at; per-CPU qdiscs (pfifo_fast)
			  do not keep it here */
	__u64 interval; /* of the last event, in units of 64 jiffies */
	__u64 slots[ABI_HIST_SLOTS]; /* sojourn: slot i counts packets below 2^i us, the last one
					all above */
};
ABI_SIZE(struct qdisc_value, 328);

/* One slow packet. Hook: qdisc_dequeue. */
struct qdisc_event {
	struct abi_head head;
	struct abi_flow
		flow; /* netns and device; addresses of the packet's socket where there is one */
	struct abi_owner owner;
	__u64 sojourn_ns;
	__u64 backlog_bytes;
	__u64 backlog_pkts;
	__u32 handle;
	__u32 parent;
	char id[16];
};
ABI_SIZE(struct qdisc_event, 176);

/* What userspace makes of one queue at each tick. */
struct qdisc_total {
	struct abi_head head;
	__u32 netns;
	__u32 ifindex;
	__u32 handle;
	__u32 parent;
	char id[16];
	__u64 timed;
	__u64 sojourn_ns;
	__u64 slow;
	__u64 backlog_bytes; /* largest */
	__u64 backlog_pkts; /* largest */
	__u64 dropped; /* since the last tick */
	__u64 slots[ABI_HIST_SLOTS];
};
ABI_SIZE(struct qdisc_total, 352);

#endif
