/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Kernel types of route lookups, and of what a task entered the kernel with; part of vmlinux.h, which includes it. */
#ifndef CULPRIT_ROUTES_H
#define CULPRIT_ROUTES_H

/* routes */
union flowi_uli {
	struct {
		__be16 dport;
		__be16 sport;
	} ports;
};

struct flowi_common {
	int flowic_oif;
	int flowic_iif;
	int flowic_l3mdev;
	__u8 flowic_proto;
};

struct flowi4 {
	struct flowi_common __fl_common;
	__be32 saddr;
	__be32 daddr;
	union flowi_uli uli;
};

struct flowi6 {
	struct flowi_common __fl_common;
	struct in6_addr daddr;
	struct in6_addr saddr;
	union flowi_uli uli;
};

struct fib6_result {
	struct fib6_info *f6i;
	u8 fib6_type;
};

struct fib6_table {
	u32 tb6_id;
};

/* file tables */
struct nsproxy {
	struct net *net_ns;
};

#endif
