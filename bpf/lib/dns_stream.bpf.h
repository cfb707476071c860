/* SPDX-License-Identifier: GPL-2.0-only */
/* DNS over TCP (RFC 1035 section 4.2.2): each message after its length, in the caller's memory. A
 * message is found that begins with what a call sends or reads, or behind its length there; those
 * that follow it in the same call too when they are sent, as the C library does. */
#ifndef CULPRIT_DNS_STREAM_BPF_H
#define CULPRIT_DNS_STREAM_BPF_H

#include "dns_read.bpf.h"

#define PREFIX_BYTES 2
#define STREAM_BATCH 2 /* an address of either family */

/* Part of what a call sends or reads. */
struct stream_part {
	__u64 at;
	__u32 bytes;
};

/* Where the call's vector of buffers is; 0 when it has but one, or is another call. */
static __always_inline __u64 stream_vector(const struct syscall *call)
{
	__u64 at = 0;

	switch (call->number) {
	case SYSCALL_RECVMSG:
	case SYSCALL_SENDMSG:
		bpf_probe_read_user(&at, sizeof(at), (void *)call->second + MSGHDR_VECTOR);
		return at;
	case SYSCALL_READV:
	case SYSCALL_WRITEV:
		return call->second;
	}
	return 0;
}

/* The buffer with a message: the first one, or, where lengths have buffers of their own, the one
 * behind the length of that index. */
static __always_inline bool stream_part(struct stream_part *part, const struct syscall *call,
					__u32 bytes, __u32 index)
{
	struct {
		__u64 base, bytes;
	} pair[2] = {};
	__u64 vector = stream_vector(call);

	part->at = vector ? 0 : call->second;
	part->bytes = bytes;
	if (!vector)
		return !index &&
		       (call->number == SYSCALL_READ || call->number == SYSCALL_WRITE ||
			call->number == SYSCALL_RECVFROM || call->number == SYSCALL_SENDTO);
	if (bpf_probe_read_user(pair, sizeof(pair), (void *)vector + index * sizeof(pair)) &&
	    bpf_probe_read_user(pair, sizeof(pair[0]), (void *)vector + index * sizeof(pair)))
		return false;
	if (pair[0].bytes != PREFIX_BYTES || bytes <= PREFIX_BYTES) {
		part->at = pair[0].base;
		return !index;
	}
	part->at = pair[1].base;
	part->bytes = bytes - PREFIX_BYTES;
	if (pair[1].bytes < part->bytes)
		part->bytes = pair[1].bytes;
	return true;
}

/* Reads a header, of a question or of an answer, and how far into the buffer it begins; -1 when
 * there is none. */
static __always_inline int stream_header(struct dns_header *header, const struct stream_part *part,
					 bool answer)
{
	for (int skip = PREFIX_BYTES; skip >= 0; skip -= PREFIX_BYTES) {
		if (part->bytes < skip + sizeof(*header) ||
		    bpf_probe_read_user(header, sizeof(*header), (void *)part->at + skip))
			continue;
		if (answer ? (header->flags & bpf_htons(DNS_QR)) &&
				     header->questions == bpf_htons(1)
			   : is_question(header))
			return skip;
	}
	return -1;
}

static __always_inline bool question_at(struct dns_work *work, const struct sock *sk,
					const struct stream_part *part)
{
	struct dns_waiting_key key = { .sk = (__u64)sk, .protocol = IPPROTO_TCP };
	int skip = stream_header(&work->message.header, part, false);
	struct dns_event *event = &work->waiting.event;
	__u32 bytes = part->bytes - skip;

	if (skip < 0)
		return false;
	__builtin_memset(&work->waiting, 0, sizeof(work->waiting));
	if (bytes > sizeof(work->message))
		bytes = sizeof(work->message);
	work->bytes = bytes;
	if (bpf_probe_read_user(&work->message, bytes, (void *)part->at + skip) ||
	    !question_take(work, WORK_STREAM))
		return false;
	key.id = work->message.header.id;
	flow_at(&event->flow, &sk->__sk_common, work->caller.user.netns);
	event->owner = work->caller.user.owner;
	question_begin(work, &key);
	return true;
}

struct stream_walk {
	const struct sock *sk;
	struct dns_work *work;
	__u32 bytes; /* not looked at yet */
};

static long question_next(__u32 index, void *data)
{
	struct stream_walk *walk = data;
	struct stream_part part;

	if (!stream_part(&part, &walk->work->caller.call, walk->bytes, index) ||
	    !question_at(walk->work, walk->sk, &part))
		return 1;
	if (walk->bytes <= part.bytes + PREFIX_BYTES)
		return 1;
	walk->bytes -= part.bytes + PREFIX_BYTES;
	return 0;
}

/* By bpf_loop(), which is older than the hook: unrolled, "BPF program is too large". */
static __noinline void stream_question(const struct sock *sk, __u32 bytes, struct dns_work *work)
{
	struct stream_walk walk = { .sk = sk, .work = work, .bytes = bytes };

	bpf_loop(STREAM_BATCH, question_next, &walk, 0);
}

static __always_inline void stream_answer(const struct sock *sk, __u32 bytes, struct dns_work *work)
{
	struct dns_waiting_key key = { .sk = (__u64)sk, .protocol = IPPROTO_TCP };
	struct dns_header header = {};
	struct dns_waiting *waiting;
	struct stream_part part;

	if (!stream_part(&part, &work->caller.call, bytes, 0) ||
	    stream_header(&header, &part, true) < 0)
		return;
	key.id = header.id;
	waiting = bpf_map_lookup_elem(&dns_waitings, &key);
	if (waiting)
		answered(work, waiting, &key, &header);
}

/* The serving end. */
static __always_inline void stream_served(const struct sock *sk, __u32 bytes, bool answer,
					  struct dns_work *work)
{
	struct dns_header header = {};
	struct stream_part part;
	struct dns_counts *counts;

	if (!stream_part(&part, &work->caller.call, bytes, 0) ||
	    stream_header(&header, &part, answer) < 0)
		return;
	counts = served(work, sk);
	if (!counts)
		return;
	count_one(answer ? &counts->answers : &counts->questions);
	if (answer)
		count_rcode(counts, bpf_ntohs(header.flags), !header.answers);
}

/* Something was read from a connection to or from a name server. */
static __noinline void stream_read(const struct sock *sk, int ret, bool asks)
{
	struct dns_work *work = work_of(WORK_READ);

	if (!work || ret <= 0)
		return;
	caller_of(&work->caller, sk, ABI_OWNER_READER);
	if (asks)
		stream_answer(sk, ret, work);
	else
		stream_served(sk, ret, false, work);
}

#endif
