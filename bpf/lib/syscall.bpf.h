/* SPDX-License-Identifier: GPL-2.0-only */
/* Which system call is the running task in, and is it about that destination? Proof by the
 * registers the task entered the kernel with: an interrupt that only happens to run on top of the
 * task does not work on the call's destination. */
#ifndef CULPRIT_SYSCALL_BPF_H
#define CULPRIT_SYSCALL_BPF_H

#include "flow.bpf.h"

/* arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h. Calls of 32-bit
 * programs have other numbers: nothing is proved for them. */
#ifdef __TARGET_ARCH_x86
enum {
	SYSCALL_READ = 0,
	SYSCALL_WRITE = 1,
	SYSCALL_READV = 19,
	SYSCALL_WRITEV = 20,
	SYSCALL_CONNECT = 42,
	SYSCALL_SENDTO = 44,
	SYSCALL_RECVFROM = 45,
	SYSCALL_SENDMSG = 46,
	SYSCALL_RECVMSG = 47,
	SYSCALL_RECVMMSG = 299,
	SYSCALL_SENDMMSG = 307,
};
#else
enum {
	SYSCALL_READ = 63,
	SYSCALL_WRITE = 64,
	SYSCALL_READV = 65,
	SYSCALL_WRITEV = 66,
	SYSCALL_CONNECT = 203,
	SYSCALL_SENDTO = 206,
	SYSCALL_RECVFROM = 207,
	SYSCALL_SENDMSG = 211,
	SYSCALL_RECVMSG = 212,
	SYSCALL_RECVMMSG = 243,
	SYSCALL_SENDMMSG = 269,
};
#endif

enum syscall_use {
	SYSCALL_OTHER = 0,
	SYSCALL_CONNECTS = 1,
	SYSCALL_SENDS = 2,
};

struct destination {
	__u32 addr[4]; /* network order, IPv4 in the first */
	__be16 port;
	__u16 family;
};

/* As much of sockaddr_in6 as is compared; sockaddr_in is its beginning. */
struct sockaddr_start {
	__u16 family;
	__be16 port;
	__u32 addr4; /* or the IPv6 flow label */
	__u32 addr6[4];
};

struct syscall {
	struct task_struct *task;
	struct files_struct *files; /* loaded before the paths part: costly to verify; 0 when only
				       the registers are */
	__u64 number;
	__u64 fd, second, address; /* arguments: first, second, the fifth */
};

/* False: the task is in none, or this kernel does not give its registers (bpf_task_pt_regs,
 * Linux 5.15). */
static __always_inline bool syscall_registers(struct syscall *call)
{
	struct task_struct *task;
	void *regs;

	if (!bpf_core_enum_value_exists(enum bpf_func_id___young, BPF_FUNC_task_pt_regs___young))
		return false;
	task = bpf_get_current_task_btf();
	if (task->flags & PF_KTHREAD)
		return false;
	regs = (void *)bpf_task_pt_regs(task);
	call->task = task;
	if (bpf_core_field_exists(struct pt_regs___on_x86, orig_ax)) {
		struct pt_regs___on_x86 *x86 = regs;

		call->number = x86->orig_ax;
		call->fd = x86->di;
		call->second = x86->si;
		call->address = x86->r8;
	} else {
		struct pt_regs___on_arm64 *arm64 = regs;

		call->number = arm64->syscallno;
		call->fd = arm64->orig_x0;
		call->second = arm64->regs[1];
		call->address = arm64->regs[4];
	}
	return true;
}

static __always_inline bool syscall_of_current(struct syscall *call)
{
	if (!syscall_registers(call))
		return false;
	call->files = call->task->files;
	return true;
}

/* The file behind the call's descriptor, in the task's own table; 0 when there is none. An array of
 * pointers has no type to follow, so this needs probe reads; another thread may have closed it. */
