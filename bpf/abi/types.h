/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Fixed-width types on either side of the kernel boundary, and the layout assertion. */
#ifndef CULPRIT_ABI_TYPES_H
#define CULPRIT_ABI_TYPES_H

#ifdef __bpf__
/* vmlinux.h, included first by every BPF source, has __u8 .. __u64 and __s32. */
#else
#include <linux/types.h>
#endif

#ifdef __cplusplus
#define ABI_SIZE(type, bytes) static_assert(sizeof(type) == (bytes), #type " changed its size")
#else
#define ABI_SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type " changed its size")
#endif

#define ABI_COMM_BYTES 16
#define ABI_ADDR_BYTES 16
#define ABI_HIST_SLOTS 32

#endif
