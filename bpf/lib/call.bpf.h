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

/* What the running task is proven to do with the socket: ABI_OWNER_READER, ABI_OWNER_WRITER, or
 * ABI_OWNER_UNKNOWN. The registers since 5.15 (dd6e10fbd9fb ("bpf: Add bpf_task_pt_regs()
 * helper")). sk is a full socket. */
static __always_inline __u32 use_by_current(const struct sock *sk)
{
	struct file *file, *held = NULL;
	struct files_struct *files;
	struct task_struct *task;
	struct fdtable *table;
	struct socket *socket;
	struct pt_regs *regs;
	__u32 use, fd;

	if (!config.probe_reads ||
	    !bpf_core_enum_value_exists(enum bpf_func_id___young, BPF_FUNC_task_pt_regs___young))
		return ABI_OWNER_UNKNOWN;
	socket = sk->sk_socket;
	file = socket ? socket->file : NULL;
	task = bpf_get_current_task_btf();
	files = task->files;
	table = files ? files->fdt : NULL;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	if (!file || !table || !regs)
		return ABI_OWNER_UNKNOWN;
	use = provenance_of_call(call_number(regs));
	fd = call_first(regs);
	if (!use || fd >= table->max_fds)
		return ABI_OWNER_UNKNOWN;
	/* an array of pointers is no BTF type; the descriptor may be closed by another thread: a
	 * stale pointer is no harm, it is only compared */
	bpf_probe_read_kernel(&held, sizeof(held), table->fd + fd);
	return (__u64)held == (__u64)file ? use : ABI_OWNER_UNKNOWN;
}

#endif
