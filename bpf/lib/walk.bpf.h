/* SPDX-License-Identifier: GPL-2.0-only */
/* The walk over all tasks' file tables at start: is this file a TCP socket? */
#ifndef CULPRIT_WALK_BPF_H
#define CULPRIT_WALK_BPF_H

#include <bpf/bpf_helpers.h>

#include "consts.bpf.h"

/* The TCP socket behind a file of the walk, NULL for any other file. Needs bpf_sock_from_file,
 * Linux 5.11. */
static __always_inline struct sock *tcp_sock_of_file(struct bpf_iter__task_file *ctx)
{
	struct file *file = ctx->file;
	struct socket *sock;
	struct sock *sk;

	if (!ctx->task || !file)
		return NULL;
	sock = bpf_sock_from_file(file);
	if (!sock)
		return NULL;
	sk = sock->sk;
	if (!sk || sk->sk_protocol != IPPROTO_TCP ||
	    (sk->__sk_common.skc_family != AF_INET && sk->__sk_common.skc_family != AF_INET6))
		return NULL;
	return sk;
}

#endif
