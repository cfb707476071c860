/* SPDX-License-Identifier: GPL-2.0-only */
/* How far had a packet come: was it arriving, for this namespace, for somebody else, or made here?
 */
#ifndef CULPRIT_PATH_BPF_H
#define CULPRIT_PATH_BPF_H

#include "drop.h"
#include "emit.bpf.h"

/* Multicast and broadcast routes are local too: RTCF_LOCAL | RTCF_BROADCAST | RTCF_MULTICAST. */
static __always_inline bool is_input_route(const struct sk_buff *skb, unsigned long dst)
{
	__u32 flags = 0;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		flags = BPF_CORE_READ((const struct rtable *)dst, rt_flags);
		return flags & (RTCF_LOCAL | RTCF_BROADCAST | RTCF_MULTICAST);
	}
	flags = BPF_CORE_READ((const struct rt6_info *)dst, rt6i_flags);
	return flags & (RTF_LOCAL | RTF_ANYCAST);
}

/* skb_iif is the device a packet came in by, 0 for one made here. The route is a tagged number, so
 * it needs probe reads. */
static __always_inline __u8 path_of(const struct sk_buff *skb)
{
	unsigned long dst = skb->_skb_refdst & SKB_DST_PTRMASK;

	if (!skb->skb_iif)
		return ABI_PATH_OUTPUT;
	if (!dst)
		return ABI_PATH_ARRIVING;
	if (!config.probe_reads ||
	    (skb->protocol != bpf_htons(ETH_P_IP) && skb->protocol != bpf_htons(ETH_P_IPV6)))
		return ABI_PATH_UNKNOWN;
	return is_input_route(skb, dst) ? ABI_PATH_INPUT : ABI_PATH_FORWARD;
}

#endif
