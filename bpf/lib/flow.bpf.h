/* SPDX-License-Identifier: GPL-2.0-only */
/* Who talks to whom: a flow from a socket or from a packet's headers, and the network namespace of
 * either. */
#ifndef CULPRIT_FLOW_BPF_H
#define CULPRIT_FLOW_BPF_H

#include <bpf/bpf_endian.h>

#include "emit.bpf.h"

static __always_inline void addr4_set(__u8 *to, __be32 addr)
{
	__u32 *word = (__u32 *)to;

	word[0] = addr;
	word[1] = 0;
	word[2] = 0;
	word[3] = 0;
}

/* Read once, before the paths part: for each load of a pointer on each path the verifier searches
 * the kernel's whole BTF. */
struct place {
	__u64 cgroup_id;
	__u32 netns;
};

static __always_inline __u32 netns_of_common(const struct sock_common *skc)
{
	struct net *net = skc->skc_net.net;

	return net ? net->ns.inum : 0;
}

static __always_inline bool is_v4_mapped(const struct sock_common *skc)
{
	return skc->skc_v6_daddr.in6_u.u6_addr32[0] == 0 &&
	       skc->skc_v6_daddr.in6_u.u6_addr32[1] == 0 &&
	       skc->skc_v6_daddr.in6_u.u6_addr32[2] == bpf_htonl(0xffff);
}

/* Only members that full sockets, request sockets and TIME_WAIT sockets share. The local port is
 * skc_num, which is 0 once the socket is unhashed: callers that hold a tcp_sock put inet_sport over
 * it. Fills every byte. */
static __always_inline void flow_at(struct abi_flow *flow, const struct sock_common *skc,
				    __u32 netns)
{
	flow->local_port = skc->skc_num;
	flow->remote_port = bpf_ntohs(skc->skc_dport);
	flow->family = skc->skc_family;
	flow->protocol = IPPROTO_TCP;
	flow->v4_mapped = 0;
	flow->pad = 0;
	flow->netns = netns;
	flow->ifindex = skc->skc_bound_dev_if;
	if (flow->family == AF_INET6 && !is_v4_mapped(skc)) {
		__u32 *local = (__u32 *)flow->local, *remote = (__u32 *)flow->remote;

		for (int i = 0; i < 4; i++) {
			local[i] = skc->skc_v6_rcv_saddr.in6_u.u6_addr32[i];
			remote[i] = skc->skc_v6_daddr.in6_u.u6_addr32[i];
		}
		return;
	}
	flow->v4_mapped = flow->family == AF_INET6;
	flow->family = AF_INET;
	addr4_set(flow->local, skc->skc_rcv_saddr);
	addr4_set(flow->remote, skc->skc_daddr);
}

static __always_inline void flow_from_common(struct abi_flow *flow, const struct sock_common *skc)
{
	flow_at(flow, skc, netns_of_common(skc));
}

static __always_inline void flow_from_tcp_at(struct abi_flow *flow, const struct tcp_sock *tp,
					     __u32 netns)
{
	flow_at(flow, &tp->inet_conn.icsk_inet.sk.__sk_common, netns);
	flow->local_port = bpf_ntohs(tp->inet_conn.icsk_inet.inet_sport);
}

static __always_inline void flow_from_tcp(struct abi_flow *flow, const struct tcp_sock *tp)
{
	flow_from_tcp_at(flow, tp, netns_of_common(&tp->inet_conn.icsk_inet.sk.__sk_common));
}

static __always_inline void flow_clear(struct abi_flow *flow)
{
	__builtin_memset(flow, 0, sizeof(*flow));
}

/* What one look at a packet's headers tells beside the flow. */
struct packet {
	__u32 seq;
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 icmp_code;
};

static __always_inline void ports_from_packet(struct abi_flow *flow, struct packet *packet,
					      const unsigned char *at)
{
	bool icmp = flow->protocol == IPPROTO_ICMP || flow->protocol == IPPROTO_ICMPV6;
	struct tcphdr_start l4 = {};

	if (flow->protocol != IPPROTO_TCP && flow->protocol != IPPROTO_UDP && !icmp)
		return;
	if (bpf_probe_read_kernel(&l4, sizeof(l4), at))
		return;
	if (icmp) {
		packet->icmp_type = bpf_ntohs(l4.source) >> 8;
		packet->icmp_code = (__u8)bpf_ntohs(l4.source);
		return;
	}
	flow->local_port = bpf_ntohs(l4.source);
	flow->remote_port = bpf_ntohs(l4.dest);
	if (flow->protocol == IPPROTO_TCP) {
		packet->seq = bpf_ntohl(l4.seq);
		packet->tcp_flags = l4.flags;
	}
}

static __always_inline void flow_from_ipv4(struct abi_flow *flow, struct packet *packet,
					   const unsigned char *at)
{
	struct iphdr ip = {};

	if (bpf_probe_read_kernel(&ip, sizeof(ip), at) || ip.version_ihl >> 4 != 4)
		return;
	flow->family = AF_INET;
	flow->protocol = ip.protocol;
	addr4_set(flow->local, ip.saddr);
	addr4_set(flow->remote, ip.daddr);
	/* only the first fragment has ports */
	if (!(ip.frag_off & bpf_htons(0x1fff)))
		ports_from_packet(flow, packet, at + (ip.version_ihl & 15) * 4);
}

static __always_inline void flow_from_ipv6(struct abi_flow *flow, struct packet *packet,
					   const unsigned char *at)
{
	struct ipv6hdr ip = {};

	if (bpf_probe_read_kernel(&ip, sizeof(ip), at) ||
	    (bpf_ntohl(ip.version_class_flow) >> 28) != 6)
		return;
	flow->family = AF_INET6;
	flow->protocol = ip.nexthdr; /* an extension header's number when there is one */
	__builtin_memcpy(flow->local, ip.saddr, 16);
	__builtin_memcpy(flow->remote, ip.daddr, 16);
	ports_from_packet(flow, packet, at + sizeof(ip));
}

/* The packet's own addresses; local = source. flow and packet must be zeroed. Packet memory is no
 * BTF type, so this needs probe reads, which lockdown=confidentiality refuses: config.probe_reads
 * is 0 there. */
static __always_inline void flow_from_skb(struct abi_flow *flow, struct packet *packet,
					  const struct sk_buff *skb)
{
	__u16 offset = skb->network_header;
	const unsigned char *at = skb->head + offset;

	if (!config.probe_reads || !offset || offset == 0xffff)
		return;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		flow_from_ipv4(flow, packet, at);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		flow_from_ipv6(flow, packet, at);
}

/* skb->dev shares its memory with other things while a packet sits in a socket's queue: what does
 * not lead to a namespace is no device. */
static __always_inline void place_of_device(const struct net_device *dev, __u32 *netns,
					    __u32 *ifindex)
{
	struct net *net;
	__u32 inum;

	if (!dev)
		return;
	net = dev->nd_net.net;
	if (!net)
		return;
	inum = net->ns.inum;
	if (inum < NETNS_INUM_FIRST)
		return;
	*netns = inum;
	*ifindex = dev->ifindex;
}

static __always_inline void device_of_skb(const struct sk_buff *skb, __u32 *netns, __u32 *ifindex)
{
	place_of_device(skb->dev, netns, ifindex);
}

/* The packet's socket. While the packet is a fragment some kernels keep a number in skb->sk; only a
 * packet with a destructor has a socket there. May be a TIME_WAIT or request socket: read its
 * sock_common only. */
static __always_inline struct sock *sock_of_skb(const struct sk_buff *skb)
{
	return skb->destructor ? skb->sk : NULL;
}

#endif
