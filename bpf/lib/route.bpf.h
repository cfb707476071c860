/* SPDX-License-Identifier: GPL-2.0-only */
/* Failed route lookups: which of them are final, and how often each destination has none. */
#ifndef CULPRIT_ROUTE_BPF_H
#define CULPRIT_ROUTE_BPF_H

#include "filter.bpf.h"
#include "route.h"

#define ROUTES_MAX 4096
#define CPUS_MAX 256

/* destination, caller and error -> count. Inserted at the first failure, deleted by userspace when
 * nothing came for a while. Full: counted in other_routes, and in map_full. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ROUTES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct route_key);
	__type(value, struct route_value);
} routes SEC(".maps");

/* What the map above has no room for. Never full. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct route_value);
} other_routes SEC(".maps");

/* CPU -> the lookup that found nothing so far. Emptied when a later table answers; told when the
 * next one comes, or by userspace when none does. A task that moves to another CPU in the midst of
 * a lookup that is answered then is counted once for nothing. CPUs beyond the limit share a place.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CPUS_MAX);
	__type(key, __u32);
	__type(value, struct route_undecided);
} undecided SEC(".maps");

/* One look into one table. */
struct lookup {
	__u64 at; /* address of the kernel's flow: one for all tables of a lookup, and of others
		     later */
	int error; /* negative; -EAGAIN: the next rule is asked */
	bool rules; /* custom ones: which table comes next is not known */
	bool last; /* without them: none comes */
};

static __always_inline struct route_value *value_of(struct abi_ledger *ledger,
						    const struct route_event *event)
{
	struct route_key key = {
		.start_ns = event->owner.start_ns,
		.netns = event->flow.netns,
		.ifindex = event->flow.ifindex,
		.tgid = event->owner.tgid,
		.error = event->error,
		.port = event->flow.remote_port,
		.family = event->flow.family,
		.protocol = event->flow.protocol,
		.via = event->via,
	};
	struct route_value fresh = { .owner = event->owner, .table = event->table };
	struct route_value *value;
	__u32 zero = 0;

	__builtin_memcpy(key.remote, event->flow.remote, sizeof(key.remote));
	value = bpf_map_lookup_elem(&routes, &key);
	if (value)
		return value;
	/* another CPU may have been faster: only a key that is not there afterwards was refused */
	bpf_map_update_elem(&routes, &key, &fresh, BPF_NOEXIST);
	value = bpf_map_lookup_elem(&routes, &key);
	if (value)
		return value;
	count_one(&ledger->map_full);
	return bpf_map_lookup_elem(&other_routes, &zero);
}

static __noinline int tell(struct route_event *event)
{
	struct abi_ledger *ledger = ledger_of(ABI_ROUTE);
	struct route_value *value;
	__u64 interval = rate_interval();

	if (!ledger || !event)
		return 0;
	count_one(&ledger->seen);
	if (!record_matches(ledger, &event->flow, &event->owner))
		return 0;
	value = value_of(ledger, event);
	if (!value)
		return 0;
	count_one(&value->failed);
	if (!wanted(ABI_ROUTE) || value->interval == interval) {
		count_one(&ledger->limited);
		return 0;
	}
	value->interval = interval;
	record_put(ledger, &event->head, ABI_ROUTE, sizeof(*event));
	return 0;
}

static __always_inline struct route_undecided *undecided_here(void)
{
	__u32 slot = bpf_get_smp_processor_id() & (CPUS_MAX - 1);

	return bpf_map_lookup_elem(&undecided, &slot);
}

static __always_inline bool same_addr(const __u8 *a, const __u8 *b)
{
	const __u64 *left = (const __u64 *)a, *right = (const __u64 *)b;

	return left[0] == right[0] && left[1] == right[1];
}

static __always_inline bool is_zero(const __u8 *addr)
{
	const __u64 *words = (const __u64 *)addr;

	return !words[0] && !words[1];
}

/* IPv6 asks twice, without and with a source address (net/ipv6/ip6_output.c:
 * ip6_dst_lookup_tail()). */
static __always_inline bool is_second_try(struct route_undecided *here, const struct lookup *lookup,
					  const struct abi_flow *flow)
{
	if (flow->family != AF_INET6)
		return false;
	if (is_zero(flow->local)) {
		here->told = lookup->at;
		__builtin_memcpy(here->told_remote, flow->remote, sizeof(here->told_remote));
		return false;
	}
	if (here->told != lookup->at || !same_addr(here->told_remote, flow->remote))
		return false;
	here->told = 0;
	return true;
}

/* A miss is final when no table follows. Where rules decide, it is so when the next lookup comes
 * and nothing answered this one. */
static __always_inline void decide(struct route_event *event, const struct lookup *lookup)
{
	struct route_undecided *here = undecided_here();
	bool same;

	if (!here)
		return;
	same = here->lookup == lookup->at && same_addr(here->event.flow.remote, event->flow.remote);
	if (lookup->error == -EAGAIN && !lookup->last) {
		/* what waits here may be told by userspace, which does not filter */
		if (!lookup->rules || !filter_matches(&event->flow, &event->owner))
			return;
		if (same && here->first_table != event->table) {
			here->event.table = event->table;
			return;
		}
		/* the second try of IPv6 stands for both */
		if (here->lookup &&
		    !(same && is_zero(here->event.flow.local) && !is_zero(event->flow.local)))
			tell(&here->event);
		here->lookup = lookup->at;
		here->since_ns = bpf_ktime_get_boot_ns();
		here->first_table = event->table;
		here->event = *event;
		return;
	}
	if (same)
		here->lookup = 0;
	if (!is_second_try(here, lookup, &event->flow))
		tell(event);
}

static __always_inline void answered(const void *flow)
{
	struct route_undecided *here = undecided_here();

	if (here && here->lookup == (__u64)flow)
		here->lookup = 0;
}

#endif
