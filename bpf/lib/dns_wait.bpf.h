/* SPDX-License-Identifier: GPL-2.0-only */
/* Questions that wait for their answers, how they end, and what is counted of them. */
#ifndef CULPRIT_DNS_WAIT_BPF_H
#define CULPRIT_DNS_WAIT_BPF_H

#include "dns_message.bpf.h"
#include "filter.bpf.h"
#include "probed.bpf.h"

enum {
	HOOK_CONSUME = 5
};

#define WAITING_MAX 16384
#define NAMES_MAX 4096
#define TROUBLES_MAX 1024
#define COUNTED_MAX 4096
#define SECOND_NS 1000000000ULL
#define FORGET_NS (15 * SECOND_NS) /* an answer after that is not waited for */
#define REPEAT_MIN_NS (SECOND_NS / 4) /* sooner it is another thread that asks the same */
#define REPEAT_MAX_NS (30 * SECOND_NS) /* later it is a new question */

struct dns_waiting_key {
	__u64 sk;
	__u32 id;
	__u32 protocol;
};

struct dns_waiting {
	__u64 skb; /* that carried it: a device on top of another one passes it on */
	__u64 asked_ns;
	__u64 first_ns;
	__u64 told; /* 1: an event has said that there is no answer */
	struct dns_event event;
};

/* Questions under way. Inserted when one is sent, deleted with its answer, with an error, or by a
 * look FORGET_NS later. Full: the question is counted, its answer is not, counted in map_full. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WAITING_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct dns_waiting_key);
	__type(value, struct dns_waiting);
} dns_waitings SEC(".maps");

struct dns_name_key {
	__u64 hash;
	__u32 tgid;
	__u32 type;
};

struct dns_name {
	__u64 first_ns;
	__u64 last_ns;
	__u64 tries;
};

/* Names a process waits for, to tell repeats over other sockets and ids. Deleted with an answer;
 * full: the least recently used gives way, its repeat counts as a first question. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, NAMES_MAX);
	__type(key, struct dns_name_key);
	__type(value, struct dns_name);
} dns_names SEC(".maps");

struct dns_trouble {
	__u64 when_ns;
	__u64 error; /* positive errno; 0: read by a call whose buffer is not known */
};

/* asking socket -> what came to it instead of an answer that could be read. Full: the least
 * recently used gives way, its questions end without an answer. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TROUBLES_MAX);
	__type(key, __u64);
	__type(value, struct dns_trouble);
} dns_troubles SEC(".maps");

/* Exact counts. Deleted by userspace when nothing came for a tick. Full: not counted, counted in
 * map_full. Shared by the CPUs, atomic adds. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, COUNTED_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct dns_key);
	__type(value, struct dns_value);
} dns_counted SEC(".maps");

/* Who works on a socket. */
struct dns_user {
	struct abi_owner owner;
	__u32 netns;
};

/* The running task and the call it is in, which works on that socket. call.task is NULL when its
 * arguments are not known. */
struct dns_caller {
	struct dns_user user;
	struct syscall call;
};

/* Room for values too large for a stack, and for those that differ by path: of what is in a map's
 * memory the verifier knows nothing, and does not follow what comes later once for each. */
struct dns_work {
	struct dns_message message;
	struct dns_waiting waiting;
	struct dns_value blank; /* never written but for its owner */
	struct dns_key key;
	struct dns_caller caller;
	__u64 bytes; /* of message */
};
enum {
	WORK_SENT = 0, /* by program */
	WORK_READ = 1,
	WORK_LOOK = 2,
	WORK_STREAM = 3,
	WORKS = 4,
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WORKS);
	__type(key, __u32);
	__type(value, struct dns_work);
} dns_works SEC(".maps");

static __always_inline struct dns_work *work_of(__u32 program)
{
	return bpf_map_lookup_elem(&dns_works, &program);
}

/* Records of one CPU in this interval: healthy ones, and others. */
struct dns_budget {
	__u64 interval;
	__u64 samples;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct dns_budget);
} dns_budgets SEC(".maps");

/* At work->key. */
static __noinline struct dns_counts *counts_at(struct dns_work *work, const struct abi_owner *owner)
{
	struct dns_value *value = bpf_map_lookup_elem(&dns_counted, &work->key);

	if (value)
		return &value->counts;
	work->blank.owner = *owner;
	count_refused(ABI_DNS_TOTAL,
		      bpf_map_update_elem(&dns_counted, &work->key, &work->blank, BPF_NOEXIST));
	value = bpf_map_lookup_elem(&dns_counted, &work->key);
	return value ? &value->counts : NULL;
}

static __always_inline struct dns_counts *counts_of(struct dns_work *work,
						    const struct dns_event *event)
{
	struct dns_key *key = &work->key;

	__builtin_memcpy(key->server, event->flow.remote, sizeof(key->server));
	key->start_ns = event->owner.start_ns;
	key->tgid = event->owner.tgid;
	key->netns = event->flow.netns;
	key->port = event->flow.remote_port;
	key->type = event->type;
	key->family = event->flow.family;
	key->protocol = event->flow.protocol;
	key->role = DNS_CLIENT;
	key->pad = 0;
	return counts_at(work, &event->owner);
}

static __always_inline void count_rcode(struct dns_counts *counts, __u16 flags, bool empty)
{
	switch (flags & DNS_RCODE) {
	case 0:
		count_one(&counts->no_error);
		if (empty)
			count_one(&counts->empty);
		break;
	case 2:
		count_one(&counts->servfail);
		break;
	case 3:
		count_one(&counts->nxdomain);
		break;
	case 5:
		count_one(&counts->refused);
		break;
	}
	if (flags & DNS_TC)
		count_one(&counts->truncated);
}

static __always_inline void count_latency(struct dns_counts *counts, __u64 ns)
{
	__u64 us = ns / 1000, slot = 0;

	for (__u32 i = 0; i < DNS_SLOTS - 1; i++) {
		/* hidden from the compiler, which would make a branch of it: 2^23 paths */
		asm volatile("" : "+r"(us));
		slot += -us >> 63;
		us >>= 1;
	}
	__sync_fetch_and_add(&counts->latency_ns, ns);
	if (ns > counts->latency_max_ns)
		counts->latency_max_ns = ns;
	if (slot < DNS_SLOTS)
		count_one(&counts->slots[slot]);
}

static __always_inline bool has_budget(bool healthy)
{
	__u32 which = healthy;
	struct dns_budget *budget = bpf_map_lookup_elem(&dns_budgets, &which);
	__u64 interval = rate_interval();

	if (!budget || !wanted(ABI_DNS))
		return false;
	if (budget->interval != interval) {
		budget->interval = interval;
		budget->samples = 0;
	}
	return !config.samples || budget->samples++ < config.samples;
}

/* Sends the event of a question that came to an end, or had none in time. */
static __always_inline void question_tell(struct dns_event *event)
{
	struct abi_ledger *ledger = ledger_of(ABI_DNS);

	if (!ledger)
		return;
	count_one(&ledger->seen);
	if (has_budget(event->outcome == DNS_ANSWERED && !event->rcode && !event->truncated))
		record_put(ledger, &event->head, ABI_DNS, sizeof(*event));
	else
		count_one(&ledger->limited);
}

#endif
