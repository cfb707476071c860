/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records about devices: transmissions the driver refused, hung queues, and how full the receive
 * polls run. */
#ifndef CULPRIT_ABI_NIC_H
#define CULPRIT_ABI_NIC_H

#include "event.h"

/* A transmit queue hung. Hook: net_dev_xmit_timeout. */
struct nic_event {
	struct abi_head head;
	__u32 netns;
	__u32 ifindex;
	__u32 queue;
	__u32 pad;
};
ABI_SIZE(struct nic_event, 32);

/* devices map. */
struct nic_key {
	__u32 netns;
	__u32 ifindex;
};
ABI_SIZE(struct nic_key, 8);

struct nic_value {
	__u64 refused; /* net_dev_xmit returned neither OK nor busy: the packet is gone */
	__u64 busy; /* NETDEV_TX_BUSY: the packet was kept for later */
	__u64 timeouts;
	__u64 polls_full; /* NAPI polls that used their whole budget */
};
ABI_SIZE(struct nic_value, 32);

/* polls map: per CPU, all devices together. */
struct nic_polls {
	__u64 polls;
	__u64 packets;
};
ABI_SIZE(struct nic_polls, 16);

/* What userspace makes of one device (or, with netns and ifindex 0, of all polls) at each tick. */
struct nic_total {
	struct abi_head head;
	__u32 netns;
	__u32 ifindex;
	__u64 refused;
	__u64 busy;
	__u64 timeouts;
	__u64 polls_full;
	__u64 polls;
	__u64 packets; /* received by those polls */
};
ABI_SIZE(struct nic_total, 72);

#endif
