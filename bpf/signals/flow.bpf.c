// SPDX-License-Identifier: GPL-2.0-only
/* How do TCP connections fare that are not idle? */
#include "vmlinux.h"

#include "filter.bpf.h"
#include "flow_look.bpf.h"
#include "owner.bpf.h"

char LICENSE[] SEC("license") = "GPL";

/* The run of the iterator under way, when it began, and when the one before did, in jiffies. */
static __u64 session;
static __u32 began, began_before;
static __u32 written;

/* What the iterator writes; here, since the stack is too small beside all else. */
static struct flow_look look;

static __always_inline void begin(__u64 id, __u32 now)
{
	if (id == session)
		return;
	session = id;
	began_before = began;
	began = now;
	written = 0;
}

/* Older than culprit: a listener behind the port tells a server. */
static __always_inline __u8 role_of(const struct abi_socket *known, __u32 netns, __u16 port)
{
	struct abi_listener_key key = { .netns = netns, .port = port };

	if (known->role || !bpf_map_lookup_elem(&listeners, &key))
		return known->role;
	return ABI_ROLE_SERVER;
}

static __always_inline bool is_connected(__u8 state)
{
	return state != TCP_CLOSE && state != TCP_LISTEN && state != TCP_SYN_SENT &&
	       state != TCP_SYN_RECV;
}

/* False when the socket is not what it was, or the user does not want it. */
static __always_inline bool look_fill(const struct tcp_sock *tp, const struct abi_socket *known)
{
	const struct sock_common *skc = &tp->inet_conn.icsk_inet.sk.__sk_common;
	struct net *net = skc->skc_net.net;
	__u32 netns = BPF_CORE_READ(net, ns.inum);

	look.state = skc->skc_state;
	if (!is_connected(look.state))
		return false;
	flow_from_tcp_at(&look.flow, tp, netns);
	look.owner = known->owner;
	if (config.filters && !(flow_matches(&look.flow) && owner_matches(&look.owner)))
		return false;
	look.role = role_of(known, netns, look.flow.local_port);
	look.since_ns = known->established_ns;
	look.when_ns = bpf_ktime_get_boot_ns();
	counts_from_tcp(&look, tp);
	chrono_from_tcp(&look, tp);
	queues_from_copy(&look, tp);
	return true;
}

static __always_inline void put(struct seq_file *seq)
{
	if (written >= FLOW_LOOKS_MAX)
		count_refused(ABI_FLOW_TOTAL, -1);
	/* no room left: the kernel comes back to this entry with an empty buffer */
	else if (bpf_seq_write(seq, &look, sizeof(look)) == 0)
		written++;
}

/* Over `owners`, run by userspace several times a second: no hook fires when a process does not
 * send, or does not read. Not iter/tcp, which is typed: that is a pass over the hash table of all
 * connections for each network namespace, and a thread that goes there. */
SEC("?iter/bpf_map_elem")
int flow_look(struct bpf_iter__bpf_map_elem *ctx)
{
	const struct abi_socket *known = ctx->value;
	__u32 now = (__u32)bpf_jiffies64();
	struct seq_file *seq = ctx->meta->seq;
	const __u64 *key = ctx->key;
	const struct tcp_sock *tp;

	begin(ctx->meta->session_id, now);
	if (!key || !known || known->role == ABI_ROLE_LISTENER)
		return 0;
	look.sk = *key;
	tp = copy_part((const void *)look.sk);
	if (!tp || is_idle(tp, known->role, began_before - 1, now) ||
	    !copy_whole((const void *)look.sk))
		return 0;
	look.now_ticks = now;
	if (look_fill(tp, known))
		put(seq);
	return 0;
}
