/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records about devices as links: who took one down and when its carrier went, and what its own
 * counters grew by. */
#ifndef CULPRIT_ABI_LINK_H
#define CULPRIT_ABI_LINK_H

#include "event.h"

enum abi_link {
	ABI_LINK_OFF = 0, /* taken down, by a process or with the device itself */
	ABI_LINK_NO_CARRIER = 1, /* the other end, or the medium, is gone */
};

/* A device stopped to transmit. Hook: qdisc_reset. The kernel looks at lost carriers in its own
 * time, up to a second late; those that come back sooner are in link_total only. */
struct link_event {
	struct abi_head head;
	__u32 netns;
	__u32 ifindex;
	__u32 type; /* enum abi_link */
	__u32 pad;
	struct abi_owner owner; /* that took it down; unknown when the kernel did */
};
ABI_SIZE(struct link_event, 96);

/* downs map: when a device was seen to stop last. */
struct link_key {
	__u32 netns;
	__u32 ifindex;
};
ABI_SIZE(struct link_key, 8);

#define ABI_LINK_TYPE_BYTES 16

/* One device: its state, and what its counters (struct rtnl_link_stats64) grew by since it was told
 * of last. Told of when something went wrong or changed, and once besides, at most LINK_QUIET_MAX
 * devices of a run. */
struct link_total {
	struct abi_head head;
	__u32 netns;
	__u32 ifindex;
	char type[ABI_LINK_TYPE_BYTES]; /* "veth", "bridge" ..; empty: hardware, or what looks so */
	__u32 link; /* ifindex of the device below, or of the other end; 0 when none */
	__u32 link_netns; /* inode number of the namespace that one is in, 0 when not known */
	__u32 master; /* ifindex of the bridge or bond it is part of, 0 when none */
	__u32 mtu; /* as first seen */
	__u32 speed_mbit; /* 0 when it has none or does not say */
	__u32 duplex; /* 0 half, 1 full, 255 unknown */
	__u64 carrier_changes_ever;
	__u64 packets_ever; /* received and sent since the device was made */
	__u64 up_ns; /* when it was last seen to work; 0 never. The same for these: */
	__u64 off_ns; /* taken down */
	__u64 no_carrier_ns; /* up, but without carrier */
	__u64 gone_ns; /* not there any more */
	__u64 carrier_ups;
	__u64 carrier_downs;
	__u64 rx_packets;
	__u64 tx_packets;
	__u64 rx_errors;
	__u64 tx_errors;
	__u64 rx_dropped;
	__u64 tx_dropped;
	__u64 rx_length;
	__u64 rx_over;
	__u64 rx_crc;
	__u64 rx_frame;
	__u64 rx_fifo;
	__u64 rx_missed;
	__u64 rx_nohandler;
	__u64 rx_otherhost;
	__u64 tx_aborted;
	__u64 tx_carrier;
	__u64 tx_fifo;
	__u64 tx_heartbeat;
	__u64 tx_window;
	__u64 collisions;
};
ABI_SIZE(struct link_total, 288);

#define ABI_LINK_STAT_BYTES 32

/* One counter of a device's driver (ethtool -S) that has a name of trouble, and grew. */
struct link_stat {
	struct abi_head head;
	__u32 netns;
	__u32 ifindex;
	char name[ABI_LINK_STAT_BYTES]; /* as the driver says it */
	__u64 growth;
};
ABI_SIZE(struct link_stat, 64);

#endif
