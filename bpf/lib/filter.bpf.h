/* SPDX-License-Identifier: GPL-2.0-only */
/* Does a record match what the user asked for? Unset filters are pruned at load and cost nothing.
 */
#ifndef CULPRIT_FILTER_BPF_H
#define CULPRIT_FILTER_BPF_H

#include "flow.bpf.h"

static __always_inline bool addr_matches(const __u8 *addr)
{
	const __u32 *have = (const __u32 *)addr;
	const volatile __u32 *want = (const volatile __u32 *)config.addr;
	const volatile __u32 *mask = (const volatile __u32 *)config.addr_mask;

	return (have[0] & mask[0]) == want[0] && (have[1] & mask[1]) == want[1] &&
	       (have[2] & mask[2]) == want[2] && (have[3] & mask[3]) == want[3];
}

static __always_inline bool place_matches(__u32 netns, __u32 ifindex)
{
	if (config.filters & ABI_FILTER_NETNS && netns != config.netns)
		return false;
	return !(config.filters & ABI_FILTER_DEV) || ifindex == config.ifindex;
}

static __always_inline bool flow_matches(const struct abi_flow *flow)
{
	if (!place_matches(flow->netns, flow->ifindex))
		return false;
	if (config.filters & ABI_FILTER_PORT && flow->local_port != config.port &&
	    flow->remote_port != config.port)
		return false;
	if (!(config.filters & ABI_FILTER_ADDR))
		return true;
	return flow->family == config.addr_family &&
	       (addr_matches(flow->local) || addr_matches(flow->remote));
}

static __always_inline bool owner_matches(const struct abi_owner *owner)
{
	if (config.filters & ABI_FILTER_TGID && owner->tgid != config.tgid)
		return false;
	if (config.filters & ABI_FILTER_CGROUP && owner->cgroup_id != config.cgroup_id)
		return false;
	if (config.filters & ABI_FILTER_COMM) {
		const __u64 *have = (const __u64 *)owner->comm;
		const volatile __u64 *want = (const volatile __u64 *)config.comm;

		return have[0] == want[0] && have[1] == want[1];
	}
	return true;
}

/* Both, for records that have a flow and an owner. */
static __always_inline bool filter_matches(const struct abi_flow *flow,
					   const struct abi_owner *owner)
{
	return !config.filters || (flow_matches(flow) && owner_matches(owner));
}

/* The same; a miss is counted in the ledger. */
static __always_inline bool record_matches(struct abi_ledger *ledger, const struct abi_flow *flow,
					   const struct abi_owner *owner)
{
	if (filter_matches(flow, owner))
		return true;
	count_one(&ledger->filtered);
	return false;
}

#endif
