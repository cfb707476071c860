/* SPDX-License-Identifier: GPL-2.0-only */
/* What a DNS message says: its header, and the name and type it asks for (RFC 1035 section 4.1).
 * The bytes are hostile. */
#ifndef CULPRIT_DNS_MESSAGE_BPF_H
#define CULPRIT_DNS_MESSAGE_BPF_H

#include "dns.h"
#include "syscall.bpf.h"

#define FNV_OFFSET 0xcbf29ce484222325ULL
#define FNV_PRIME 0x100000001b3ULL
#define LABEL_MAX 63
#define BATCH_MAX 8 /* messages of one recvmmsg() that are looked at */

struct dns_header {
	__be16 id;
	__be16 flags;
	__be16 questions;
	__be16 answers;
	__be16 authorities;
	__be16 additionals;
};

struct dns_message {
	struct dns_header header;
	__u8 question[DNS_NAME_BYTES + 4]; /* name, type, class */
};

/* One question, as standard queries have. Further sections may hold EDNS or a signature. */
static __always_inline bool is_question(const struct dns_header *header)
{
	return !(header->flags & bpf_htons(DNS_QR | DNS_OPCODE)) &&
	       header->questions == bpf_htons(1) && !header->answers;
}

/* Payload of a datagram that leaves; 0 when it has none that could be read. What is not in the
 * packet's linear part is a second fragment's: names and headers are in the first. */
static __always_inline __u32 datagram_read(void *to, __u32 room, const struct sk_buff *skb)
{
	const unsigned char *at = skb->head + skb->transport_header;
	struct udphdr udp = {};
	__u32 bytes;

	if (bpf_probe_read_kernel(&udp, sizeof(udp), at))
		return 0;
	bytes = bpf_ntohs(udp.len);
	if (bytes < sizeof(udp) + sizeof(struct dns_header))
		return 0;
	bytes -= sizeof(udp);
	if (bytes > room)
		bytes = room;
	return bpf_probe_read_kernel(to, bytes, at + sizeof(udp)) ? 0 : bytes;
}

/* struct user_msghdr: name, its length, then the vector of buffers; struct mmsghdr is 8 longer. */
#define MSGHDR_VECTOR 16
#define MMSGHDR_BYTES 64

/* Where the running task's system call has put what it read; 0 when that is not known. index: of
 * the message in a batch. */
static __always_inline __u64 buffer_of_call(const struct syscall *call, __u32 index)
{
	__u64 vector = call->second, at = 0;

	switch (call->number) {
	case SYSCALL_READ:
	case SYSCALL_RECVFROM:
		return call->second;
	case SYSCALL_READV:
		break;
	case SYSCALL_RECVMSG:
	case SYSCALL_RECVMMSG:
		at = call->second + MSGHDR_VECTOR + index * MMSGHDR_BYTES;
		if (bpf_probe_read_user(&vector, sizeof(vector), (void *)at))
			return 0;
		break;
	default:
		return 0;
	}
	return bpf_probe_read_user(&at, sizeof(at), (void *)vector) ? 0 : at;
}

/* The header of a message that was just read. */
static __always_inline bool header_read(struct dns_header *to, const struct syscall *call,
					__u32 index)
{
	__u64 at = buffer_of_call(call, index);

	return at && !bpf_probe_read_user(to, sizeof(*to), (void *)at);
}

#endif
