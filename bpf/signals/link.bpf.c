// SPDX-License-Identifier: GPL-2.0-only
/* When does a device stop to transmit, and which process took it down? */
#include "vmlinux.h"

#include "filter.bpf.h"
#include "link.h"
#include "owner.bpf.h"

char LICENSE[] SEC("license") = "GPL";

#define DOWNS_MAX 4096
#define DOWN_ONCE_NS 1000000

/* (netns, device) -> when it stopped last. A device with several queues resets each of them within
 * microseconds: that is one time. Inserted when it stops, never deleted. Full: told once per queue,
 * counted in map_full. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, DOWNS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct link_key);
	__type(value, __u64);
} downs SEC(".maps");

static __always_inline bool told_just_now(struct abi_ledger *ledger, const struct link_key *key)
{
	__u64 now = bpf_ktime_get_boot_ns();
	__u64 *last = bpf_map_lookup_elem(&downs, key);
	bool told = last && now - *last < DOWN_ONCE_NS;

	if (!told && bpf_map_update_elem(&downs, key, &now, BPF_ANY))
		count_one(&ledger->map_full);
	return told;
}

/* net/sched/sch_generic.c: dev_deactivate_many() resets the queues of a device that stops: inside
 * the system call that takes it down (net/core/dev.c: __dev_close_many() clears START before), or
 * in a kernel thread when its carrier is lost. The hook also fires when queues are reconfigured:
 * START and the carrier are there then; and when a qdisc is destroyed, which is not attached any
 * more by then. No tracepoint tells of the carrier itself. */
SEC("?tp_btf/qdisc_reset")
int BPF_PROG(link_stop, struct Qdisc *qdisc)
{
	struct netdev_queue *queue = qdisc->dev_queue;
	struct link_event event = {};
	struct abi_ledger *ledger;
	struct net_device *dev;
	struct link_key key;
	struct net *net;
	bool started;

	dev = queue ? queue->dev : NULL;
	if (!dev || queue != dev->_tx || queue->qdisc_sleeping != qdisc)
		return 0;
	started = dev->state & (1UL << LINK_STATE_START);
	net = dev->nd_net.net;
	ledger = ledger_of(ABI_LINK);
	if (!ledger || !net || (started && !(dev->state & (1UL << LINK_STATE_NOCARRIER))))
		return 0;
	key.netns = event.netns = net->ns.inum;
	key.ifindex = event.ifindex = dev->ifindex;
	if (told_just_now(ledger, &key))
		return 0;
	count_one(&ledger->seen);
	event.type = started ? ABI_LINK_NO_CARRIER : ABI_LINK_OFF;
	if (!started && !is_kernel_thread())
		owner_from_current(&event.owner, ABI_OWNER_CREATOR);
	if (config.filters &&
	    !(place_matches(event.netns, event.ifindex) && owner_matches(&event.owner)))
		count_one(&ledger->filtered);
	else if (wanted(ABI_LINK))
		record_put(ledger, &event.head, ABI_LINK, sizeof(event));
	else
		count_one(&ledger->limited);
	return 0;
}
