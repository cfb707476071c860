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

/* bpf_sock_from_file, Linux 5.11, leads from a file to its socket with types. */
static __always_inline bool has_typed_files(void)
{
	return has_storage();
}

/* For 5.10: the address of the socket behind a file, NULL for any other file. Only probe reads may
 * go on from there, so under lockdown=confidentiality there is none. */
static __always_inline const struct sock *address_of_file(const struct file *file)
{
	const struct inode *inode = file->f_inode;
	const struct super_block *super = inode ? inode->i_sb : NULL;
	const struct socket *socket = file->private_data;
	const struct sock *sk;
	__u16 family;

	if (!config.probe_reads || !super || super->s_magic != SOCKFS_MAGIC)
		return NULL;
	sk = BPF_CORE_READ(socket, sk);
	family = BPF_CORE_READ(sk, __sk_common.skc_family);
	return family == AF_INET || family == AF_INET6 ? sk : NULL;
}

/* Of a socket at an address. */
static __always_inline bool listens_at(const struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP &&
	       BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_LISTEN;
}

/* The socket behind a file of the walk over all tasks' file tables, NULL for any other file. Needs
 * has_typed_files(). */
static __always_inline struct sock *sock_of_file(struct file *file)
{
	struct socket *socket = bpf_sock_from_file(file);
	struct sock *sk = socket ? socket->sk : NULL;

	return sk && file_wanted(sk) ? sk : NULL;
}

#endif
