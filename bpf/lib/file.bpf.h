/* SPDX-License-Identifier: GPL-2.0-only */
/* Is this file a socket that has an owner? */
#ifndef CULPRIT_FILE_BPF_H
#define CULPRIT_FILE_BPF_H

#include "datagram.bpf.h"

static __always_inline bool file_wanted(const struct sock *sk)
{
	if (is_datagram(sk))
		return true;
	if (sk->__sk_common.skc_family != AF_INET && sk->__sk_common.skc_family != AF_INET6)
		return false;
	return sk->__sk_common.skc_state != TCP_CLOSE;
}

static __always_inline bool is_inet(const struct socket *socket)
{
	const struct proto_ops *ops = socket->ops;

	return ops && (ops->family == AF_INET || ops->family == AF_INET6);
}

/* The socket behind a file of the walk over all tasks' file tables, NULL for any other file. Needs
 * bpf_sock_from_file, Linux 5.11. */
static __always_inline struct sock *sock_of_file(struct file *file)
{
	struct socket *socket = bpf_sock_from_file(file);
	struct sock *sk = socket ? socket->sk : NULL;

	return sk && file_wanted(sk) ? sk : NULL;
}

#endif
