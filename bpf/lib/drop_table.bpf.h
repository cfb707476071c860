/* SPDX-License-Identifier: GPL-2.0-only */
/* Exact totals of drops, by kind: a table for each CPU, in which a kind and its counts are one line
 * of memory. A per-CPU hash has them in three, and kinds that are rare find none of them in the
 * cache. */
#ifndef CULPRIT_DROP_TABLE_BPF_H
#define CULPRIT_DROP_TABLE_BPF_H

#include "drop.h"
#include "emit.bpf.h"

#define DROP_PROBES 8

/* CPU * DROP_SLOTS + place -> slot; userspace gives it the CPUs this host may have. Slots are taken
 * at the first drop of a kind and never given back. Full, or none of the places free where a kind
 * may be: summed in the CPU's last slot, whose key stays all-zero, counted in map_full. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, DROP_SLOTS);
	__type(key, __u32);
	__type(value, struct drop_slot);
} drops SEC(".maps");

static __always_inline __u32 drop_place(const struct drop_key *key)
{
	const __u64 *words = (const __u64 *)key;
	__u64 mixed = words[0] * 0x9e3779b97f4a7c15ULL;

	mixed = (mixed ^ (mixed >> 32) ^ words[1]) * 0xc2b2ae3d27d4eb4fULL;
	mixed = (mixed ^ (mixed >> 32) ^ words[2]) * 0x9e3779b97f4a7c15ULL;
	return mixed >> 32;
}

static __always_inline bool drop_same(const struct drop_key *one, const struct drop_key *other)
{
	const __u64 *a = (const __u64 *)one, *b = (const __u64 *)other;

	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2];
}

/* All but the first place. A function of its own: what is rare costs the others nothing. */
static __noinline struct drop_slot *
drop_search(struct abi_ledger *ledger, const struct drop_key *key, __u32 first, __u32 place)
{
	struct drop_slot *slot;
	__u32 at;

	for (__u32 i = 0; i < DROP_PROBES; i++) {
		at = first + (place + i) % (DROP_SLOTS - 1);
		slot = bpf_map_lookup_elem(&drops, &at);
		if (!slot)
			return NULL;
		/* before 6.1, where programs nest, a drop of another kind may come between: one
		 * packet is counted for the wrong one then */
		if (!slot->key.location)
			slot->key = *key;
		if (drop_same(&slot->key, key))
			return slot;
	}
	count_one(&ledger->map_full);
	at = first + DROP_SLOTS - 1;
	return bpf_map_lookup_elem(&drops, &at);
}

/* The slot of this CPU for that kind; NULL on a CPU that userspace did not know of. */
static __always_inline struct drop_slot *drop_slot_of(struct abi_ledger *ledger,
						      const struct drop_key *key)
{
	__u32 first = bpf_get_smp_processor_id() * DROP_SLOTS;
	__u32 place = drop_place(key) % (DROP_SLOTS - 1), at = first + place;
	struct drop_slot *slot = bpf_map_lookup_elem(&drops, &at);

	if (slot && drop_same(&slot->key, key))
		return slot;
	return drop_search(ledger, key, first, place);
}

#endif
