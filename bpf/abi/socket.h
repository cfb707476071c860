/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One socket as it is at this moment. */
#ifndef CULPRIT_ABI_SOCKET_H
#define CULPRIT_ABI_SOCKET_H

#include "event.h"

/* What the socket waits for; the numbers of sock_diag and `ss -o` where these have one. */
enum abi_timer {
	ABI_TIMER_NONE = 0,
	ABI_TIMER_RETRANSMIT = 1, /* sent and not acknowledged */
	ABI_TIMER_KEEPALIVE = 2, /* also the end of an orphan in FIN_WAIT2 */
	ABI_TIMER_TIME_WAIT = 3, /* a small socket in TIME_WAIT or FIN_WAIT2: the process closed it,
				    the kernel keeps it */
	ABI_TIMER_PROBE = 4, /* the peer's window is closed */
};

/* One per TCP or UDP socket of a network namespace, written by the iterators tcp and udp; their
 * hooks fill what a socket of that kind has, the rest is 0. */
struct socket_info {
	struct abi_head head;
	struct abi_flow flow; /* ifindex: the device it is bound to */
	struct abi_owner owner;
	__u64 inode; /* of the socket's file; 0: no process has it (waits in an accept queue, or
			closed) */
	__u64 established_ns; /* since ESTABLISHED; 0 when that was before our start */
	__u64 state_ns; /* since it came to this state, or to its first closing state; 0 likewise */
	__u64 quiet_ns; /* since the last segment from the peer; 0 when there was none. A connection
			   half closed by the peer is at least that long in its state */
	__u64 timer_ns; /* until the timer runs out */
	__u64 bytes_sent; /* acknowledged by the peer; SYN and FIN count as one each */
	__u64 bytes_received;
	__u32 state; /* TCP state; SYN_RECV and FIN_WAIT2 of small sockets too. UDP: CLOSE or
			ESTABLISHED (connected) */
	__u32 timer; /* enum abi_timer */
	__u32 drops; /* packets this socket refused in its life: listener overflows, full UDP
			buffer */
	__u32 recv_queue; /* bytes not read, FIN not counted; UDP: of buffer memory */
	__u32 send_queue; /* bytes not acknowledged, sent or not, SYN and FIN not counted; UDP: of
			      buffer memory */
	__u32 accept_queue; /* LISTEN: connections that wait for accept() */
	__u32 accept_limit; /* LISTEN: overflows when accept_queue is larger */
	__u32 syn_queue; /* LISTEN: handshakes under way */
	__u32 rmem_alloc; /* bytes of memory, bookkeeping included */
	__u32 rcvbuf;
	__u32 wmem_queued; /* bytes of memory, bookkeeping included */
	__u32 sndbuf;
	__u32 retransmits; /* segments sent again, in all */
	__u32 srtt_us; /* 0 when never measured */
	__u32 min_rtt_us; /* 0 when never measured */
	__u32 cwnd; /* segments */
	__u32 segs_out;
	__u32 segs_in;
	__u8 role; /* enum abi_role */
	__u8 shared; /* LISTEN: other processes listen on this port too */
	__u8 unanswered; /* timeouts in a row without an answer */
	__u8 probes; /* window or keepalive probes without an answer */
	__u8 backoff; /* the retransmission timeout was doubled that often */
	__u8 pad[3];
};
ABI_SIZE(struct socket_info, 264);

/* Who keeps a socket that is not listening. */
enum abi_keeper {
	ABI_KEEPER_PROCESS = 0, /* it has a file */
	ABI_KEEPER_QUEUE = 1, /* waits for accept(), or belongs to the kernel itself */
	ABI_KEEPER_ORPHAN = 2, /* closed by its process, whole: it may hold unsent data */
	ABI_KEEPER_TIMER = 3, /* closed by its process, small: TIME_WAIT, and FIN_WAIT2 near its
				 end */
};

/* The TCP sockets of a network namespace that are alike, summed up when a run begins and when it
 * ends. Made in userspace from socket_info. */
struct socket_total {
	struct abi_head head;
	struct abi_flow flow; /* server: its address and port, and the peer's address in states that
				 wait for the peer; client: its address, the peer's address and
				 port. The rest is 0 */
	struct abi_owner owner;
	__u64 sockets; /* the larger of the next two */
	__u64 at_begin;
	__u64 at_end;
	__u64 aged; /* of those at the end: longer than SOCKET_AGED_NS in this state; not those in
		       CLOSE_WAIT that still have data on its way */
	__u64 oldest_ns; /* longest time in this state; 0 when none is known */
	__u64 unsent_bytes; /* of data, not acknowledged by the peer */
	__u64 unread_bytes;
	__u64 memory_bytes; /* of queued packets, bookkeeping included */
	__u64 open_files; /* of the process, at the end; 0 when not read */
	__u64 files_limit; /* of that, soft; UINT64_MAX unlimited */
	__u32 state; /* TCP state; 0 for the rest, which had no room for a row of its own */
	__u8 role; /* enum abi_role */
	__u8 keeper; /* enum abi_keeper */
	__u8 pad[2];
};
ABI_SIZE(struct socket_total, 216);

/* A socket that does not keep up with what arrives: one of UDP that refused datagrams while we
 * watched, or one of TCP whose buffer was more than half full when a run began or ended. Made in
 * userspace from socket_info. */
struct receiver_total {
	struct abi_head head;
	struct abi_flow flow; /* its own ends */
	struct abi_owner owner;
	__u64 drops; /* UDP: datagrams refused since the run began, or the socket was made */
	__u64 unread_bytes; /* when looked at; the larger of both times, as the next two */
	__u64 memory_bytes; /* that these take of the buffer, bookkeeping included */
	__u64 rcvbuf;
	__u64 stopped; /* 1: its process was stopped when looked at (state T or t) */
};
ABI_SIZE(struct receiver_total, 168);

/* A healthy process closes, and a healthy peer acknowledges, in far less. */
#define SOCKET_AGED_NS 3000000000ULL

#endif
