/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Records about neighbours: addresses on a link that do not resolve, or change their link-layer
 * address, and the tables that hold them. */
#ifndef CULPRIT_ABI_NEIGH_H
#define CULPRIT_ABI_NEIGH_H

#include "event.h"

#define ABI_MAC_BYTES 8 /* six bytes and two 0; all 0 when there is none */

enum abi_neigh {
	ABI_NEIGH_FAILED = 0, /* it did not answer, all probes are used up */
	ABI_NEIGH_CHANGED = 1, /* another link-layer address took its place */
	ABI_NEIGH_REFUSED = 2, /* another one answered too, within a second of the one we have, and
				  was not believed */
};

/* One of these. Hooks: neigh_timer_handler (failed; what waited is collected at
 * neigh_event_send_done), neigh_update (changed, refused). */
struct neigh_event {
	struct abi_head head;
	struct abi_owner owner; /* of the packet that waited last; unknown when none did */
	__u32 type; /* enum abi_neigh */
	__u32 netns;
	__u32 ifindex;
	__u32 family;
	__u8 address[ABI_ADDR_BYTES]; /* as in abi_flow */
	__u32 old_state; /* bit number + 1 of NUD_INCOMPLETE, NUD_REACHABLE ..; 0 none */
	__u32 new_state; /* the same */
	__u8 old_mac[ABI_MAC_BYTES]; /* last one known, though the entry may not be valid */
	__u8 new_mac[ABI_MAC_BYTES]; /* that it has now, or that was refused */
	__u64 packets; /* that came to wait for it since the first probe */
	__u64 routed; /* of them to go beyond it: it is a gateway for them */
};
ABI_SIZE(struct neigh_event, 152);

/* waiting map. */
struct neigh_waiting {
	struct abi_owner owner; /* of the last packet whose owner is known */
	__u64 packets;
	__u64 routed;
};
ABI_SIZE(struct neigh_waiting, 80);

/* What userspace reads of one table (IPv4 or IPv6, for all namespaces together) at each tick:
 * /proc/net/stat/arp_cache, ndisc_cache. */
struct neigh_total {
	struct abi_head head;
	__u32 family;
	__u32 pad;
	__u64 refused; /* entries that could not be made, since the last tick; of the whole host */
	__u64 forced; /* the same for rounds of forced garbage collection */
	__u64 failed; /* the same for entries that failed to resolve */
	__u64 entries; /* largest seen */
	__u64 gc_thresh1; /* settings; 0 when unknown */
	__u64 gc_thresh2;
	__u64 gc_thresh3;
};
ABI_SIZE(struct neigh_total, 80);

#endif
