// SPDX-License-Identifier: GPL-2.0-only
/* Which names do this host's processes ask for, which server, and what becomes of it? Seen at the
 * sockets, so that address translation, stacked devices and forwarded packets change nothing. */
#include "vmlinux.h"

#include "dns_consumed.bpf.h"
#include "dns_stream.bpf.h"

char LICENSE[] SEC("license") = "GPL";

/* net/core/dev.c: __dev_queue_xmit(): each packet that leaves a socket passes here, over whatever
 * system call or io_uring, and softirq is off. Two loads for one that is not UDP, and for UDP to an
 * unconnected peer one read of four bytes. sock_send_length, which runs for each call, would need
 * 30 ns more there to find the peer in the caller's memory. */
SEC("?tp_btf/net_dev_queue")
int BPF_PROG(dns_sent, struct sk_buff *skb)
{
	struct sock *sk = sock_of_skb(skb);
	struct dns_work *work;
	bool asks;

	if (!sk || !is_udp(sk))
		return 0;
	asks = is_dns_port(far_port(sk, skb));
	if (!asks && !is_dns_port(sk->__sk_common.skc_num))
		return 0;
	work = work_of(WORK_SENT);
	if (!work)
		return 0;
	work->caller.user.netns = netns_probed(sk);
	writer_probed(&work->caller.user.owner, sk);
	if (asks)
		question_sent(skb, sk, work);
	else
		answer_sent(skb, sk, work);
	return 0;
}

/* net/socket.c: sock_recvmsg_nosec(), since 6.3: each call that reads from a socket, in its task.
 * The message itself is in the caller's memory by then. UDP has no other hook that tells of it:
 * skb_copy_datagram_iovec is not for linear packets, and netif_receive_skb is on the device that
 * the packet came by, which with macvlan or ipvlan is another namespace's. */
SEC("?tp_btf/sock_recv_length")
int BPF_PROG(dns_read, struct sock *sk, int ret, int flags)
{
	bool udp = is_udp(sk), asks, serves;
	__u16 far;

	if (!udp && !is_tcp(sk))
		return 0;
	far = bpf_ntohs(sk->__sk_common.skc_dport);
	asks = far || !udp ? is_dns_port(far) : asked_lately(sk);
	serves = is_dns_port(sk->__sk_common.skc_num);
	if (!(asks || serves) || flags & MSG_PEEK)
		return 0;
	if (udp)
		message_read(sk, ret, serves);
	else
		stream_read(sk, ret, asks);
	return 0;
}

/* net/core/skbuff.c: __consume_stateless_skb(), in place of the last one before 6.3, with which it
 * is gone: a datagram that was read, not only peeked at, is freed in the reader's task (net/ipv4/
 * udp.c: skb_consume_udp(); 6.18 frees it without this hook). Those packets have lost their socket
 * and begin with their payload; those of other readers, a capture's for one, have and do not. */
SEC("?tp_btf/consume_skb")
int BPF_PROG(dns_consumed, struct sk_buff *skb)
{
	__u64 at = (__u64)skb->head + skb->transport_header + sizeof(struct udphdr);

	if ((__u64)skb->data == at && !skb->destructor)
		datagram_consumed(skb);
	return 0;
}

/* net/socket.c: sock_sendmsg_nosec(), since 6.3. A stream's segments do not show where a message
 * begins, and have their bytes in pages that programs cannot read; the call that sends them does
 * and has not. */
SEC("?tp_btf/sock_send_length")
int BPF_PROG(dns_streamed, struct sock *sk, int ret, int flags)
{
	struct dns_work *work;
	bool asks;

	if (!is_tcp(sk) || ret <= 0)
		return 0;
	asks = is_dns_port(bpf_ntohs(sk->__sk_common.skc_dport));
	if (!asks && !is_dns_port(sk->__sk_common.skc_num))
		return 0;
	work = work_of(WORK_STREAM);
	if (!work)
		return 0;
	caller_of(&work->caller, sk, ABI_OWNER_WRITER);
	if (asks)
		stream_question(sk, ret, work);
	else
		stream_served(sk, ret, true, work);
	return 0;
}

/* net/core/sock.c: sk_error_report(), since 5.15: an ICMP error came to a socket. The C library
 * closes it then without reading the error. */
SEC("?tp_btf/inet_sk_error_report")
int BPF_PROG(dns_refused, const struct sock *sk)
{
	if (is_udp(sk) && sk->sk_err && is_dns_port(bpf_ntohs(sk->__sk_common.skc_dport)))
		note_trouble((__u64)sk, sk->sk_err, bpf_ktime_get_boot_ns());
	return 0;
}

/* Run by userspace several times a second over the questions that wait. */
SEC("?iter/bpf_map_elem")
int dns_look(struct bpf_iter__bpf_map_elem *ctx)
{
	const struct dns_waiting_key *at = ctx->key;
	struct dns_waiting *waiting;
	struct dns_waiting_key key;

	if (!at || !ctx->value)
		return 0;
	key = *at;
	waiting = bpf_map_lookup_elem(&dns_waitings, &key);
	if (waiting)
		question_look(waiting, &key);
	return 0;
}
