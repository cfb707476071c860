/* SPDX-License-Identifier: GPL-2.0-only */
/* Which files of a task are sockets worth an owner? */
#ifndef CULPRIT_WALK_BPF_H
#define CULPRIT_WALK_BPF_H

#include "owner.bpf.h"

static __always_inline bool walk_wants(const struct sock *sk)
{
	if (sk->__sk_common.skc_family != AF_INET && sk->__sk_common.skc_family != AF_INET6)
		return false;
	if (sk->sk_protocol == IPPROTO_UDP)
		return config.walk_udp;
	return sk->sk_protocol == IPPROTO_TCP && sk->__sk_common.skc_state != TCP_CLOSE;
}

/* The socket behind the file, or NULL. */
static __always_inline struct sock *walked_sock(struct file *file)
{
	struct socket *socket = bpf_sock_from_file(file);
	struct sock *sk = socket ? socket->sk : NULL;

	return sk && walk_wants(sk) ? sk : NULL;
}

/* A listening socket found in a file table, perhaps in another's before. Error of the listeners
 * map.
 */
static __always_inline int walked_listener(const struct sock *sk, const struct abi_owner *owner,
					   bool again)
{
	__u32 netns = netns_of_common(&sk->__sk_common);
	__u64 key = (__u64)sk;
	struct abi_socket *known;

	if (!again)
		return listener_add(owner, netns, sk->__sk_common.skc_num);
	known = bpf_map_lookup_elem(&owners, &key);
	if (known && known->owner.tgid != owner->tgid)
		listener_share(netns, sk->__sk_common.skc_num);
	return 0;
}

#endif
