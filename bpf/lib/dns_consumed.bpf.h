/* SPDX-License-Identifier: GPL-2.0-only */
/* A datagram was read, by a task that is known, from a socket that is not. */
#ifndef CULPRIT_DNS_CONSUMED_BPF_H
#define CULPRIT_DNS_CONSUMED_BPF_H

#include "dns_read.bpf.h"

/* How a datagram begins. */
struct dns_datagram {
	struct udphdr udp;
	struct dns_header dns;
};

static __always_inline void reader_probed(struct dns_user *user)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	user->netns = BPF_CORE_READ(task, nsproxy, net_ns, ns.inum);
	owner_probed(&user->owner, ABI_OWNER_READER);
}

static __always_inline void answer_consumed(struct dns_work *work, const struct dns_datagram *begin)
{
	struct dns_asker_key asker = { bpf_ntohs(begin->udp.dest), begin->dns.id };
	struct dns_waiting_key key = { .id = begin->dns.id, .protocol = IPPROTO_UDP };
	__u64 *sk = bpf_map_lookup_elem(&dns_askers, &asker);
	struct dns_waiting *waiting;

	if (!sk)
		return;
	key.sk = *sk;
	waiting = bpf_map_lookup_elem(&dns_waitings, &key);
	if (!waiting)
		return;
	bpf_map_delete_elem(&dns_askers, &asker);
	answered(work, waiting, &key, &begin->dns);
}

/* What a driver left outside of the packet's linear part is not read. */
static __noinline void datagram_consumed(const struct sk_buff *skb)
{
	struct dns_datagram begin = {};
	struct dns_counts *counts;
	struct dns_work *work;

	if (bpf_probe_read_kernel(&begin.udp, sizeof(begin.udp), skb->data - sizeof(begin.udp)) ||
	    !(is_dns_port(bpf_ntohs(begin.udp.source)) || is_dns_port(bpf_ntohs(begin.udp.dest))))
		return;
	work = work_of(WORK_READ);
	if (!work || skb->len - skb->data_len < sizeof(begin.dns) ||
	    bpf_probe_read_kernel(&begin.dns, sizeof(begin.dns), skb->data))
		return;
	reader_probed(&work->caller.user);
	if (begin.dns.flags & bpf_htons(DNS_QR)) {
		answer_consumed(work, &begin);
		return;
	}
	counts = served_anywhere(work, bpf_ntohs(begin.udp.dest));
	if (counts)
		count_one(&counts->questions);
}

#endif
