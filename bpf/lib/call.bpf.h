/* SPDX-License-Identifier: GPL-2.0-only */
/* Is the running task in a system call that reads from or writes to this very socket? A proof: the
 * registers it entered the kernel with name a descriptor, and its file table has the socket's file
 * there. Softirq on top of a task that does something else proves nothing and names nobody; nor
 * does io_uring, nor a 32-bit program, whose calls have other numbers and registers. */
#ifndef CULPRIT_CALL_BPF_H
#define CULPRIT_CALL_BPF_H

#include "emit.bpf.h"

#if defined(__TARGET_ARCH_arm64)
/* include/uapi/asm-generic/unistd.h */
#define CALL_READ 63
#define CALL_WRITE 64
#define CALL_READV 65
#define CALL_WRITEV 66
#define CALL_SENDTO 206
#define CALL_RECVFROM 207
#define CALL_SENDMSG 211
#define CALL_RECVMSG 212
#define CALL_RECVMMSG 243
#define CALL_SENDMMSG 269
#define call_number(regs) ((regs)->syscallno)
#define call_first(regs) ((regs)->orig_x0)
#else
/* arch/x86/entry/syscalls/syscall_64.tbl */
#define CALL_READ 0
#define CALL_WRITE 1
#define CALL_READV 19
#define CALL_WRITEV 20
#define CALL_SENDTO 44
#define CALL_RECVFROM 45
#define CALL_SENDMSG 46
#define CALL_RECVMSG 47
#define CALL_RECVMMSG 299
#define CALL_SENDMMSG 307
/* negative for all ways into the kernel but a system call */
#define call_number(regs) ((__s64)(regs)->orig_ax)
#define call_first(regs) ((regs)->di)
#endif

static __always_inline __u32 provenance_of_call(__s64 number)
{
	switch (number) {
	case CALL_READ:
	case CALL_READV:
	case CALL_RECVFROM:
	case CALL_RECVMSG:
	case CALL_RECVMMSG:
		return ABI_OWNER_READER;
	case CALL_WRITE:
	case CALL_WRITEV:
	case CALL_SENDTO:
	case CALL_SENDMSG:
	case CALL_SENDMMSG:
		return ABI_OWNER_WRITER;
	}
	return ABI_OWNER_UNKNOWN;
}

/* The file that the running task's system call reads from or writes to, as a number to compare or
 * probe, 0 when there is none. The registers since 5.15 (dd6e10fbd9fb ("bpf: Add
 * bpf_task_pt_regs() helper")). */
static __always_inline __u64 file_of_call(__u32 *use)
{
	struct files_struct *files;
	struct task_struct *task;
	struct fdtable *table;
	struct pt_regs *regs;
	__u64 file = 0;
	__u32 fd;

	if (!config.probe_reads ||
	    !bpf_core_enum_value_exists(enum bpf_func_id___young, BPF_FUNC_task_pt_regs___young))
		return 0;
	task = bpf_get_current_task_btf();
	files = task->files;
	table = files ? files->fdt : NULL;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	if (!table || !regs)
		return 0;
	*use = provenance_of_call(call_number(regs));
	fd = call_first(regs);
	if (!*use || fd >= table->max_fds)
		return 0;
	/* an array of pointers is no BTF type; another thread may have closed it */
	bpf_probe_read_kernel(&file, sizeof(file), table->fd + fd);
	return file;
}

/* What the running task is proven to do with the socket: ABI_OWNER_READER, ABI_OWNER_WRITER, or
 * ABI_OWNER_UNKNOWN. sk is a full socket. */
static __always_inline __u32 use_by_current(const struct sock *sk)
{
	struct socket *socket = sk->sk_socket;
	__u64 file = socket ? (__u64)socket->file : 0;
	__u32 use = ABI_OWNER_UNKNOWN;

	return file && file_of_call(&use) == file ? use : ABI_OWNER_UNKNOWN;
}

/* Namespace of the socket the running task reads from, 0 when it does not: for a packet that has
 * neither device nor socket any more, such as one a reader finds to be corrupt (net/ipv4/udp.c:
 * udp_recvmsg()). */
static __always_inline __u32 netns_of_reader(void)
{
	__u32 use = ABI_OWNER_UNKNOWN, inum;
	struct file *file = (struct file *)file_of_call(&use);
	struct socket *socket;

	if (!file || use != ABI_OWNER_READER)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	/* only a socket leads back to the file */
	if (BPF_CORE_READ(socket, file) != file)
		return 0;
	inum = BPF_CORE_READ(socket, sk, __sk_common.skc_net.net, ns.inum);
	return inum < NETNS_INUM_FIRST ? 0 : inum;
}

#endif
