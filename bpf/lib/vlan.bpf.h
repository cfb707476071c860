/* SPDX-License-Identifier: GPL-2.0-only */
/* Did a packet come with a VLAN that nothing here handles? */
#ifndef CULPRIT_VLAN_BPF_H
#define CULPRIT_VLAN_BPF_H

#include "emit.bpf.h"

#define ETH_ALEN 6
#define ETH_HLEN 14

/* The kernel takes the tag off and makes the packet another host's (net/core/dev.c:
 * __netif_receive_skb_core()); before 6.2 the id stays readable. What is left to see is the
 * contradiction: the frame is for this device's own address, or for a group, and yet another
 * host's. `dev` is skb->dev. */
static __always_inline bool came_tagged(const struct sk_buff *skb, const struct net_device *dev)
{
	__u64 to = 0, own = 0;

	if (!config.probe_reads || BPF_CORE_READ_BITFIELD(skb, pkt_type) != PACKET_OTHERHOST)
		return false;
	if (!dev || skb->mac_header + ETH_HLEN != skb->network_header)
		return false;
	bpf_probe_read_kernel(&to, ETH_ALEN, skb->head + skb->mac_header);
	bpf_probe_read_kernel(&own, ETH_ALEN, dev->dev_addr);
	return *(__u8 *)&to & 1 || to == own;
}

#endif
