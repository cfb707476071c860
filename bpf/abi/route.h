/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records about route lookups that found no way: no packet leaves then, so nothing is dropped
 * either. */
#ifndef CULPRIT_ABI_ROUTE_H
#define CULPRIT_ABI_ROUTE_H

#include "event.h"

/* What wanted the route. */
enum abi_route_via {
	ABI_ROUTE_CONNECT = 0, /* a process called connect() */
	ABI_ROUTE_SEND = 1, /* a process sent a datagram or more of a connection's data */
	ABI_ROUTE_RECEIVED = 2, /* a received packet for somebody else: to be forwarded */
};

/* One failed lookup. Hooks: fib_table_lookup, fib6_table_lookup. The flow's local end is the
 * source, its device the one a received packet came by. The namespace of a received IPv4 packet is
 * unknown here; the drop that follows tells it. */
struct route_event {
	struct abi_head head;
	struct abi_flow flow;
	struct abi_owner owner; /* the caller; unknown for received packets */
	__u32 error; /* positive errno: ENETUNREACH no route, EHOSTUNREACH unreachable, EACCES
			prohibit, EINVAL blackhole */
	__u32 table; /* number of the routing table that was asked last */
	__u32 via; /* enum abi_route_via */
	__u32 pad;
};
ABI_SIZE(struct route_event, 144);

/* routes map: one counter per destination, caller and error. */
struct route_key {
	__u64 start_ns; /* of the caller's process */
	__u8 remote[ABI_ADDR_BYTES];
	__u32 netns;
	__u32 ifindex;
	__u32 tgid;
	__u32 error;
	__u16 port;
	__u8 family;
	__u8 protocol;
	__u8 via;
	__u8 pad[3];
};
ABI_SIZE(struct route_key, 48);

struct route_value {
	struct abi_owner owner;
	__u64 failed;
	__u64 interval; /* of the last event, in units of 64 jiffies */
	__u32 table;
	__u32 pad;
};
ABI_SIZE(struct route_value, 88);

/* undecided array: per CPU, a lookup that found nothing in a table while rules may lead to another
 * one. */
struct route_undecided {
	__u64 lookup; /* address of the kernel's flow, 0 none */
	__u64 since_ns; /* CLOCK_BOOTTIME */
	struct route_event event; /* as it will be told */
	__u64 told; /* address of the flow of the last IPv6 lookup without a source that was told */
	__u8 told_remote[ABI_ADDR_BYTES]; /* its destination */
	__u32 first_table; /* a second visit there is another lookup */
	__u32 pad;
};
ABI_SIZE(struct route_undecided, 192);

/* What userspace makes of one key at each tick: what came since the last one. */
struct route_total {
	struct abi_head head;
	struct abi_flow flow; /* remote end, protocol, namespace, device */
	struct abi_owner owner;
	__u64 failed; /* lookups */
	__u32 error;
	__u32 table;
	__u32 via;
	__u32 pad;
};
ABI_SIZE(struct route_total, 152);

#endif
