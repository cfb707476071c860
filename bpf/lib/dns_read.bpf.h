/* SPDX-License-Identifier: GPL-2.0-only */
/* A socket is read, or nothing comes: how questions end. */
#ifndef CULPRIT_DNS_READ_BPF_H
#define CULPRIT_DNS_READ_BPF_H

#include "dns_sent.bpf.h"

static __always_inline void question_end(struct dns_waiting *waiting, __u32 outcome, __u64 now)
{
	struct dns_event *event = &waiting->event;

	event->outcome = outcome;
	event->latency_ns = now - waiting->asked_ns;
	event->waited_ns = now - waiting->first_ns;
	question_tell(event);
}

/* Questions of the socket that are not answered by then end with the next look. */
static __always_inline void note_trouble(const struct sock *sk, __u64 error, __u64 now)
{
	struct dns_trouble trouble = { now, error };
	__u64 key = (__u64)sk;

	bpf_map_update_elem(&dns_troubles, &key, &trouble, BPF_ANY);
}

static __always_inline void answered(struct dns_waiting *waiting, const struct dns_waiting_key *key,
				     const struct dns_header *header, __u64 now)
{
	struct dns_event *event = &waiting->event;
	struct dns_name_key name = { event->name_hash, event->owner.tgid, event->type };
	struct dns_counts *counts = counts_of(event, WORK_READ);
	__u16 flags = bpf_ntohs(header->flags);

	event->rcode = flags & DNS_RCODE;
	event->authoritative = !!(flags & DNS_AA);
	event->truncated = !!(flags & DNS_TC);
	event->authentic = !!(flags & DNS_AD);
	event->answers = bpf_ntohs(header->answers);
	bpf_map_delete_elem(&dns_names, &name);
	if (event->truncated) /* the C library goes on by TCP and leaves the rest unread */
		note_trouble((const struct sock *)key->sk, 0, now);
	if (counts) {
		count_one(&counts->answers);
		count_rcode(counts, flags, !event->answers);
		count_latency(counts, now - waiting->asked_ns);
		if (waiting->told)
			count_one(&counts->late);
	}
	question_end(waiting, DNS_ANSWERED, now);
}

/* The first message of the call that is the answer to a question of this socket: which one of a
 * batch was just read, nothing tells. */
static __always_inline bool answer_read(const struct sock *sk, const struct syscall *call,
					__u32 batch, __u64 now)
{
	struct dns_waiting_key key = { .sk = (__u64)sk, .protocol = IPPROTO_UDP };
	struct dns_header header = {};
	struct dns_waiting *waiting;

	for (__u32 i = 0; i < batch; i++) {
		if (!header_read(&header, call, i))
			return false;
		key.id = header.id;
		waiting = header.flags & bpf_htons(DNS_QR)
				  ? bpf_map_lookup_elem(&dns_waitings, &key)
				  : NULL;
		if (!waiting)
			continue;
		answered(waiting, &key, &header, now);
		bpf_map_delete_elem(&dns_waitings, &key);
		return true;
	}
	return batch == 1; /* it could be read, and was something else */
}

static __always_inline bool is_from_client(const struct syscall *call)
{
	struct dns_header header = {};

	return !header_read(&header, call, 0) || !(header.flags & bpf_htons(DNS_QR));
}

/* The running task and the call it is in, which works on that socket. call->task is NULL when its
 * arguments are not known. */
struct dns_caller {
	struct dns_user user;
	struct syscall call;
};

static __always_inline void caller_of(struct dns_caller *caller, const struct sock *sk,
				      __u32 provenance)
{
	caller->user.netns = netns_of_common(&sk->__sk_common);
	owner_from_current(&caller->user.owner, provenance);
	caller->user.owner.cgroup_id = cgroup_of(sk);
	syscall_of_current(&caller->call);
}

/* Something was read from a socket that asks or serves, or nothing but an error. */
static __noinline void message_read(const struct sock *sk, int ret, bool serves,
				    const struct dns_caller *caller)
{
	__u64 now = bpf_ktime_get_boot_ns();
	struct dns_counts *counts;
	__u32 batch = caller->call.number == SYSCALL_RECVMMSG ? BATCH_MAX : 1;

	if (ret == -EAGAIN || ret == -ERESTARTSYS || ret == -EINTR)
		return;
	if (ret < 0) {
		note_trouble(sk, -ret, now);
	} else if (serves && is_from_client(&caller->call)) {
		counts = served(sk, &caller->user, WORK_READ);
		if (counts)
			count_one(&counts->questions);
	} else if (!answer_read(sk, &caller->call, batch, now)) {
		note_trouble(sk, 0, now);
	}
}

static __always_inline void count_end(const struct dns_event *event, __u32 outcome)
{
	struct dns_counts *counts = counts_of(event, WORK_LOOK);

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
