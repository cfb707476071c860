/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records about listening TCP sockets: how full their queues are, and what they drop. */
#ifndef CULPRIT_ABI_LISTEN_H
#define CULPRIT_ABI_LISTEN_H

#include "event.h"

/* addresses map: what a connection finds its listener by. All listening sockets of one address
 * (SO_REUSEPORT) share an entry. */
struct listen_key {
	__u8 addr[ABI_ADDR_BYTES]; /* as in abi_flow; all 0: every address */
	__u32 netns;
	__u16 port; /* host order */
	__u16 family; /* of the listening socket */
};
ABI_SIZE(struct listen_key, 24);

struct listen_group {
	__u64 sk; /* the socket that came last; the only one while sockets is 1 */
	__u64 since_ns; /* CLOCK_BOOTTIME of the entry: tells it from an earlier one */
	__u64 established; /* connections that were put into an accept queue here */
	__u32 peak; /* largest accept queue at such a moment since the last look; only while
		       sockets is 1 */
	__u32 sockets; /* that listen here */
};
ABI_SIZE(struct listen_group, 32);

/* listening map: struct sock pointer -> this; and what a look at it brings to userspace. Numbers
 * since the entry was made unless said. */
struct listen_value {
	struct abi_flow flow; /* the local end */
	struct abi_owner owner;
	__u64 since_ns; /* CLOCK_BOOTTIME of the entry: tells sockets of one address apart */
	__u64 group_ns; /* since_ns of the address's entry; 0 none */
	__u64 established; /* of the address's entry */
	__u64 synack_retransmits;
	__u32 drops; /* sk_drops, of the socket's whole life; wraps */
	__u32 drops_before; /* of them before the entry was made */
	__u32 drops_told; /* of them when the last event was made */
	__u32 full_told; /* 1: the last look saw a full queue */
	__u32 depth; /* accept queue now */
	__u32 peak; /* largest accept queue since the last look */
	__u32 limit; /* full means more than this */
	__u32 syn_depth; /* SYN queue now: requests whose handshake is under way */
	__u32 somaxconn; /* net.core.somaxconn of the namespace */
	__u32 max_syn_backlog; /* net.ipv4.tcp_max_syn_backlog */
	__u32 syncookies; /* net.ipv4.tcp_syncookies */
	__u32 sockets; /* that listen at this address */
	__u32 depth_before; /* accept queue when the entry was made */
	__u32 refused; /* 1: its address had no room in the addresses map, counted once */
	__u32 defer_accept; /* TCP_DEFER_ACCEPT, in repeats of the SYN-ACK; 0 off */
	__u32 pad;
};
ABI_SIZE(struct listen_value, 208);

/* A listener's queue became full, or it dropped something since the last event. Hook: the look at
 * each listener (iter/bpf_map_elem), so at most one for each look. */
struct listen_event {
	struct abi_head head;
	struct abi_flow flow; /* the local end */
	struct abi_owner owner;
	__u64 drops; /* since the last event about this socket */
	__u64 depth; /* accept queue, largest since the last look */
	__u64 limit;
	__u64 syn_depth; /* SYN queue */
	__u32 full; /* 1: the accept queue was full since the last look */
	__u32 sockets; /* that listen at this address */
};
ABI_SIZE(struct listen_event, 168);

enum abi_listen_scope {
	ABI_LISTEN_SOCKET = 0,
	ABI_LISTEN_GROUP = 1, /* all sockets of one address together: which of them took a
				 connection is not known */
};

/* What userspace makes of one listener at each tick. A group's record has only flow, sockets,
 * established and accepted; the record of a socket that shares its address has not these two. */
struct listen_total {
	struct abi_head head;
	struct abi_flow flow;
	struct abi_owner owner;
	__u64 since_ns; /* tells sockets of one address apart */
	__u64 looks; /* at the queues */
	__u64 looks_full; /* of them with a full accept queue */
	__u64 depth_sum; /* accept queue, added up over the looks */
	__u64 depth; /* accept queue, largest */
	__u64 limit; /* full means more than this */
	__u64 looks_syn_full; /* SYN queue at its limit */
	__u64 syn_depth; /* SYN queue, largest */
	__u64 syn_limit; /* from there on SYNs get a cookie or are dropped */
	__u64 somaxconn;
	__u64 drops; /* by this socket */
	__u64 established; /* connections that came into the accept queue */
	__u64 accepted; /* taken out of it by accept() */
	__u64 synack_retransmits;
	/* of the owner, read while connections wait, and now and then while they come */
	__u64 owner_looks;
	__u64 owner_stopped; /* of them with a stopped process */
	__u64 owner_running; /* of them with its main thread on a CPU or ready for it */
	__u64 owner_cpu_ns; /* CPU time between the first and the last of them */
	__u64 open_files; /* largest */
	__u64 files_limit; /* RLIMIT_NOFILE, soft */
	__u32 syncookies; /* setting: 0 never, 1 when the SYN queue is full, 2 always */
	__u32 scope; /* enum abi_listen_scope */
	__u32 sockets; /* that listen at this address */
	__u32 defer_accept; /* not 0: the first round trip of a connection is until its first data
			     */
};
ABI_SIZE(struct listen_total, 304);

#endif
