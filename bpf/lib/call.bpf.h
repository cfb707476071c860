/* SPDX-License-Identifier: GPL-2.0-only */
/* Is the running task in a system call that reads from or writes to this very socket? A proof: the
 * registers it entered the kernel with name a descriptor, and its file table has the socket's file
 * there. Softirq on top of a task that does something else proves nothing and names nobody; nor
 * does io_uring, nor a 32-bit program, whose calls have other numbers and registers. */
#ifndef CULPRIT_CALL_BPF_H
#define CULPRIT_CALL_BPF_H

#include "syscall.bpf.h"

static __always_inline __u32 provenance_of_call(__u64 number)
{
	switch (number) {
	case SYSCALL_READ:
	case SYSCALL_READV:
	case SYSCALL_RECVFROM:
	case SYSCALL_RECVMSG:
	case SYSCALL_RECVMMSG:
		return ABI_OWNER_READER;
	case SYSCALL_WRITE:
	case SYSCALL_WRITEV:
	case SYSCALL_SENDTO:
	case SYSCALL_SENDMSG:
	case SYSCALL_SENDMMSG:
		return ABI_OWNER_WRITER;
	}
	return ABI_OWNER_UNKNOWN;
}

/* The file that the running task's system call reads from or writes to, as a number to compare or
 * probe; 0 when there is none. */
static __always_inline struct file *file_of_call(__u32 *use)
{
	struct syscall call = {};

	if (!syscall_of_current(&call))
		return NULL;
	*use = provenance_of_call(call.number);
	return *use ? syscall_file(&call) : NULL;
}

/* What the running task is proven to do with the socket: ABI_OWNER_READER, ABI_OWNER_WRITER, or
 * ABI_OWNER_UNKNOWN. sk is a full socket. */
static __always_inline __u32 use_by_current(const struct sock *sk)
{
	struct socket *socket = sk->sk_socket;
	__u64 file = socket ? (__u64)socket->file : 0;
	__u32 use = ABI_OWNER_UNKNOWN;

	return file && (__u64)file_of_call(&use) == file ? use : ABI_OWNER_UNKNOWN;
}

/* Namespace of the UDP socket at that port (host order) that the running task reads from, 0 when it
 * does not: for a datagram that has neither device nor socket any more, such as one a reader finds
 * to be corrupt (net/ipv4/udp.c: udp_recvmsg()). The port ties it to the socket: softirq frees
 * packets of others on top of any reader. */
static __always_inline __u32 netns_of_reader(__u16 port)
{
	__u32 use = ABI_OWNER_UNKNOWN, inum;
	struct file *file = file_of_call(&use);
	struct sock *sk = use == ABI_OWNER_READER ? socket_behind(file) : NULL;

	if (!sk || !port || BPF_CORE_READ(sk, sk_protocol) != IPPROTO_UDP ||
	    BPF_CORE_READ(sk, __sk_common.skc_num) != port)
		return 0;
	inum = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	return inum < NETNS_INUM_FIRST ? 0 : inum;
}

#endif
