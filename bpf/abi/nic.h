/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records about devices: transmissions the driver refused, hung queues, and how full the receive
 * polls run. */
#ifndef CULPRIT_ABI_NIC_H
#define CULPRIT_ABI_NIC_H

#include "event.h"

enum abi_nic {
	ABI_NIC_TIMEOUT = 0, /* a transmit queue hung */
	ABI_NIC_REFUSED = 1, /* the driver dropped the packet it was given */
	ABI_NIC_BUSY = 2, /* the driver had no room; the packet was kept */
};

/* A transmission that did not happen. Hooks: net_dev_xmit_timeout, net_dev_xmit. Refused ones are
 * rate limited per device. */
struct nic_event {
	struct abi_head head;
	__u32 netns;
	__u32 ifindex;
	__u32 type; /* enum abi_nic */
	__u32 queue; /* that hung */
	__u32 result; /* what the driver returned: 1 NET_XMIT_DROP, 16 NETDEV_TX_BUSY .. */
	__u32 bytes; /* of the packet it did not take */
};
ABI_SIZE(struct nic_event, 40);

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
	__u64 xdp_exceptions; /* packets an XDP program failed on */
	__u64 xdp_program; /* id of the last program that did */
	__u64 interval; /* of the last event about a refused packet, in units of 64 jiffies */
};
ABI_SIZE(struct nic_value, 56);

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
	__u64 xdp_exceptions;
	__u32 xdp_program; /* id of the program that failed last; 0 when none did */
	__u32 pad;
};
ABI_SIZE(struct nic_total, 88);

#endif
