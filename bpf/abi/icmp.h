/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records about ICMP errors: those this host sends, and those that reach a socket of it. */
#ifndef CULPRIT_ABI_ICMP_H
#define CULPRIT_ABI_ICMP_H

#include "event.h"

/* One error. Hooks: icmp_send (IPv4 only), inet_sk_error_report. Rate limited per kind of error. */
struct icmp_event {
	struct abi_head head;
	struct abi_flow flow; /* what the error is about. Sent: the packet's own, local = source.
				 Received: the socket's */
	struct abi_owner owner; /* of the socket that sent the packet, where it is known */
	__u64 bytes; /* sent: length of the packet, a train of segments as one; else 0 */
	__u32 out_netns; /* sent: where the packet should have left by; 0 when unknown */
	__u32 out_ifindex;
	__u32 mtu; /* of that device; 0 when unknown */
	__u32 error; /* received: what the socket makes of it, positive errno; else 0 */
	__u8 direction; /* enum abi_direction */
	__u8 type; /* ICMP type and code (RFC 792); 0, which no error has, when received: the hook
		      does not tell */
	__u8 code;
	__u8 path; /* sent: enum abi_path of the packet */
	__u8 pad[4];
};
ABI_SIZE(struct icmp_event, 160);

/* icmps map: per CPU; exact whatever the rate. */
struct icmp_key {
	__u32 netns;
	__u32 error;
	__u8 direction;
	__u8 family;
	__u8 type;
	__u8 code;
};
ABI_SIZE(struct icmp_key, 12);

struct icmp_value {
	__u64 packets;
	__u64 interval; /* of the last sample, in units of 64 jiffies */
	__u64 samples; /* sent in that interval */
};
ABI_SIZE(struct icmp_value, 24);

/* What userspace makes of one key at each tick: what came since the last one. */
struct icmp_total {
	struct abi_head head;
	__u64 packets;
	__u32 netns;
	__u32 error;
	__u8 direction;
	__u8 family;
	__u8 type;
	__u8 code;
	__u8 pad[4];
};
ABI_SIZE(struct icmp_total, 40);

#endif
