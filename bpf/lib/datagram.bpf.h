/* SPDX-License-Identifier: GPL-2.0-only */
/* Whose is a socket that is not TCP: UDP, raw, ping, packet? */
#ifndef CULPRIT_DATAGRAM_BPF_H
#define CULPRIT_DATAGRAM_BPF_H

#include "call.bpf.h"
#include "owner.bpf.h"

/* struct sock -> abi_socket, of which owner and walk are used. A storage and not the hash of
 * owners: no tracepoint tells when such a socket is freed, and memory used again must not blame the
 * one before. The storage ends with its socket, so there are at most as many as sockets. Inserted
 * by the walks over file tables and by a proof (call.bpf.h). No memory: the socket has no owner, a
 * walk counts that in map_full. Tracing programs may use it since 5.11 (8e4597c627fb ("bpf: Allow
 * using bpf_sk_storage in FENTRY/FEXIT/RAW_TP")); before, these sockets have no owner. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct abi_socket);
} datagram_owners SEC(".maps");

/* The helper that says it has the same age. */
static __always_inline bool has_storage(void)
{
	return bpf_core_enum_value_exists(enum bpf_func_id___young,
					  BPF_FUNC_sock_from_file___young);
}

static __always_inline bool is_datagram(const struct sock *sk)
{
	__u16 family = sk->__sk_common.skc_family;

	return (family == AF_INET || family == AF_INET6 || family == AF_PACKET) &&
	       sk->sk_protocol != IPPROTO_TCP;
}

static __always_inline struct abi_socket *datagram_known(struct sock *sk)
{
	return has_storage() ? bpf_sk_storage_get(&datagram_owners, sk, NULL, 0) : NULL;
}

/* An owner that is not known, from memory: after a constant the verifier would follow all that
 * comes later twice, with an owner and without. Never written. */
static volatile struct abi_owner nobody;

static __always_inline void owner_unknown(struct abi_owner *owner)
{
	const volatile __u64 *from = (const volatile __u64 *)&nobody;
	__u64 *to = (__u64 *)owner;

	for (__u32 i = 0; i < sizeof(*owner) / sizeof(*to); i++)
		to[i] = from[i];
}

/* The last one who was proven to use the socket is its owner: it may have been handed over. Costs a
 * few loads more than a look into a map, so only for records that are sent. Not atomic: two users
 * at the same moment may leave a mixture, which the next proof mends. */
static __always_inline struct abi_socket *datagram_learn(struct sock *sk)
{
	struct abi_socket *known = datagram_known(sk);
	__u32 use = has_storage() ? use_by_current(sk) : ABI_OWNER_UNKNOWN;

	if (!use)
		return known;
	if (!known)
		known = bpf_sk_storage_get(&datagram_owners, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (known && (known->owner.tgid != bpf_get_current_pid_tgid() >> 32 ||
		      known->owner.provenance < use))
		owner_from_current(&known->owner, use);
	return known;
}

/* Owner of whatever socket a packet has, if any; prove (a constant) where it may be the running
 * task's, which costs a hook's load 15 ms. TIME_WAIT and request sockets are no full ones. */
static __always_inline void owner_from_packet_sock(struct abi_owner *owner, struct sock *sk,
						   bool prove)
{
	struct abi_socket *known = NULL;
	__u64 key = (__u64)sk, cgroup = 0;
	__u8 state;

	if (sk) {
		state = sk->__sk_common.skc_state;
		if (state == TCP_TIME_WAIT || state == TCP_NEW_SYN_RECV) {
			known = bpf_map_lookup_elem(&owners, &key);
		} else {
			cgroup = cgroup_of(sk);
			if (!is_datagram(sk))
				known = bpf_map_lookup_elem(&owners, &key);
			else
				known = prove ? datagram_learn(sk) : datagram_known(sk);
		}
	}
	owner_unknown(owner);
	if (known)
		*owner = known->owner;
	if (cgroup)
		owner->cgroup_id = cgroup;
}

#endif
