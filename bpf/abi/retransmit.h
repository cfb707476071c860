/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Record about one attempt to send a TCP segment (or a GSO train of them) again. */
#ifndef CULPRIT_ABI_RETRANSMIT_H
#define CULPRIT_ABI_RETRANSMIT_H

#include "event.h"

enum abi_retransmit {
	ABI_RETRANSMIT_OTHER = 0,
	ABI_RETRANSMIT_FAST = 1, /* in recovery: duplicate or selective ACKs told of the loss */
	ABI_RETRANSMIT_RTO = 2, /* the retransmission timer fired, or the recovery after it */
	ABI_RETRANSMIT_TLP = 3, /* tail loss probe: may be no loss at all */
	ABI_RETRANSMIT_SYN = 4,
	ABI_RETRANSMIT_SYNACK = 5,
};

/* Hooks: tcp_retransmit_skb, tcp_retransmit_synack. */
struct retransmit_event {
	struct abi_head head;
	struct abi_flow flow;
	struct abi_owner owner;
	__u64 segs; /* segments sent again; 0 when the attempt failed */
	__u64 bytes; /* of them */
	__u64 failed; /* 1: nothing left this host, see error; always 0 before 6.17, whose hook is
			 silent about failures */
	__u64 life_segs_out; /* of this socket so far, retransmitted ones included; 0 for SYN-ACK */
	__u64 life_retransmits; /* of this socket so far */
	__u64 attempts; /* timeouts in a row, this one included; of a SYN-ACK those before */
	__u64 acked_bytes; /* of this socket so far: what the peer has for certain; 0 for SYN-ACK */
	__u64 acked_segs; /* segments it came in; of a SYN-ACK 1 when the client has acknowledged
			     it, and the listener is not content (TCP_DEFER_ACCEPT, a full queue) */
	__u64 sacked_segs; /* that arrived behind a gap, by selective ACKs */
	__u64 heard_ns; /* when the peer's last ACK came, boot time; 0 for SYN-ACK */
	__u32 type; /* enum abi_retransmit */
	__u32 error; /* positive errno of the attempt; 0 sent, or the kernel does not tell */
	__u32 seq; /* first sequence number */
	__u32 tcp_state;
	__u32 ca_state; /* congestion avoidance state, 0 open .. 4 loss */
	__u32 srtt_us; /* 0 when never measured */
	__u32 cwnd; /* segments */
	__u32 mss; /* payload of the largest segment this socket sends; 0 for SYN-ACK */
	__u32 soft_error; /* positive errno of the last ICMP error about this connection since
			     something was acknowledged; 0 when none */
	__u32 pad;
};
ABI_SIZE(struct retransmit_event, 248);

#endif
