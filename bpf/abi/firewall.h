/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records about firewall rules: those that may have dropped what a namespace's firewall dropped. */
#ifndef CULPRIT_ABI_FIREWALL_H
#define CULPRIT_ABI_FIREWALL_H

#include "drop.h"

enum abi_rule_verdict {
	ABI_RULE_DROP = 0,
	ABI_RULE_REJECT = 1, /* drops, and tells the sender */
	ABI_RULE_POLICY = 2, /* what a chain does with packets that no rule of it takes */
	ABI_RULE_MAP = 3, /* a map decides, by what it holds */
	ABI_RULE_UNREAD = 4, /* no rule: text says which rules could not be read, and why */
};

#define RULE_NAME_BYTES 64
#define RULE_TEXT_BYTES 192

/* One rule at one look. Asked of nftables, in namespaces where packets are dropped. Texts are the
 * administrator's, or a container's: hostile. What is too long for a name is cut. */
struct rule_total {
	struct abi_head head;
	__u64 handle; /* 0: a policy */
	__u64 packets; /* growth of its counter since the look before; 0 without a counter */
	__u64 dropped; /* packets the firewall of the namespace dropped meanwhile */
	__u32 netns;
	__u32 paths; /* bit 1 << enum abi_path: packets that come by it */
	__u8 verdict; /* enum abi_rule_verdict */
	__u8 counted; /* 1: it counts exactly what it drops */
	__u8 pad[6];
	char family[8]; /* inet, ip, ip6, bridge, netdev, arp */
	char table[RULE_NAME_BYTES];
	char chain[RULE_NAME_BYTES];
	char comment[RULE_NAME_BYTES];
	char text[RULE_TEXT_BYTES]; /* as nft writes it */
	/* "l4proto=tcp dport=22,8000-8080 saddr=!10.0.0.0/8 other": all words must hold, of the
	 * values of a word one; "!" none of them; "other": conditions beyond these */
	char conditions[RULE_TEXT_BYTES];
};
ABI_SIZE(struct rule_total, 640);

#endif
