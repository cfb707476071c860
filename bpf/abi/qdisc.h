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

/* shares map: who has how much of a queue. A packet is its socket's owner's; one whose owner is not
 * known, or that is forwarded, is its flow's. Neither: the rest of the queue, which also takes what
 * does not fit. */
struct qdisc_share_key {
	struct abi_flow flow; /* local = source; netns of the socket, 0 without one; all 0 when the
				 owner is known */
	__u64 start_ns; /* of the owner */
	__u32 tgid;
	__u32 netns; /* of the device, as in qdisc_key */
	__u32 ifindex;
	__u32 handle;
	__u32 parent;
	__u32 pad;
};
ABI_SIZE(struct qdisc_share_key, 80);

/* From a sample of the packets that leave the queue, and from those that were timed. */
struct qdisc_share_value {
	struct abi_owner owner;
	__u64 packets; /* each of the sample stands for those that were not in it */
	__u64 bytes; /* likewise */
	__u64 timed;
	__u64 sojourn_ns; /* sum over the timed ones */
	__u64 sojourn_max_ns;
};
ABI_SIZE(struct qdisc_share_value, 104);

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

/* What userspace makes of one share at each tick. */
struct qdisc_share {
	struct abi_head head;
	struct abi_flow flow; /* as in the key */
	struct abi_owner owner;
	__u32 netns;
	__u32 ifindex;
	__u32 handle;
	__u32 parent;
	__u64 packets;
	__u64 bytes;
	__u64 timed;
	__u64 sojourn_ns;
	__u64 sojourn_max_ns;
};
ABI_SIZE(struct qdisc_share, 184);

/* One qdisc by the kernel's own count: growth since the last reading. Read over rtnetlink, no hook.
 */
struct qdisc_stats {
	struct abi_head head;
	__u32 netns;
	__u32 ifindex;
	__u32 handle;
	__u32 parent;
	char id[16];
	__u64 packets; /* sent */
	__u64 bytes; /* sent */
	__u64 drops;
	__u64 overlimits;
	__u64 requeues;
	__u64 backlog_bytes; /* largest read */
	__u64 backlog_pkts; /* largest read */
	__u64 limit_bytes; /* of the queue; 0 when unknown or counted otherwise */
	__u64 limit_pkts; /* likewise */
	__u64 rate_bytes; /* per second, of a shaper; 0 when unknown */
	__u64 burst_bytes; /* likewise */
};
ABI_SIZE(struct qdisc_stats, 136);

#endif
