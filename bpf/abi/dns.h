/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records about name resolution: questions this host's processes ask, and what they get for an
 * answer. */
#ifndef CULPRIT_ABI_DNS_H
#define CULPRIT_ABI_DNS_H

#include "event.h"

#define DNS_NAME_BYTES 256 /* RFC 1035 section 3.1: 255, the root's length included */
#define DNS_SLOTS 24
#define DNS_NO_NAME 0xff
#define DNS_NO_RCODE 0xff
/* Resolvers ask again after 1 to 5 s. An answer that comes later is a record too. */
#define DNS_TIMEOUT_NS 3000000000ULL

enum dns_outcome {
	DNS_ANSWERED = 0,
	DNS_NO_ANSWER = 1, /* within DNS_TIMEOUT_NS */
	DNS_FAILED = 2, /* the kernel reported an error instead */
	DNS_UNREAD =
		3, /* something was read from the socket, by a call whose buffer is not known */
};

/* Bits of the header's second word (RFC 1035 section 4.1.1, RFC 4035 section 3.2.3). */
enum dns_flag {
	DNS_QR = 0x8000,
	DNS_OPCODE = 0x7800,
	DNS_AA = 0x0400,
	DNS_TC = 0x0200,
	DNS_AD = 0x0020,
	DNS_RCODE = 0x000f,
};

/* The end of one question. Hooks: net_dev_queue (question), sock_send_length (the same over TCP),
 * sock_recv_length (answer, error), inet_sk_error_report (error), a look at what waits (no answer).
 */
struct dns_event {
	struct abi_head head;
	struct abi_flow flow; /* the asking socket; remote = the server */
	struct abi_owner owner; /* who asked */
	__u64 latency_ns; /* from the question's last repeat to the answer's reader; without an
			     answer, how long it has been waited for */
	__u64 waited_ns; /* the same since the process first asked for this name and type */
	__u64 retries; /* times it was asked before without an answer */
	__u64 name_hash; /* FNV-1a of the name in lower case */
	__u32 error; /* positive errno when failed, else 0 */
	__u16 type; /* of the question, 0 when unknown, as for a question that could not be sent */
	__u16 answers; /* records in the answer section */
	__u8 outcome; /* enum dns_outcome */
	__u8 rcode; /* when answered, else DNS_NO_RCODE */
	__u8 authoritative; /* 1: AA, as the next two */
	__u8 truncated; /* TC */
	__u8 authentic; /* AD */
	__u8 pad[3];
	__u8 name[DNS_NAME_BYTES]; /* as on the wire, lower case, filled up with 0; begins with
				      DNS_NO_NAME when it is not told */
};
ABI_SIZE(struct dns_event, 432);

enum dns_role {
	DNS_CLIENT = 0,
	DNS_SERVER = 1,
};

/* Questions that are counted together. */
struct dns_key {
	__u8 server[ABI_ADDR_BYTES]; /* client: the server's address and port; server: its own,
					0 for any address */
	__u64 start_ns; /* of the owner */
	__u32 tgid;
	__u32 netns;
	__u16 port;
	__u16 type;
	__u8 family;
	__u8 protocol;
	__u8 role; /* enum dns_role */
	__u8 pad;
};
ABI_SIZE(struct dns_key, 40);

/* Exact whatever the rate of records. */
struct dns_counts {
	__u64 questions; /* sent, each repeat of one too; server: received */
	__u64 answers; /* server: sent */
	__u64 silent; /* no answer within DNS_TIMEOUT_NS */
	__u64 failed;
	__u64 unread;
	__u64 late; /* answers after DNS_TIMEOUT_NS, which were counted in `silent` too */
	__u64 retries; /* questions that were asked before without an answer */
	__u64 no_error; /* answers by response code; the rest of them has another one */
	__u64 servfail;
	__u64 nxdomain;
	__u64 refused;
	__u64 empty; /* answers without error that have no record */
	__u64 truncated;
	__u64 latency_ns; /* sum over the answers; server: 0 */
	__u64 latency_max_ns; /* ever */
	__u64 slots[DNS_SLOTS]; /* latency: slot i counts answers below 2^i us, the last one all
				   above */
};
ABI_SIZE(struct dns_counts, 312);

struct dns_value {
	struct dns_counts counts; /* first: a pointer to it is one to the value, NULL too */
	struct abi_owner owner;
};
ABI_SIZE(struct dns_value, 376);

/* What userspace makes of one key at each tick: what came since the last one. */
struct dns_total {
	struct abi_head head;
	struct abi_flow flow; /* remote = the server; role server: local = its own */
	struct abi_owner owner;
	struct dns_counts counts;
	__u32 type;
	__u32 role; /* enum dns_role */
};
ABI_SIZE(struct dns_total, 448);

#endif
