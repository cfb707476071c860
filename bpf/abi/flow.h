/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How TCP connections fare between two looks at them: who limits them, who waits for whom. */
#ifndef CULPRIT_ABI_FLOW_H
#define CULPRIT_ABI_FLOW_H

#include "event.h"

#define FLOW_SLOTS 24

/* Connections of one process that are alike, over the looks since the last tick. Made in userspace
 * from looks at each connection that is not idle (iter/bpf_map_elem over `owners`), so a time is as
 * exact as the looks are frequent. Sums over the looks, and over the connections, unless said. */
struct flow_total {
	struct abi_head head;
	struct abi_flow flow; /* server: its address and port, and the peer's address; client: the
				 peer's address and port. The rest is 0 */
	struct abi_owner owner;
	__u64 flows; /* connections at a look, largest */
	__u64 looks; /* at connections that were known at the look before: what all sums below are
			over */
	__u64 watched_ns; /* between these looks and the ones before */

	/* what happened between the looks */
	__u64 bytes_sent; /* acknowledged by the peer */
	__u64 bytes_received;
	__u64 segs_out;
	__u64 segs_in;
	__u64 retransmits; /* segments sent again */
	__u64 spurious; /* of them that the peer had already: DSACK (dsack_dups) */
	__u64 reordered; /* times the network was seen to reorder (reord_seen) */
	__u64 out_of_order; /* segments received out of order (rcv_ooopack) */
	/* include/linux/tcp.h: enum tcp_chrono. The rest of watched_ns has no data to send */
	__u64 busy_ns; /* data to send, none of the next two: the network sets the pace */
	__u64 rwnd_limited_ns; /* the peer's window does */
	__u64 sndbuf_limited_ns; /* the send buffer does */

	/* what was seen at the looks */
	__u64 sending; /* looks with data sent and not acknowledged, or not sent */
	__u64 app_limited; /* of them, the application had given too little to fill the window */
	__u64 zero_window; /* looks with data that waits for the peer's window, which is closed
			      (less than one segment) */
	__u64 zero_window_ns; /* longest time one connection's was seen closed, largest */
	__u64 closed_window; /* looks with the own window closed, the process has not read */
	__u64 closed_window_ns; /* likewise, largest */
	__u64 nagle_wait; /* looks with less than a segment that Nagle's algorithm holds back until
			     the peer acknowledges a small one */
	__u64 rtt_looks; /* looks with a known round trip */
	__u64 srtt_us; /* smoothed, summed up over rtt_looks, as the next two */
	__u64 rttvar_us; /* mean deviation */
	__u64 min_rtt_us; /* smallest of the last minutes */
	__u64 srtt_max_us; /* largest */
	__u64 snd_wnd; /* bytes, over `sending`, as the next four */
	__u64 cwnd; /* bytes */
	__u64 in_flight; /* bytes sent and not acknowledged */
	__u64 not_sent; /* bytes in the send queue that were never sent */
	__u64 sndbuf; /* bytes of memory */
	__u64 sndbuf_locked; /* 1: set by the process (SO_SNDBUF), largest */
	__u64 rcv_wnd; /* bytes, over `looks`, as the next two */
	__u64 rcvbuf; /* bytes of memory */
	__u64 unread; /* bytes */
	__u64 unread_max; /* largest */
	__u64 rcvbuf_locked; /* 1: set by the process (SO_RCVBUF), largest */
	__u64 mss; /* bytes, largest */
	__u64 unanswered; /* timeouts in a row without an answer, largest */
	__u64 silent; /* connections that were seen with three or more of them, largest at a look */
	__u64 quiet_ns; /* since the peer's last segment, of those, largest */

	/* Questions and answers: bytes one way, then bytes the other way. Server: from the last
	 * byte of the question to the first byte of the answer, the process's own time. Client: the
	 * same, the network's round trip included. Resolution: a tick of the kernel */
	__u64 answers; /* that were timed */
	__u64 answer_ns; /* summed up */
	__u64 answer_max_ns; /* largest */
	__u64 waiting; /* looks with a question without an answer so far, on connections that had an
			  answer before */
	__u64 waiting_max_ns; /* longest time of those, largest */
	__u64 answer_slots[FLOW_SLOTS]; /* slot i: below 2^i us */

	__u8 role; /* enum abi_role */
	__u8 pad[7];
};
ABI_SIZE(struct flow_total, 696);

/* A look writes so many rows; further connections are not watched, counted in map_full. */
#define FLOW_LOOKS_MAX 16384

/* One look at one connection, written by the look's iterator. Times in ticks are jiffies, of which
 * the kernel keeps the lower 32 bits. */
struct flow_look {
	__u64 sk; /* tells connections apart, together with since_ns and the flow */
	struct abi_flow flow;
	struct abi_owner owner;
	__u64 when_ns;
	__u64 since_ns; /* it came to ESTABLISHED; 0 when that was before our start */
	__u64 bytes_sent; /* acknowledged by the peer; SYN and FIN count as one each */
	__u64 bytes_received; /* FIN counts as one */
	__u32 segs_out;
	__u32 segs_in;
	__u32 data_segs_out;
	__u32 data_segs_in;
	__u32 retransmits;
	__u32 spurious;
	__u32 reordered;
	__u32 out_of_order;
	__u32 busy_ticks; /* enum tcp_chrono, so far */
	__u32 rwnd_limited_ticks;
	__u32 sndbuf_limited_ticks;
	__u32 now_ticks;
	__u32 sent_ticks; /* data was sent last */
	__u32 received_ticks; /* data was received last */
	__u32 heard_ticks; /* anything was received last */
	__u32 in_flight; /* bytes */
	__u32 not_sent; /* bytes */
	__u32 unread; /* bytes, FIN included */
	__u32 packets_out; /* in flight, as the kernel counts */
	__u32 small_in_flight; /* 1: one of them is less than a segment */
	__u32 nagle; /* 1: Nagle's algorithm is on, and the process has not corked the socket */
	__u32 app_limited; /* 1: it was when data was given last */
	__u32 snd_wnd;
	__u32 rcv_wnd;
	__u32 cwnd; /* segments */
	__u32 mss;
	__u32 rcv_mss; /* of what the peer sends */
	__u32 sndbuf;
	__u32 rcvbuf;
	__u32 srtt_us;
	__u32 rttvar_us;
	__u32 min_rtt_us;
	__u8 state; /* of TCP */
	__u8 role; /* enum abi_role */
	__u8 timeouts; /* in a row */
	__u8 probes; /* without an answer */
	__u8 sndbuf_locked;
	__u8 rcvbuf_locked;
	__u8 peer_spoke_last; /* 1: its last data came with or after its acknowledgement of ours */
	__u8 pad;
};
ABI_SIZE(struct flow_look, 288);

#endif
