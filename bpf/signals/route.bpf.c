// SPDX-License-Identifier: GPL-2.0-only
/* Which destinations have no route, and who wanted to go there? */
#include "vmlinux.h"

#include "owner.bpf.h"
#include "route.bpf.h"
#include "syscall.bpf.h"

char LICENSE[] SEC("license") = "GPL";

/* Only for a task that is provably in a system call that leads to this lookup. Others are questions
 * (rtnetlink, firewalls, source validation), or the kernel's own packets, whose drops are told
 * apart. */
static __always_inline bool from_caller(struct route_event *event, const struct syscall *call,
					const struct sock *sk, const struct destination *to)
{
	__u32 use = syscall_destination_is(call, sk, to);

	if (use == SYSCALL_OTHER)
		return false;
	event->via = use == SYSCALL_CONNECTS ? ABI_ROUTE_CONNECT : ABI_ROUTE_SEND;
	owner_from_current(&event->owner,
			   use == SYSCALL_CONNECTS ? ABI_OWNER_CREATOR : ABI_OWNER_WRITER);
	event->owner.cgroup_id = bpf_get_current_cgroup_id();
	return true;
}

static __always_inline void event_begin(struct route_event *event, __u32 table, int error)
{
	event->table = table;
	event->error = error == -EAGAIN ? ENETUNREACH : -error;
}

static __always_inline void flow4(struct abi_flow *flow, const struct flowi4 *from)
{
	flow->family = AF_INET;
	flow->protocol = from->__fl_common.flowic_proto;
	addr4_set(flow->local, from->saddr);
	addr4_set(flow->remote, from->daddr);
	flow->local_port = bpf_ntohs(from->uli.ports.sport);
	flow->remote_port = bpf_ntohs(from->uli.ports.dport);
}

static __always_inline void flow6(struct abi_flow *flow, const struct flowi6 *from)
{
	__u32 *local = (__u32 *)flow->local, *remote = (__u32 *)flow->remote;

	flow->family = AF_INET6;
	flow->protocol = from->__fl_common.flowic_proto;
	for (int i = 0; i < 4; i++) {
		local[i] = from->saddr.in6_u.u6_addr32[i];
		remote[i] = from->daddr.in6_u.u6_addr32[i];
	}
	flow->local_port = bpf_ntohs(from->uli.ports.sport);
	flow->remote_port = bpf_ntohs(from->uli.ports.dport);
}

/* The namespace of the caller's socket; the caller's own where the socket cannot be looked at. */
static __always_inline const struct net *net_of(const struct syscall *call, const struct sock *sk)
{
	struct nsproxy *namespaces;

	if (sk)
		return BPF_CORE_READ(sk, __sk_common.skc_net.net);
	namespaces = call->task->nsproxy;
	return namespaces ? namespaces->net_ns : NULL;
}

static __always_inline void caller4(const struct flowi4 *from, __u32 table, int error)
{
	struct lookup lookup = { .at = (__u64)from, .error = error };
	struct destination to = { .family = AF_INET, .addr = { from->daddr } };
	struct route_event event = {};
	struct syscall call = {};
	const struct net *net;
	struct sock *sk;

	if (!config.probe_reads || !syscall_of_current(&call))
		return;
	sk = syscall_socket(&call);
	if (!from_caller(&event, &call, sk, &to))
		return;
	net = net_of(&call, sk);
	if (!net)
		return;
	event.flow.netns = BPF_CORE_READ(net, ns.inum);
	lookup.rules = BPF_CORE_READ(net, ipv4.fib_has_custom_rules);
	lookup.last = !lookup.rules &&
		      (table == RT_TABLE_DEFAULT || !BPF_CORE_READ(net, ipv4.fib_default));
	event_begin(&event, table, error);
	flow4(&event.flow, from);
	decide(&event, &lookup);
}

static __always_inline void received4(const struct flowi4 *from, __u32 table, int error)
{
	struct route_event event = { .via = ABI_ROUTE_RECEIVED };

	event_begin(&event, table, error);
	flow4(&event.flow, from);
	event.flow.ifindex = from->__fl_common.flowic_iif;
	tell(&event);
}

/* A lookup with a device to go out by does without a route: the destination is taken to be on the
 * link (net/ipv4/route.c: ip_route_output_key_hash_rcu()); but not in a VRF. */
static __always_inline bool is_on_link(const struct flowi4 *flow)
{
	if (!flow->__fl_common.flowic_oif)
		return false;
	return !bpf_core_field_exists(flow->__fl_common.flowic_l3mdev) ||
	       !flow->__fl_common.flowic_l3mdev;
}

/* net/ipv4/fib_trie.c: once per table. Nearly always it answers, and this does next to nothing. A
 * packet that is to be forwarded and finds no route is dropped with a reason; only what its route
 * refused is told here. */
SEC("?tp_btf/fib_table_lookup")
int BPF_PROG(route_lookup4, __u32 table, const struct flowi4 *flow, const void *nhc, int error)
{
	if (flow->__fl_common.flowic_iif != LOOPBACK_IFINDEX) {
		if (error && error != -EAGAIN)
			received4(flow, table, error);
	} else if (!error) {
		answered(flow);
	} else if (!is_on_link(flow)) {
		caller4(flow, table, error);
	}
	return 0;
}

/* include/net/ip6_fib.h: ip6_rt_type_to_error(); the table's own null entry means that it has no
 * route. */
static __always_inline int error6(const struct net *net, const struct fib6_result *result)
{
	if (result->f6i == net->ipv6.fib6_null_entry)
		return -EAGAIN;
	switch (result->fib6_type) {
	case RTN_BLACKHOLE:
		return -EINVAL;
	case RTN_UNREACHABLE:
		return -EHOSTUNREACH;
	case RTN_PROHIBIT:
		return -EACCES;
	case RTN_THROW:
		return -EAGAIN;
	default:
		return 0;
	}
}

static __always_inline void caller6(struct route_event *event, const struct net *net,
				    const struct lookup *lookup)
{
	struct destination to = { .family = AF_INET6 };
	struct syscall call = {};

	if (!config.probe_reads)
		return;
	__builtin_memcpy(to.addr, event->flow.remote, sizeof(to.addr));
	if (syscall_of_current(&call) && from_caller(event, &call, syscall_socket(&call), &to))
		decide(event, lookup);
}

/* net/ipv6/route.c: fib6_table_lookup(). */
SEC("?tp_btf/fib6_table_lookup")
int BPF_PROG(route_lookup6, const struct net *net, const struct fib6_result *result,
	     struct fib6_table *table, const struct flowi6 *flow)
{
	bool received = flow->__fl_common.flowic_iif != LOOPBACK_IFINDEX;
	int error = error6(net, result);
	struct lookup lookup = { .at = (__u64)flow, .error = error };
	struct route_event event = {};
	__u32 id = table->tb6_id;

	if (!error && !received)
		answered(flow);
	if (!error)
		return 0;
	lookup.rules = net->ipv6.fib6_has_custom_rules;
	lookup.last = !lookup.rules && id == RT_TABLE_MAIN;
	if (error == -EAGAIN && (received || (!lookup.rules && !lookup.last)))
		return 0;
	event_begin(&event, id, error);
	event.flow.netns = net->ns.inum;
	flow6(&event.flow, flow);
	if (received) {
		event.via = ABI_ROUTE_RECEIVED;
		event.flow.ifindex = flow->__fl_common.flowic_iif;
		tell(&event);
	} else {
		caller6(&event, net, &lookup);
	}
	return 0;
}
