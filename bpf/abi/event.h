/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What every record begins with, the kinds of record, and the two values most of them carry: flow
 * and owner. */
#ifndef CULPRIT_ABI_EVENT_H
#define CULPRIT_ABI_EVENT_H

#include "types.h"

/* Numbers live on in recordings: append, never renumber. */
enum abi_kind {
	ABI_KIND_NONE = 0,
	ABI_CONNECT = 1,
	ABI_CLOSE = 2,
	ABI_RETRANSMIT = 3,
	ABI_RESET = 4,
	ABI_DROP = 5,
	ABI_DROP_TOTAL = 6,
	ABI_QDISC = 7,
	ABI_QDISC_TOTAL = 8,
	ABI_NIC = 9,
	ABI_NIC_TOTAL = 10,
	ABI_LISTEN = 11,
	ABI_LISTEN_TOTAL = 12,
	ABI_SOCKET = 13,
	ABI_SOCKET_TOTAL = 14,
	ABI_NEIGH = 20,
	ABI_NEIGH_TOTAL = 21,
	ABI_LINK_TOTAL = 15,
	ABI_RECEIVER_TOTAL = 28,
	ABI_QDISC_SHARE = 17,
	ABI_QDISC_STATS = 18,
	ABI_LINK = 29,
	ABI_RULE_TOTAL = 26,
	ABI_ICMP = 24,
	ABI_ICMP_TOTAL = 25,
	ABI_ROUTE = 22,
	ABI_ROUTE_TOTAL = 23,
	ABI_SOFTNET_TOTAL = 16,
	ABI_PROGRAM_TOTAL = 19,
	ABI_DROP_STACK = 30,
	ABI_LINK_STAT = 31,
	ABI_FLOW_TOTAL = 32,
	ABI_CGROUP_TOTAL = 35,
	ABI_KIND_LIMIT = 64, /* size of the ledger; kinds stay below */
};

/* First member of every record. */
struct abi_head {
	__u64 when_ns; /* CLOCK_BOOTTIME when the hook ran */
	__u32 kind; /* enum abi_kind */
	__u16 size_bytes; /* of the whole record; userspace refuses any other size */
	__u16 cpu; /* that ran the hook */
};
ABI_SIZE(struct abi_head, 16);

/* One conversation as one end sees it. For a packet without socket, local is its source and remote
 * its destination. */
struct abi_flow {
	__u8 local[ABI_ADDR_BYTES]; /* network order; an IPv4 address is in the first four bytes,
				       the rest 0 */
	__u8 remote[ABI_ADDR_BYTES];
	__u16 local_port; /* host order, 0 when unknown */
	__u16 remote_port;
	__u8 family; /* AF_INET, AF_INET6; 0 when the addresses are unknown */
	__u8 protocol; /* IPPROTO_*, 0 when unknown */
	__u8 v4_mapped; /* 1: an IPv6 socket that talks IPv4; family is AF_INET then */
	__u8 pad;
	__u32 netns; /* inode number of the network namespace, 0 when unknown */
	__u32 ifindex; /* device in that namespace, 0 when none or unknown */
};
ABI_SIZE(struct abi_flow, 48);

/* How the owner was learnt; the order is the order of trust. */
enum abi_provenance {
	ABI_OWNER_UNKNOWN = 0,
	ABI_OWNER_LISTENER = 1, /* inherited from the listening socket */
	ABI_OWNER_HOLDER = 2, /* found by walking the tasks' file tables, at start or at the end */
	ABI_OWNER_CREATOR = 3, /* called connect() or listen() while we watched */
	ABI_OWNER_WRITER = 4, /* sent its FIN or reset: closed it, or shut it down */
	ABI_OWNER_READER = 5, /* read from it */
};

/* The process a socket belongs to. tgid is 0 when provenance is unknown. */
struct abi_owner {
	__u64 start_ns; /* start of the process, CLOCK_BOOTTIME: tells a reused PID apart */
	__u64 cgroup_id; /* of the socket itself (sk_cgrp_data), known even when the process is not;
			    0 when unknown */
	__u32 tgid;
	__u32 provenance; /* enum abi_provenance */
	char comm[ABI_COMM_BYTES]; /* of the thread group leader; bytes as the process set them:
				      hostile */
	__u32 tid; /* the thread that was seen with the socket; 0 when it was found by a walk */
	__u32 pad;
	char thread[ABI_COMM_BYTES]; /* its name; hostile */
};
ABI_SIZE(struct abi_owner, 64);

/* The bytes of an owner that tell processes apart; the thread is only an example. */
#define ABI_OWNER_IDENTITY 40

/* Of what crosses this host's border. */
enum abi_direction {
	ABI_SENT = 1,
	ABI_RECEIVED = 2,
};

/* Per kind and CPU. Exact: seen == submitted + ring_full + filtered + limited. */
struct abi_ledger {
	__u64 seen; /* facts of this kind met by the hook */
	__u64 submitted; /* sent through the ring */
	__u64 ring_full; /* not sent: the ring had no room. A loss */
	__u64 filtered; /* not sent: the user's filter excludes it */
	__u64 limited; /* not sent: rate limit; still counted in the totals */
	__u64 map_full; /* a map refused an entry; the record went on with less in it */
};
ABI_SIZE(struct abi_ledger, 48);

#endif
