/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records about packets the kernel dropped: exact totals, and samples. */
#ifndef CULPRIT_ABI_DROP_H
#define CULPRIT_ABI_DROP_H

#include "event.h"

/* How far a packet had come when it was dropped: the netfilter hook it was in, or the part of the
 * stack around that hook. */
enum abi_path {
	ABI_PATH_UNKNOWN = 0,
	ABI_PATH_ARRIVING = 1, /* received, not routed yet: ingress, prerouting */
	ABI_PATH_INPUT = 2, /* received, for this namespace */
	ABI_PATH_FORWARD = 3, /* received, for somebody else */
	ABI_PATH_OUTPUT = 4, /* made here */
};

/* A sample; its time may be a tick early. Hook: kfree_skb. The flow is the packet's own: local =
 * source, remote = destination. */
struct drop_event {
	struct abi_head head;
	struct abi_flow flow;
	struct abi_owner
		owner; /* of the socket the packet belonged to or was for, where there is one */
	__u64 location; /* kernel address that freed the packet */
	__u64 bytes; /* length of the packet as the kernel had it there */
	__u32 reason; /* enum skb_drop_reason or a subsystem's, of the running kernel; 0 when the
			 kernel has none */
	__u32 seq; /* TCP sequence number, host order; 0 when no TCP header was read */
	__u16 ethertype; /* host order */
	__u8 tcp_flags;
	__u8 path; /* enum abi_path */
	__u16 vlan; /* id of the VLAN it arrived with, where the kernel still has it; 0 when not */
	__u8 tagged; /* 1: it came with a VLAN that nothing there handles */
	__u8 icmp_type; /* of an ICMP or ICMPv6 message; 0 otherwise */
	__u8 icmp_code;
	__u8 pad[7];
};
ABI_SIZE(struct drop_event, 168);

#define ABI_STACK_FRAMES 24

/* The same sample with the way the kernel came there; sent when asked for by name only, for it
 * costs microseconds. */
struct drop_stack {
	struct abi_head head;
	struct abi_flow flow;
	struct abi_owner owner; /* as in drop_event; the task that ran is no owner */
	__u64 location;
	__u32 reason;
	__u32 pad;
	__u64 stack[ABI_STACK_FRAMES]; /* kernel return addresses, innermost first; 0 behind the
					  last */
};
ABI_SIZE(struct drop_stack, 336);

#define DROP_SLOTS 1024 /* of each CPU */

/* A kind of drops. */
struct drop_key {
	__u64 location; /* 0: the slot is free, or the last one, for what found no other */
	__u32 reason;
	__u32 netns;
	__u32 ifindex;
	__u16 ethertype; /* host order */
	__u8 protocol; /* IPPROTO_*, 0 when not IP or not read */
	__u8 pad;
};
ABI_SIZE(struct drop_key, 24);

/* drops map: CPU * DROP_SLOTS + place -> counts, exact whatever the rate. As large as a line of
 * memory. */
struct drop_slot {
	struct drop_key key;
	__u64 packets;
	__u64 bytes;
	__u64 interval; /* of the last sample, in units of 64 jiffies */
	__u64 samples; /* sent in that interval */
	__u64 pad;
};
ABI_SIZE(struct drop_slot, 64);

/* What userspace makes of one key at each tick: what came since the last one. */
struct drop_total {
	struct abi_head head;
	__u64 location;
	__u64 packets;
	__u64 bytes;
	__u32 reason;
	__u32 netns;
	__u32 ifindex;
	__u16 ethertype;
	__u8 protocol;
	__u8 pad;
};
ABI_SIZE(struct drop_total, 56);

#endif
