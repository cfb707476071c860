/* SPDX-License-Identifier: GPL-2.0-only */
/* The listening sockets under watch, and which of them share an address. */
#ifndef CULPRIT_LISTENERS_BPF_H
#define CULPRIT_LISTENERS_BPF_H

#include "filter.bpf.h"
#include "listen_queue.bpf.h"
#include "owner.bpf.h"

#define LISTENING_MAX 8192
#define ENDED_MAX 256

/* struct sock pointer -> listen_value. Inserted at LISTEN and by the walk at start, deleted when
 * the socket closes. Full: that listener is not watched, counted in map_full. Written by the look
 * (one at a time) and by atomic adds. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LISTENING_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct listen_value);
} listening SEC(".maps");

/* Local address -> its listeners together. Inserted with the first of them, deleted with the last.
 * Full: connections there are not counted, counted in map_full. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LISTENING_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct listen_key);
	__type(value, struct listen_group);
} addresses SEC(".maps");

/* since_ns -> last state of a listener that closed. Inserted at its end, deleted by userspace at
 * the next tick. Full: what it did since the last look is lost, counted in map_full. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ENDED_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct listen_value);
} ended SEC(".maps");

static __always_inline void group_join(struct listen_value *value, __u64 sk)
{
	struct listen_group fresh = { .sk = sk, .since_ns = value->since_ns };
	struct listen_group *group;
	struct listen_key key;
	long error;

	key_of_flow(&key, &value->flow);
	/* listen() without bind(): the port is chosen after the hook, the next look finds it */
	if (!key.port)
		return;
	error = bpf_map_update_elem(&addresses, &key, &fresh, BPF_NOEXIST);
	group = bpf_map_lookup_elem(&addresses, &key);
	if (!group) {
		/* each look tries again: others may leave */
		if (!value->refused)
			count_refused(ABI_LISTEN, error);
		value->refused = 1;
		return;
	}
	group->sk = sk;
	value->group_ns = group->since_ns;
	__sync_fetch_and_add(&group->sockets, 1);
}

static __always_inline struct listen_group *group_of(const struct listen_value *value)
{
	struct listen_key key;

	if (!value->group_ns)
		return NULL;
	key_of_flow(&key, &value->flow);
	return bpf_map_lookup_elem(&addresses, &key);
}

/* What the address's connections brought since the last look. */
static __always_inline void group_read(struct listen_value *value, const struct listen_group *group)
{
	value->sockets = group ? group->sockets : 1;
	value->peak = value->depth;
	if (!group)
		return;
	value->established = group->established;
	if (group->sockets == 1 && group->peak > value->depth)
		value->peak = group->peak;
}

static __always_inline bool matches(const struct listen_value *value)
{
	return !config.filters || (flow_matches(&value->flow) && owner_matches(&value->owner));
}

/* Takes a listener out of the maps; its last state goes to userspace by way of `ended`. */
static __always_inline void leave(struct listen_value *value, __u64 sk)
{
	struct listen_group *group = group_of(value);
	__u64 id = value->since_ns;
	struct listen_key key;

	group_read(value, group);
	if (matches(value))
		count_refused(ABI_LISTEN, bpf_map_update_elem(&ended, &id, value, BPF_ANY));
	key_of_flow(&key, &value->flow);
	if (group && group->sockets <= 1) {
		bpf_map_delete_elem(&addresses, &key);
	} else if (group) {
		__sync_fetch_and_add(&group->sockets, -1);
		if (group->sk == sk)
			group->sk = 0;
	}
	bpf_map_delete_elem(&listening, &sk);
}

#endif