static __always_inline struct file *syscall_file(const struct syscall *call)
{
	struct fdtable *table = call->files ? call->files->fdt : NULL;
	struct file *file = NULL;

	if (!config.probe_reads || !table || (__u32)call->fd >= table->max_fds)
		return NULL;
	if (bpf_probe_read_kernel(&file, sizeof(file), table->fd + (__u32)call->fd))
		return NULL;
	return file;
}

/* The socket behind a file; 0 when it is another kind of file: private_data is anything, and only a
 * socket leads back to its file. */
static __always_inline struct sock *socket_behind(struct file *file)
{
	struct socket *socket;

	if (!file)
		return NULL;
	socket = (struct socket *)BPF_CORE_READ(file, private_data);
	return BPF_CORE_READ(socket, file) == file ? BPF_CORE_READ(socket, sk) : NULL;
}

static __always_inline struct sock *syscall_socket(const struct syscall *call)
{
	return socket_behind(syscall_file(call));
}

static __always_inline bool address_is(__u64 user, const struct destination *to)
{
	struct sockaddr_start have = {};

	/* sockaddr_in has 16 bytes; what lies behind it may not be readable */
	if (bpf_probe_read_user(&have, 16, (void *)user))
		return false;
	if (have.family == AF_INET)
		return to->family == AF_INET && have.addr4 == to->addr[0];
	if (have.family != AF_INET6 || bpf_probe_read_user(&have, sizeof(have), (void *)user))
		return false;
	if (to->family == AF_INET)
		return !have.addr6[0] && !have.addr6[1] && have.addr6[2] == bpf_htonl(0xffff) &&
		       have.addr6[3] == to->addr[0];
	return have.addr6[0] == to->addr[0] && have.addr6[1] == to->addr[1] &&
	       have.addr6[2] == to->addr[2] && have.addr6[3] == to->addr[3];
}

static __always_inline bool peer_is(const struct sock *sk, const struct destination *to)
{
	struct in6_addr peer = {};

	if (!sk)
		return false;
	if (to->family == AF_INET)
		return BPF_CORE_READ(sk, __sk_common.skc_daddr) == to->addr[0];
	BPF_CORE_READ_INTO(&peer, sk, __sk_common.skc_v6_daddr);
	return peer.in6_u.u6_addr32[0] == to->addr[0] && peer.in6_u.u6_addr32[1] == to->addr[1] &&
	       peer.in6_u.u6_addr32[2] == to->addr[2] && peer.in6_u.u6_addr32[3] == to->addr[3];
}

/* The address a call names; 0 when it names none and the socket's peer is meant. Of several
 * messages in one call the first. */
static __always_inline __u64 named_address(const struct syscall *call)
{
	__u64 name = 0;

	if (call->number == SYSCALL_CONNECT)
		return call->second;
	if (call->number == SYSCALL_SENDTO)
		return call->address;
	/* struct user_msghdr begins with the pointer to the name */
	if (call->number == SYSCALL_SENDMSG || call->number == SYSCALL_SENDMMSG)
		bpf_probe_read_user(&name, sizeof(name), (void *)call->second);
	return name;
}

/* What the running task does towards that destination, if anything. */
static __always_inline __u32 syscall_destination_is(const struct syscall *call,
						    const struct sock *sk,
						    const struct destination *to)
{
	__u64 name;

	switch (call->number) {
	case SYSCALL_CONNECT:
	case SYSCALL_SENDTO:
	case SYSCALL_SENDMSG:
	case SYSCALL_SENDMMSG:
	case SYSCALL_WRITE:
	case SYSCALL_WRITEV:
		break;
	default:
		return SYSCALL_OTHER;
	}
	name = named_address(call);
	if (name ? !address_is(name, to) : !peer_is(sk, to))
		return SYSCALL_OTHER;
	return call->number == SYSCALL_CONNECT ? SYSCALL_CONNECTS : SYSCALL_SENDS;
}

#endif
