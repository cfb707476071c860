/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Kernel types of packets, routes, queues and devices; part of vmlinux.h, which includes it. */
#ifndef CULPRIT_PACKETS_H
#define CULPRIT_PACKETS_H

/* packets */
struct netdev_queue;
struct Qdisc;

struct net_device {
	int ifindex;
	unsigned int mtu;
	unsigned char addr_len;
	possible_net_t nd_net;
	unsigned long state;
	struct netdev_queue *_tx;
	struct Qdisc *qdisc;
	const unsigned char *dev_addr;
};

struct dst_entry {
	struct net_device *dev;
};

struct sk_buff {
	struct net_device *dev;
	struct sock *sk;
	u64 tstamp;
	void (*destructor)(struct sk_buff *skb);
	char cb[48];
	unsigned int len;
	unsigned int data_len;
	__be16 protocol;
	__u8 pkt_type : 3;
	__u16 transport_header;
	__u16 network_header;
	__u16 mac_header;
	unsigned char *head;
	unsigned char *data;
	unsigned long _skb_refdst;
	int skb_iif;
	__be16 vlan_proto;
	__u16 vlan_tci;
};

struct rtable {
	unsigned int rt_flags;
	__u8 rt_uses_gateway;
};

struct rt6_info {
	u32 rt6i_flags;
};

struct tcp_skb_cb {
	__u32 seq;
	__u32 end_seq;
	struct {
		u16 tcp_gso_segs;
	};
};

/* neighbours */
struct sk_buff_head {
	struct sk_buff *prev;
	__u32 qlen;
};

struct neigh_table {
	int family;
};

struct neighbour {
	struct neigh_table *tbl;
	struct sk_buff_head arp_queue;
	__u8 nud_state;
	unsigned char ha[32];
	struct net_device *dev;
	u8 primary_key[0];
};

/* queues and devices */
struct Qdisc;

struct Qdisc_ops {
	char id[16];
};

struct gnet_stats_queue {
	__u32 backlog;
	__u32 drops;
};

struct qdisc_skb_head {
	__u32 qlen;
};

struct netdev_queue {
	struct net_device *dev;
	struct Qdisc *qdisc_sleeping;
};

struct Qdisc {
	int (*enqueue)(struct sk_buff *skb, struct Qdisc *sch, struct sk_buff **to_free);
	const struct Qdisc_ops *ops;
	u32 handle;
	u32 parent;
	struct netdev_queue *dev_queue;
	struct qdisc_skb_head q;
	struct gnet_stats_queue qstats;
};

struct napi_struct {
	struct net_device *dev;
};

struct bpf_prog_aux {
	u32 id;
};

struct bpf_prog {
	struct bpf_prog_aux *aux;
};

#endif
