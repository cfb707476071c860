/* SPDX-License-Identifier: GPL-2.0-only */
/* Kernel #define values that BTF does not carry, each with the header it stands in. */
#ifndef CULPRIT_CONSTS_BPF_H
#define CULPRIT_CONSTS_BPF_H

/* include/linux/socket.h */
#define AF_INET 2
#define AF_INET6 10
#define AF_PACKET 17

/* include/uapi/linux/in.h */
#define IPPROTO_ICMP 1
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_ICMPV6 58

/* include/uapi/linux/if_ether.h */
#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd

/* include/net/tcp_states.h */
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_FIN_WAIT1 4
#define TCP_FIN_WAIT2 5
#define TCP_TIME_WAIT 6
#define TCP_CLOSE 7
#define TCP_CLOSE_WAIT 8
#define TCP_LAST_ACK 9
#define TCP_LISTEN 10
#define TCP_CLOSING 11
#define TCP_NEW_SYN_RECV 12

/* include/uapi/linux/tcp.h: enum tcp_ca_state */
#define TCP_CA_RECOVERY 3
#define TCP_CA_LOSS 4

/* include/net/inet_connection_sock.h */
#define ICSK_TIME_PROBE0 3
#define ICSK_TIME_LOSS_PROBE 5

/* include/linux/skbuff.h; the lowest bit says that the route is not counted */
#define SKB_DST_PTRMASK (~1UL)

/* include/uapi/linux/if_packet.h */
#define PACKET_OTHERHOST 3

/* include/uapi/linux/if_vlan.h, include/linux/if_vlan.h */
#define VLAN_ID_MASK 0x0fff

/* include/uapi/linux/in_route.h, ipv6_route.h */
#define RTCF_LOCAL 0x80000000U
#define RTCF_BROADCAST 0x10000000U
#define RTCF_MULTICAST 0x20000000U
#define RTF_LOCAL 0x80000000U
#define RTF_ANYCAST 0x00100000U

#define RTF_GATEWAY 0x0002

/* include/uapi/linux/neighbour.h */
#define NUD_INCOMPLETE 0x01
#define NUD_REACHABLE 0x02
#define NUD_PROBE 0x10
#define NUD_FAILED 0x20
#define NUD_NOARP 0x40
#define NUD_PERMANENT 0x80

/* include/net/neighbour.h; NUD_VALID without those that never change */
#define NUD_LEARNT 0x1e
#define NEIGH_UPDATE_F_OVERRIDE 0x00000001
#define NEIGH_UPDATE_F_ADMIN 0x80000000

/* include/linux/netdevice.h: enum netdev_state_t, numbers of bits */
#define LINK_STATE_START 0
#define LINK_STATE_NOCARRIER 2
/* include/uapi/linux/rtnetlink.h: route types, tables */
#define RTN_BLACKHOLE 6
#define RTN_UNREACHABLE 7
#define RTN_PROHIBIT 8
#define RTN_THROW 9
#define RT_TABLE_DEFAULT 253
#define RT_TABLE_MAIN 254

/* include/net/flow.h */
#define LOOPBACK_IFINDEX 1

/* include/net/sock.h */
#define SOCK_SNDBUF_LOCK 1
#define SOCK_RCVBUF_LOCK 2

/* linux/magic.h */
#define SOCKFS_MAGIC 0x534F434B

/* include/linux/sched.h */
#define PF_KTHREAD 0x00200000

/* include/uapi/asm-generic/errno.h */
#define EINTR 4
#define ENOMEM 12
#define EBUSY 16
#define EEXIST 17
#define EAGAIN 11
#define EACCES 13
#define EINVAL 22
#define ECONNRESET 104
#define EPIPE 32
#define ENONET 64
#define EPROTO 71
#define EMSGSIZE 90
#define ENOPROTOOPT 92
#define EOPNOTSUPP 95
#define EADDRNOTAVAIL 99
#define ENETUNREACH 101
#define ECONNRESET 104
#define ETIMEDOUT 110
#define ECONNREFUSED 111
#define EHOSTDOWN 112
#define EHOSTUNREACH 113

/* include/linux/errno.h */
#define ERESTARTSYS 512

/* include/linux/socket.h */
#define MSG_PEEK 2

/* fs/proc/generic.c: PROC_DYNAMIC_FIRST is 0xF0000000; since 6.18 the initial namespaces have fixed
 * numbers just below it (include/uapi/linux/nsfs.h: enum init_ns_ino). No namespace's is smaller.
 */
#define NETNS_INUM_FIRST 0xEFFFFFF0U

#endif
