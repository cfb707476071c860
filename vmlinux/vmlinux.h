/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kernel types and fields the BPF programs read, and no others. Kept by hand; CO-RE finds the real offsets. A test
 * compares each of them with the running kernel's BTF. */
#ifndef CULPRIT_VMLINUX_H
#define CULPRIT_VMLINUX_H

typedef unsigned char __u8;
typedef short int __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long int __s64;
typedef unsigned long long __u64;
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;
typedef __u16 __sum16;

#define bool _Bool
#define true 1
#define false 0
#ifndef NULL
#define NULL ((void *)0)
#endif

/* Map types and flags the shared maps use (uapi, stable). */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_SK_STORAGE = 24,
	BPF_MAP_TYPE_RINGBUF = 27,
};

enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_EXIST = 2,
};

enum {
	BPF_F_NO_PREALLOC = 1,
	BPF_F_MMAPABLE = 1024,
};

enum {
	BPF_SK_STORAGE_GET_F_CREATE = 1,
};

enum {
	BPF_RB_NO_WAKEUP = 1,
	BPF_RB_FORCE_WAKEUP = 2,
	BPF_RB_AVAIL_DATA = 0,
};

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
#endif

typedef struct {
	int counter;
} atomic_t;

/* namespaces */
struct ns_common {
	unsigned int inum;
};

struct netns_core {
	int sysctl_somaxconn;
};

struct fib_table;
struct fib6_info;

struct netns_ipv4 {
	u8 sysctl_tcp_syncookies;
	int sysctl_max_syn_backlog;
	struct fib_table *fib_default;
	bool fib_has_custom_rules;
};

struct netns_ipv6 {
	struct fib6_info *fib6_null_entry;
	bool fib6_has_custom_rules;
};

struct net {
	struct ns_common ns;
	struct netns_core core;
	struct netns_ipv4 ipv4;
	struct netns_ipv6 ipv6;
};

typedef struct {
	struct net *net;
} possible_net_t;

/* cgroups */
struct kernfs_node {
	u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct sock_cgroup_data {
	struct cgroup *cgroup;
};

/* sockets */
struct in6_addr {
	union {
		__u8 u6_addr8[16];
		__be32 u6_addr32[4];
	} in6_u;
};

struct sock;

struct sock_common {
	unsigned short skc_family;
	volatile unsigned char skc_state;
	__be16 skc_dport;
	__u16 skc_num;
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	possible_net_t skc_net;
	int skc_bound_dev_if;
	struct sock *skc_listener;
};

typedef struct {
	int owned;
} socket_lock_t;

struct hlist_node {
	struct hlist_node **pprev;
};

struct timer_list {
	struct hlist_node entry;
	u64 expires;
};

typedef struct refcount_struct {
	atomic_t refs;
} refcount_t;

struct sock {
	struct sock_common __sk_common;
	socket_lock_t sk_lock;
	struct sock_cgroup_data sk_cgrp_data;
	u16 sk_protocol;
	u16 sk_type;
	int sk_err;
	int sk_err_soft;
	atomic_t sk_drops;
	struct {
		atomic_t rmem_alloc;
	} sk_backlog;
	int sk_rcvbuf;
	int sk_sndbuf;
	int sk_wmem_queued;
	u8 sk_userlocks;
	refcount_t sk_wmem_alloc;
	struct timer_list sk_timer;
	u32 sk_ack_backlog;
	u32 sk_max_ack_backlog;
	struct socket *sk_socket;
};

struct inet_sock {
	struct sock sk;
	__be16 inet_sport;
};

struct request_sock_queue {
	u8 rskq_defer_accept;
	atomic_t qlen;
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	struct request_sock_queue icsk_accept_queue;
	struct timer_list icsk_retransmit_timer;
	__u8 icsk_ca_state : 5;
	__u8 icsk_retransmits;
	__u8 icsk_pending;
	__u8 icsk_backoff;
	__u8 icsk_probes_out;
	struct {
		__u32 lrcvtime;
		__u16 rcv_mss;
	} icsk_ack;
};

struct minmax_sample {
	u32 t;
	u32 v;
};

struct minmax {
	struct minmax_sample s[3];
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	u32 rcv_nxt;
	u32 rcv_wup;
	u32 rcv_wnd;
	u32 copied_seq;
	u32 write_seq;
	u32 snd_nxt;
	u32 snd_una;
	u32 snd_sml;
	u32 snd_wl1;
	u32 snd_wnd;
	u32 packets_out;
	u32 mss_cache;
	u32 rcv_tstamp;
	u32 lsndtime;
	u32 app_limited;
	u8 nonagle : 4;
	u8 chrono_type;
	u32 chrono_start;
	u32 chrono_stat[3];
	u64 bytes_acked;
	u64 bytes_received;
	u32 segs_in;
	u32 segs_out;
	u32 data_segs_in;
	u32 data_segs_out;
	u32 srtt_us;
	u32 mdev_us;
	u32 snd_cwnd;
	u32 delivered;
	u32 sacked_out;
	u32 total_retrans;
	u32 dsack_dups;
	u32 reord_seen;
	u32 rcv_ooopack;
	struct minmax rtt_min;
};

struct udp_sock {
	struct inet_sock inet;
	int forward_deficit;
};

struct request_sock {
	struct sock_common __req_common;
	struct timer_list rsk_timer;
	u8 num_retrans;
	u8 num_timeout : 7;
};

struct inet_request_sock {
	struct request_sock req;
	__u16 acked : 1;
};

struct tcp_request_sock {
	struct inet_request_sock req;
	u32 snt_isn;
};

struct inet_timewait_sock {
	struct sock_common __tw_common;
	struct timer_list tw_timer;
	unsigned char tw_substate;
};

struct tcp_timewait_sock {
	struct inet_timewait_sock tw_sk;
};

struct super_block {
	unsigned long s_magic;
};

struct inode {
	u64 i_ino;
	struct super_block *i_sb;
};

struct file {
	struct inode *f_inode;
	void *private_data;
};

typedef enum { SS_UNCONNECTED = 1 } socket_state;

struct proto_ops {
	int family;
};

struct socket {
	socket_state state;
	struct file *file;
	struct sock *sk;
	const struct proto_ops *ops;
};

#include "packets.h"

#include "routes.h"

#include "tasks.h"

#include "flavors.h"

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

#include "wire.h"

#endif
