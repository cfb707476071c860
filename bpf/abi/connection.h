/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records about TCP connections: the result of an attempt, and the life of a closed one. */
#ifndef CULPRIT_ABI_CONNECTION_H
#define CULPRIT_ABI_CONNECTION_H

#include "event.h"

enum abi_role {
	ABI_ROLE_UNKNOWN = 0, /* older than culprit */
	ABI_ROLE_CLIENT = 1, /* called connect() */
	ABI_ROLE_SERVER = 2, /* came out of a listening socket */
	ABI_ROLE_LISTENER = 3,
};

enum abi_result {
	ABI_RESULT_OK = 0,
	ABI_RESULT_ERROR = 1, /* the kernel gave up or was refused: see error */
	ABI_RESULT_ABANDONED = 2, /* the process closed the socket before there was an answer */
	ABI_RESULT_LOCAL = 3, /* connect() failed on this host before a SYN was sent (no free port,
				 no memory) */
};

/* One per connect() that came to a result. Hook: inet_sock_set_state, leaving SYN_SENT. */
struct connect_event {
	struct abi_head head;
	struct abi_flow flow;
	struct abi_owner owner;
	__u64 latency_ns; /* connect() to result; 0 when connect() was before our start */
	__u64 syn_retransmits; /* SYNs sent again before the result */
	__u32 result; /* enum abi_result */
	__u32 error; /* errno, positive; 0 when none is known. EADDRNOTAVAIL: there was no local
			port */
};
ABI_SIZE(struct connect_event, 152);

enum abi_closer {
	ABI_CLOSER_UNKNOWN = 0, /* it began to close before our start */
	ABI_CLOSER_LOCAL = 1,
	ABI_CLOSER_REMOTE = 2,
};

enum abi_ending {
	ABI_ENDING_FIN = 0, /* both sides said FIN, or this side did and is in TIME_WAIT */
	ABI_ENDING_RESET_SENT = 1,
	ABI_ENDING_RESET_RECEIVED = 2,
	ABI_ENDING_TIMEOUT = 3, /* the kernel gave up on a silent peer */
	ABI_ENDING_OTHER = 4, /* killed, out of memory, peer never finished closing */
};

/* One per closed connection. Hook: inet_sock_set_state, any synchronized state or SYN_RECV to
 * CLOSE. */
struct close_event {
	struct abi_head head;
	struct abi_flow flow;
	struct abi_owner owner;
	__u64 handshake_ns; /* connect() to ESTABLISHED; 0 for a server and when unknown */
	__u64 established_ns; /* time in ESTABLISHED; 0 when unknown */
	__u64 closing_ns; /* first FIN or reset to CLOSE, TIME_WAIT not included; 0 when unknown */
	__u64 bytes_sent; /* acknowledged by the peer */
	__u64 bytes_received;
	__u64 segs_out; /* retransmitted ones included */
	__u64 segs_in;
	__u64 retransmits; /* segments sent again */
	__u64 answers; /* 1: the next is known: all that answers is a few segments, none was sent
			  again, and it came within ANSWER_MAX_NS. Else 0 */
	__u64 answer_ns; /* server: last byte received to last byte sent; client: last byte sent to
			    last byte received. The only answer's time, unless the connection was
			    kept for more. Resolution: a tick of the kernel */
	__u64 answered_late; /* 1: that was ANSWER_LATE_NS or more */
	__u32 srtt_us; /* smoothed round trip at the end; 0 when never measured */
	__u32 min_rtt_us; /* smallest of the last minutes; 0 when never measured */
	__u32 last_state; /* TCP state before CLOSE */
	__u32 error; /* sk_err, positive errno */
	__u8 role; /* enum abi_role */
	__u8 closer; /* enum abi_closer: who closed first */
	__u8 ending; /* enum abi_ending */
	__u8 had_data; /* 1: the process's bytes went either way */
	__u16 service_port; /* the server's port: local for a server, remote for a client */
	__u16 pad;
};
ABI_SIZE(struct close_event, 240);

#define ANSWER_SEGS 10
#define ANSWER_MAX_NS 3000000000ULL /* later ones are rather a goodbye to an idle peer */
#define ANSWER_LATE_NS 200000000ULL

/* owners map: struct sock pointer -> this. See bpf/lib/owner.bpf.h. */
struct abi_socket {
	struct abi_owner owner;
	__u64 opened_ns; /* connect() called; 0 unknown */
	__u64 established_ns; /* 0 unknown */
	__u64 closing_ns; /* 0 not yet */
	__u8 role;
	__u8 closer;
	__u8 listed; /* 1: counted in the listeners map */
	__u8 pad;
	__u32 walk; /* of the file tables that met it last, 0 none */
};
ABI_SIZE(struct abi_socket, 96);

/* listeners map: where a server's connections get their owner from. */
struct abi_listener_key {
	__u32 netns;
	__u16 port; /* host order */
	__u16 pad;
};
ABI_SIZE(struct abi_listener_key, 8);

struct abi_listener {
	struct abi_owner owner;
	__u32 sockets; /* listening sockets on this port */
	__u32 shared; /* 1: by more than one process, so no owner is inherited */
};
ABI_SIZE(struct abi_listener, 72);

#endif
