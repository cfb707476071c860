/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Record about a TCP reset sent or received. */
#ifndef CULPRIT_ABI_RESET_H
#define CULPRIT_ABI_RESET_H

#include "event.h"

/* Hooks: tcp_send_reset, tcp_receive_reset. */
struct reset_event {
	struct abi_head head;
	struct abi_flow flow;
	struct abi_owner owner;
	__u32 direction; /* enum abi_direction */
	__u32 reason; /* enum sk_rst_reason of the running kernel; only when reason_known */
	__u32 reason_known; /* 0: this kernel or this direction gives none */
	__u32 tcp_state; /* of the socket; 0 when the reset answers a packet without socket */
};
ABI_SIZE(struct reset_event, 144);

#endif
