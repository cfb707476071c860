// SPDX-License-Identifier: GPL-2.0-only
/* How do TCP connections fare that are not idle? */
#include "vmlinux.h"

#include "filter.bpf.h"
#include "flow.h"
#include "owner.bpf.h"

char LICENSE[] SEC("license") = "GPL";

/* Over `owners`. */
SEC("?iter/bpf_map_elem")
int flow_look(struct bpf_iter__bpf_map_elem *ctx)
{
	const __u64 *at = ctx->key;
	__u64 key;

	if (!at || !ctx->value)
		return 0;
	key = *at;
	bpf_map_lookup_elem(&owners, &key);
	return 0;
}
