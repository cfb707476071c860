/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What userspace decides before load: filters, limits, and what this kernel offers. Read-only for
 * the programs. */
#ifndef CULPRIT_ABI_CONFIG_H
#define CULPRIT_ABI_CONFIG_H

#include "types.h"

enum abi_filter {
	ABI_FILTER_TGID = 1 << 0,
	ABI_FILTER_COMM = 1 << 1,
	ABI_FILTER_CGROUP = 1 << 2,
	ABI_FILTER_NETNS = 1 << 3,
	ABI_FILTER_PORT = 1 << 4,
	ABI_FILTER_ADDR = 1 << 5,
	ABI_FILTER_DEV = 1 << 6,
};

#define ABI_HOOKS_MAX 8
#define ABI_DNS_PORTS 4
#define ABI_RING_BYTES (2 * 1024 * 1024)
#define ABI_RING_WAKE_BYTES                                                                        \
	(ABI_RING_BYTES / 8) /* unread bytes at which the reader is woken before its next tick */

/* One per object. A branch on a constant of it is pruned by the verifier: what is off costs
 * nothing. */
struct abi_config {
	__u64 cgroup_id;
	__u64 slow_ns; /* qdisc: a packet that waited longer is an event */
	__u64 kinds; /* bit 1 << kind: send records of this kind through the ring */
	__u32 filters; /* enum abi_filter, or-ed; all must match */
	__u32 tgid;
	__u32 netns;
	__u32 ifindex;
	__u8 addr[ABI_ADDR_BYTES]; /* network order, IPv4 in the first four bytes */
	__u8 addr_mask[ABI_ADDR_BYTES]; /* prefix as bytes */
	char comm[ABI_COMM_BYTES];
	__u16 port; /* host order, either end */
	__u8 addr_family;
	__u8 probe_reads; /* 0: packet headers must not be read (lockdown=confidentiality) */
	__u32 args[ABI_HOOKS_MAX]; /* how many arguments each hook of the signal has here, 0: the
				      hook is absent */
	__u32 samples; /* drop: samples per key, CPU and interval; 0 = no limit */
	__u32 turns; /* qdisc: about so many packets of each CPU and interval are timed */
	__u32 tick_ns; /* length of a jiffy */
	__u8 holders; /* 1: no hook is attached; who holds a socket now, UDP too, is all there is to
			 know */
	__u8 dns_hashes; /* 1: names that are asked for do not leave the kernel, only their hashes
			  */
	__u8 pad[2];
	__u32 self; /* our own process */
	__u16 dns_ports[ABI_DNS_PORTS]; /* host order, where name servers are asked; those not used
					  repeat the first one */
};
ABI_SIZE(struct abi_config, 152);

#endif
