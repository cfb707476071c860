/* SPDX-License-Identifier: GPL-2.0-only */
/* The ring all signals share, and the ledger that accounts for every record that went or did not go
 * through it. */
#ifndef CULPRIT_EMIT_BPF_H
#define CULPRIT_EMIT_BPF_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "config.h"
#include "consts.bpf.h"
#include "event.h"

/* The object's constants; userspace fills them before load, then they are frozen. Static, so that
 * no skeleton spells its type. */
static const volatile struct abi_config config SEC(".rodata.config") = {};

/* Records, in the order of reservation. Full: the record is counted in ring_full and lost. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, ABI_RING_BYTES);
} events SEC(".maps");

/* kind -> ledger, per CPU: written by every program, read by userspace. Never full. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, ABI_KIND_LIMIT);
	__type(key, __u32);
	__type(value, struct abi_ledger);
} ledgers SEC(".maps");

/* Programs nest on one CPU (softirq over task), so even per-CPU counters need an atomic add to be
 * exact. */
static __always_inline void count_one(__u64 *counter)
{
	__sync_fetch_and_add(counter, 1);
}

/* The same for a counter of this CPU that only one program writes. Since Linux 6.1 no program of a
 * tracepoint nests in itself (05b24ff9b2cf ("bpf: Prevent bpf program recursion for raw tracepoint
 * probes")), and the atomic add, of several nanoseconds, can be spared; a helper of that age tells.
 */
static __always_inline void add_alone(__u64 *counter, __u64 more)
{
	if (bpf_core_enum_value_exists(enum bpf_func_id___young,
				       BPF_FUNC_user_ringbuf_drain___young))
		*counter += more;
	else
		__sync_fetch_and_add(counter, more);
}

static __always_inline struct abi_ledger *ledger_of(__u32 kind)
{
	return bpf_map_lookup_elem(&ledgers, &kind);
}

/* A map had no room, or the kernel no memory, for an entry that records of this kind need. One that
 * another CPU just made serves as well. */
static __always_inline void count_refused(__u32 kind, long error)
{
	struct abi_ledger *ledger = error && error != -EEXIST ? ledger_of(kind) : NULL;

	if (ledger)
		count_one(&ledger->map_full);
}

static __always_inline bool wanted(__u32 kind)
{
	return config.kinds & (1ULL << kind);
}

/* Room for one record with its head filled in, or NULL (counted). Everything behind the head is
 * uninitialised: the caller writes every byte. */
static __always_inline void *record_begin(struct abi_ledger *ledger, __u32 kind, __u64 now,
					  __u64 size)
{
	struct abi_head *head = bpf_ringbuf_reserve(&events, size, 0);

	if (!head) {
		count_one(&ledger->ring_full);
		return NULL;
	}
	head->when_ns = now;
	head->kind = kind;
	head->size_bytes = size;
	head->cpu = bpf_get_smp_processor_id();
	count_one(&ledger->submitted);
	return head;
}

/* The reader drains on a timer; it is woken before that only when the record crosses the mark of
 * unread bytes. A wakeup per record costs more than all the rest. */
static __always_inline void record_send(void *record, __u64 size)
{
	__u64 unread = bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA);
	bool crossed = unread >= ABI_RING_WAKE_BYTES && unread - (size + 8) < ABI_RING_WAKE_BYTES;

	bpf_ringbuf_submit(record, crossed ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
}

/* Sends a record built on the caller's stack, for what is rare: one that is filled in place is
 * cheaper, as its memory is on its way while the program looks up what to write there. size is a
 * constant. */
static __always_inline void record_put(struct abi_ledger *ledger, struct abi_head *from, __u32 kind,
				       __u64 size)
{
	void *to = record_begin(ledger, kind, bpf_ktime_get_boot_ns(), size);

	if (!to)
		return;
	__builtin_memcpy(to + sizeof(*from), (void *)from + sizeof(*from), size - sizeof(*from));
	record_send(to, size);
}

/* About 64 jiffies (64 ms at HZ=1000, 256 ms at HZ=250): the interval of the rate limits. */
static __always_inline __u64 rate_interval(void)
{
	return bpf_jiffies64() >> 6;
}

#endif
