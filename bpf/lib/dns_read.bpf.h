/* SPDX-License-Identifier: GPL-2.0-only */
/* A socket is read, or nothing comes: how questions end. */
#ifndef CULPRIT_DNS_READ_BPF_H
#define CULPRIT_DNS_READ_BPF_H

#include "dns_sent.bpf.h"

static __noinline void question_end(struct dns_waiting *waiting, __u32 outcome, __u64 now)
{
	struct dns_event *event = &waiting->event;

	event->outcome = outcome;
	event->latency_ns = now - waiting->asked_ns;
	event->waited_ns = now - waiting->first_ns;
	question_tell(event);
}

/* Questions of the socket that are not answered by then end with the next look. */
static __always_inline void note_trouble(__u64 sk, __u64 error, __u64 now)
{
	struct dns_trouble trouble = { now, error };

	bpf_map_update_elem(&dns_troubles, &sk, &trouble, BPF_ANY);
}

static __noinline void answered(struct dns_work *work, struct dns_waiting *waiting,
				const struct dns_waiting_key *key, const struct dns_header *header)
{
	struct dns_event *event = &waiting->event;
	struct dns_name_key name = { event->name_hash, event->owner.tgid, event->type };
	struct dns_counts *counts;
	__u64 now = bpf_ktime_get_boot_ns();
	__u16 flags = bpf_ntohs(header->flags);

	event->rcode = flags & DNS_RCODE;
	event->authoritative = !!(flags & DNS_AA);
	event->truncated = !!(flags & DNS_TC);
	event->authentic = !!(flags & DNS_AD);
	event->answers = bpf_ntohs(header->answers);
	bpf_map_delete_elem(&dns_names, &name);
	if (!event->owner.tgid) /* it was sent by nobody's call; the reader is in one */
		event->owner = work->caller.user.owner;
	if (flags & DNS_TC) /* the C library goes on by TCP and leaves the rest unread */
		note_trouble(key->sk, 0, now);
	counts = counts_of(work, event);
	if (counts) {
		count_one(&counts->answers);
		count_rcode(counts, flags, !event->answers);
		count_latency(counts, now - waiting->asked_ns);
		if (waiting->told)
			count_one(&counts->late);
	}
	question_end(waiting, DNS_ANSWERED, now);
	bpf_map_delete_elem(&dns_waitings, key);
}

/* A message that was read. */
struct dns_reading {
	const struct syscall *call;
	struct dns_waiting_key key; /* of the question it answers */
	struct dns_header header;
	__u16 answers; /* 1: a question waits for it */
	__u16 unknown; /* 1: where it was put is not known */
};

static long answer_next(__u32 index, void *data)
{
	struct dns_reading *reading = data;

	if (!header_read(&reading->header, reading->call, index)) {
		reading->unknown = 1;
		return 1;
	}
	reading->key.id = reading->header.id;
	reading->answers = reading->header.flags & bpf_htons(DNS_QR) &&
			   bpf_map_lookup_elem(&dns_waitings, &reading->key);
	return reading->answers;
}

/* Of a batch the first message that is the answer to a question of this socket: which one was just
 * read, nothing tells. */
static __always_inline void answer_read(struct dns_work *work, const struct sock *sk)
{
	struct dns_reading reading = { .call = &work->caller.call,
				       .key = { .sk = (__u64)sk, .protocol = IPPROTO_UDP } };
	__u32 batch = work->caller.call.number == SYSCALL_RECVMMSG ? BATCH_MAX : 1;
	struct dns_waiting *waiting;

	bpf_loop(batch, answer_next, &reading, 0);
	waiting = reading.answers ? bpf_map_lookup_elem(&dns_waitings, &reading.key) : NULL;
	if (waiting)
		answered(work, waiting, &reading.key, &reading.header);
	else if (reading.unknown || batch > 1)
		note_trouble((__u64)sk, 0, bpf_ktime_get_boot_ns());
}

static __always_inline bool is_from_client(const struct syscall *call)
{
	struct dns_header header = {};

	return !header_read(&header, call, 0) || !(header.flags & bpf_htons(DNS_QR));
}

static __always_inline void caller_of(struct dns_caller *caller, const struct sock *sk,
				      __u32 provenance)
{
	caller->user.netns = netns_probed(sk);
	owner_probed(&caller->user.owner, provenance);
	caller->user.owner.cgroup_id = cgroup_probed(sk);
	caller->call.task = NULL;
	caller->call.number = -1;
	syscall_registers(&caller->call);
}

/* Something was read from a socket that asks or serves, or nothing but an error. */
static __noinline void message_read(const struct sock *sk, int ret, bool serves)
{
	struct dns_work *work = work_of(WORK_READ);
	struct dns_counts *counts;

	if (!work || ret == -EAGAIN || ret == -ERESTARTSYS || ret == -EINTR)
		return;
	if (ret < 0) {
		note_trouble((__u64)sk, -ret, bpf_ktime_get_boot_ns());
		return;
	}
	caller_of(&work->caller, sk, ABI_OWNER_READER);
	if (serves && is_from_client(&work->caller.call)) {
		counts = served(work, sk);
		if (counts)
			count_one(&counts->questions);
	} else {
		answer_read(work, sk);
	}
}

static __always_inline void count_end(const struct dns_event *event, __u32 outcome)
{
	struct dns_work *work = work_of(WORK_LOOK);
	struct dns_counts *counts = work ? counts_of(work, event) : NULL;

	if (!counts)
		return;
	if (outcome == DNS_NO_ANSWER)
		count_one(&counts->silent);
	else if (outcome == DNS_FAILED)
		count_one(&counts->failed);
	else
		count_one(&counts->unread);
}

/* Of several servers that are asked at once only the first answer is read. */
static __always_inline bool is_answered_elsewhere(const struct dns_waiting *waiting)
{
	const struct dns_event *event = &waiting->event;
	struct dns_name_key name = { event->name_hash, event->owner.tgid, event->type };
	struct dns_name *known = bpf_map_lookup_elem(&dns_names, &name);

	return !known || known->first_ns > waiting->asked_ns;
}

/* A question that still waits: has there been trouble since, or was it too long? */
static __always_inline void question_look(struct dns_waiting *waiting,
					  const struct dns_waiting_key *key)
{
	__u64 now = bpf_ktime_get_boot_ns(), sk = key->sk, age = now - waiting->asked_ns;
	struct dns_trouble *trouble = bpf_map_lookup_elem(&dns_troubles, &sk);
	bool troubled = trouble && trouble->when_ns >= waiting->asked_ns;
	__u32 outcome = is_answered_elsewhere(waiting) ? DNS_UNREAD : DNS_NO_ANSWER;

	if (troubled) {
		outcome = trouble->error ? DNS_FAILED : DNS_UNREAD;
		waiting->event.error = trouble->error;
	}
	if (!waiting->told && (troubled || age >= DNS_TIMEOUT_NS)) {
		waiting->told = 1;
		count_end(&waiting->event, outcome);
		question_end(waiting, outcome, now);
	}
	if (troubled || age >= FORGET_NS)
		bpf_map_delete_elem(&dns_waitings, key);
}

#endif
