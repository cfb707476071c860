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

static __always_inline bool question_at(struct dns_work *work, struct sock *sk,
					const struct stream_part *part)
{
	struct dns_waiting_key key = { .sk = (__u64)sk, .protocol = IPPROTO_TCP };
	struct dns_waiting *fresh = &work->waiting;
	int skip = stream_header(&work->message.header, part, false);
	__u32 bytes = part->bytes - skip;

	if (skip < 0)
		return false;
	__builtin_memset(fresh, 0, sizeof(*fresh));
	if (bytes > sizeof(work->message))
		bytes = sizeof(work->message);
	if (bpf_probe_read_user(&work->message, bytes, (void *)part->at + skip) ||
	    !question_take(&fresh->event, &work->message, bytes))
		return false;
	key.id = work->message.header.id;
	flow_from_common(&fresh->event.flow, &sk->__sk_common);
	owner_from_current(&fresh->event.owner, ABI_OWNER_WRITER);
	fresh->event.owner.cgroup_id = cgroup_of(sk);
	question_begin(fresh, &key, WORK_STREAM);
	return true;
}

struct stream_walk {
	struct sock *sk;
	struct dns_work *work;
	struct syscall call;
	__u32 bytes; /* not looked at yet */
};

static long question_next(__u32 index, void *data)
{
	struct stream_walk *walk = data;
	struct stream_part part;

	if (!stream_part(&part, &walk->call, walk->bytes, index) ||
	    !question_at(walk->work, walk->sk, &part))
		return 1;
	if (walk->bytes <= part.bytes + PREFIX_BYTES)
		return 1;
	walk->bytes -= part.bytes + PREFIX_BYTES;
	return 0;
}

/* By bpf_loop(), which is older than the hook: unrolled, "BPF program is too large". */
static __noinline void stream_question(struct sock *sk, __u32 bytes)
{
	struct stream_walk walk = { .sk = sk, .bytes = bytes };
	__u32 which = WORK_STREAM;

	walk.work = bpf_map_lookup_elem(&dns_works, &which);
	if (walk.work && syscall_of_current(&walk.call))
		bpf_loop(STREAM_BATCH, question_next, &walk, 0);
}

static __noinline void stream_answer(struct sock *sk, __u32 bytes)
{
	struct dns_waiting_key key = { .sk = (__u64)sk, .protocol = IPPROTO_TCP };
	struct dns_header header = {};
	struct dns_waiting *waiting;
	struct stream_part part;
	struct syscall call = {};

	if (!syscall_of_current(&call) || !stream_part(&part, &call, bytes, 0) ||
	    stream_header(&header, &part, true) < 0)
		return;
	key.id = header.id;
	waiting = bpf_map_lookup_elem(&dns_waitings, &key);
	if (!waiting)
		return;
	answered(waiting, &key, &header, bpf_ktime_get_boot_ns());
	bpf_map_delete_elem(&dns_waitings, &key);
}

/* The serving end. */
static __noinline void stream_served(struct sock *sk, __u32 bytes, bool answer)
{
	struct dns_header header = {};
	struct syscall call = {};
	struct stream_part part;
	struct dns_counts *counts;

	if (!syscall_of_current(&call) || !stream_part(&part, &call, bytes, 0) ||
	    stream_header(&header, &part, answer) < 0)
		return;
	counts = served(sk, answer ? WORK_STREAM : WORK_READ);
	if (!counts)
		return;
	count_one(answer ? &counts->answers : &counts->questions);
	if (answer)
		count_rcode(counts, bpf_ntohs(header.flags), !header.answers);
}

#endif
