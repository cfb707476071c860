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

#endif
