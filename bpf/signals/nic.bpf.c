// SPDX-License-Identifier: GPL-2.0-only
/* Do the devices take what they are given, and do receive polls run out of budget? */
#include "vmlinux.h"

#include "filter.bpf.h"
#include "nic.h"

char LICENSE[] SEC("license") = "GPL";

#define DEVICES_MAX 4096

/* (netns, device) -> counters of the exceptions. Inserted at the first one, never deleted. Full:
 * the exception is not reported, counted in map_full. Healthy packets never come here. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, DEVICES_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct nic_key);
	__type(value, struct nic_value);
} devices SEC(".maps");

/* All NAPI polls, per CPU. Never full. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct nic_polls);
} polls SEC(".maps");

static __always_inline struct nic_value *device_of(const struct net_device *dev,
						   struct nic_key *key)
{
	struct net *net = dev->nd_net.net;
	struct nic_value fresh = {};
	struct nic_value *value;
	struct abi_ledger *ledger;

	if (!net)
		return NULL;
	key->netns = net->ns.inum;
	key->ifindex = dev->ifindex;
	if (!place_matches(key->netns, key->ifindex))
		return NULL;
	value = bpf_map_lookup_elem(&devices, key);
	if (value)
		return value;
	bpf_map_update_elem(&devices, key, &fresh, BPF_NOEXIST);
	value = bpf_map_lookup_elem(&devices, key);
	ledger = value ? NULL : ledger_of(ABI_NIC);
	if (ledger)
		count_one(&ledger->map_full);
	return value;
}

static __always_inline void send(struct abi_ledger *ledger, const struct nic_key *key, __u32 type,
				 __u32 queue, __u32 result, __u32 bytes)
{
	struct nic_event event = {
		.netns = key->netns,
		.ifindex = key->ifindex,
		.type = type,
		.queue = queue,
		.result = result,
		.bytes = bytes,
	};

	record_put(ledger, &event.head, ABI_NIC, sizeof(event));
}

/* A function of its own, as all that is rare: what it saves and clears costs the hook nothing. */
static __noinline int not_taken(struct net_device *dev, int rc, __u32 bytes)
{
	struct abi_ledger *ledger = ledger_of(ABI_NIC);
	struct nic_key key = {};
	struct nic_value *value;
	__u64 interval;
	bool busy = rc == 0x10;

	if (!ledger)
		return 0;
	count_one(&ledger->seen);
	value = device_of(dev, &key);
	if (!value) {
		count_one(&ledger->filtered);
		return 0;
	}
	interval = rate_interval();
	count_one(busy ? &value->busy : &value->refused);
	if (!wanted(ABI_NIC) || value->interval == interval) {
		count_one(&ledger->limited);
		return 0;
	}
	value->interval = interval;
	send(ledger, &key, busy ? ABI_NIC_BUSY : ABI_NIC_REFUSED, 0, rc, bytes);
	return 0;
}

/* rc is NETDEV_TX_OK (0) nearly always: that path does nothing. The packet may be freed already, so
 * nothing of it is read. NETDEV_TX_BUSY is 0x10. */
SEC("?tp_btf/net_dev_xmit")
int BPF_PROG(nic_xmit, struct sk_buff *skb, int rc, struct net_device *dev, unsigned int len)
{
	return rc ? not_taken(dev, rc, len) : 0;
}

/* net/sched/sch_generic.c: dev_watchdog(). */
SEC("?tp_btf/net_dev_xmit_timeout")
int BPF_PROG(nic_timeout, struct net_device *dev, int queue)
{
	struct abi_ledger *ledger = ledger_of(ABI_NIC);
	struct nic_key key = {};
	struct nic_value *value;

	if (!ledger || !dev)
		return 0;
	count_one(&ledger->seen);
	value = device_of(dev, &key);
	if (!value) {
		count_one(&ledger->filtered);
		return 0;
	}
	count_one(&value->timeouts);
	if (wanted(ABI_NIC))
		send(ledger, &key, ABI_NIC_TIMEOUT, queue, 0, 0);
	else
		count_one(&ledger->limited);
	return 0;
}

/* A program that returned XDP_ABORTED or no action at all, or whose action the driver could not
 * carry out: the packet is gone. */
SEC("?tp_btf/xdp_exception")
int BPF_PROG(nic_xdp, const struct net_device *dev, const struct bpf_prog *xdp, u32 act)
{
	struct nic_key key = {};
	struct nic_value *value;

	if (!dev || !xdp)
		return 0;
	value = device_of(dev, &key);
	if (!value)
		return 0;
	count_one(&value->xdp_exceptions);
	value->xdp_program = xdp->aux->id;
	return 0;
}

/* A poll that used its whole budget had more to do: the CPU does not keep up with that device for
 * the moment. */
static __noinline int full_poll(struct net_device *dev)
{
	struct nic_key key = {};
	struct nic_value *value = dev ? device_of(dev, &key) : NULL;

	if (value)
		count_one(&value->polls_full);
	return 0;
}

SEC("?tp_btf/napi_poll")
int BPF_PROG(nic_poll, struct napi_struct *napi, int work, int budget)
{
	__u32 zero = 0;
	struct nic_polls *all = bpf_map_lookup_elem(&polls, &zero);

	if (!all)
		return 0;
	all->polls++;
	all->packets += work;
	return work < budget ? 0 : full_poll(napi->dev);
}
