/* SPDX-License-Identifier: GPL-2.0-only */
/* What a neighbour entry tells: where it is, its address, its state. */
#ifndef CULPRIT_NEIGHBOUR_BPF_H
#define CULPRIT_NEIGHBOUR_BPF_H

#include "flow.bpf.h"
#include "neigh.h"

/* NUD_INCOMPLETE is 1, NUD_PERMANENT 8. */
static __always_inline __u32 state_number(__u8 state)
{
	__u32 number = 0;

	for (int i = 0; i < 8; i++)
		if (state & (1 << i))
			number = i + 1;
	return number;
}

static __always_inline void mac_set(__u8 *to, const __u8 *six_and_more)
{
	((__u32 *)to)[0] = ((const __u32 *)six_and_more)[0];
	((__u16 *)to)[2] = ((const __u16 *)six_and_more)[2];
}

/* The address is behind the structure's end, where typed reads may not go in 5.10 ("access beyond
 * struct neighbour"), and probe reads not under lockdown=confidentiality. */
static __always_inline void address_read(struct neigh_event *event, const struct neighbour *n)
{
	const __u32 *key = (const __u32 *)n->primary_key;
	bool v6 = event->family == AF_INET6;

	if (config.probe_reads && v6) {
		bpf_core_read(event->address, 16, &n->primary_key);
	} else if (config.probe_reads) {
		bpf_core_read(event->address, 4, &n->primary_key);
	} else {
		addr4_set(event->address, key[0]);
		for (int i = 1; v6 && i < 4; i++)
			((__u32 *)event->address)[i] = key[i];
	}
}

static __always_inline bool describe(struct neigh_event *event, const struct neighbour *n)
{
	struct neigh_table *table = n->tbl;
	struct net_device *dev = n->dev;
	struct net *net;

	if (!dev || !table)
		return false;
	net = dev->nd_net.net;
	if (!net)
		return false;
	event->netns = net->ns.inum;
	event->ifindex = dev->ifindex;
	event->family = table->family;
	if (dev->addr_len == 6)
		mac_set(event->old_mac, n->ha);
	address_read(event, n);
	return true;
}

static __always_inline void describe_read(struct neigh_event *event, const struct neighbour *n,
					  const struct net_device *dev)
{
	event->netns = BPF_CORE_READ(dev, nd_net.net, ns.inum);
	event->ifindex = BPF_CORE_READ(dev, ifindex);
	event->family = BPF_CORE_READ(n, tbl, family);
	address_read(event, n);
}

#endif
