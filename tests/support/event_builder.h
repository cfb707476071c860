// SPDX-License-Identifier: MIT
// Records for tests: all zero but for the head, and flows and owners from text.
#pragma once

#include <arpa/inet.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "abi/cgroup.h"
#include "abi/connection.h"
#include "abi/dns.h"
#include "abi/drop.h"
#include "abi/firewall.h"
#include "abi/flow.h"
#include "abi/icmp.h"
#include "abi/link.h"
#include "abi/listen.h"
#include "abi/neigh.h"
#include "abi/nic.h"
#include "abi/program.h"
#include "abi/qdisc.h"
#include "abi/reset.h"
#include "abi/retransmit.h"
#include "abi/route.h"
#include "abi/socket.h"
#include "abi/softnet.h"
#include "signals/signal.h"

namespace culprit::test {

inline constexpr std::uint32_t kNetns = 4026531840;
inline constexpr std::uint64_t kSecondNs = 1'000'000'000;

template <typename Record>
inline constexpr std::uint32_t kKindOf = ABI_KIND_NONE;
template <>
inline constexpr std::uint32_t kKindOf<connect_event> = ABI_CONNECT;
template <>
inline constexpr std::uint32_t kKindOf<close_event> = ABI_CLOSE;
template <>
inline constexpr std::uint32_t kKindOf<retransmit_event> = ABI_RETRANSMIT;
template <>
inline constexpr std::uint32_t kKindOf<reset_event> = ABI_RESET;
template <>
inline constexpr std::uint32_t kKindOf<drop_event> = ABI_DROP;
template <>
inline constexpr std::uint32_t kKindOf<drop_total> = ABI_DROP_TOTAL;
template <>
inline constexpr std::uint32_t kKindOf<drop_stack> = ABI_DROP_STACK;
template <>
inline constexpr std::uint32_t kKindOf<qdisc_event> = ABI_QDISC;
template <>
inline constexpr std::uint32_t kKindOf<qdisc_total> = ABI_QDISC_TOTAL;
template <>
inline constexpr std::uint32_t kKindOf<qdisc_share> = ABI_QDISC_SHARE;
template <>
inline constexpr std::uint32_t kKindOf<qdisc_stats> = ABI_QDISC_STATS;
template <>
inline constexpr std::uint32_t kKindOf<nic_event> = ABI_NIC;
template <>
inline constexpr std::uint32_t kKindOf<nic_total> = ABI_NIC_TOTAL;
template <>
inline constexpr std::uint32_t kKindOf<neigh_event> = ABI_NEIGH;
template <>
inline constexpr std::uint32_t kKindOf<neigh_total> = ABI_NEIGH_TOTAL;
template <>
inline constexpr std::uint32_t kKindOf<icmp_event> = ABI_ICMP;
template <>
inline constexpr std::uint32_t kKindOf<icmp_total> = ABI_ICMP_TOTAL;
template <>
inline constexpr std::uint32_t kKindOf<socket_info> = ABI_SOCKET;
template <>
inline constexpr std::uint32_t kKindOf<listen_event> = ABI_LISTEN;
template <>
inline constexpr std::uint32_t kKindOf<listen_total> = ABI_LISTEN_TOTAL;
template <>
inline constexpr std::uint32_t kKindOf<route_event> = ABI_ROUTE;
template <>
inline constexpr std::uint32_t kKindOf<route_total> = ABI_ROUTE_TOTAL;
template <>
inline constexpr std::uint32_t kKindOf<flow_total> = ABI_FLOW_TOTAL;
template <>
inline constexpr std::uint32_t kKindOf<socket_total> = ABI_SOCKET_TOTAL;
template <>
inline constexpr std::uint32_t kKindOf<receiver_total> = ABI_RECEIVER_TOTAL;
template <>
inline constexpr std::uint32_t kKindOf<link_event> = ABI_LINK;
template <>
inline constexpr std::uint32_t kKindOf<link_total> = ABI_LINK_TOTAL;
template <>
inline constexpr std::uint32_t kKindOf<link_stat> = ABI_LINK_STAT;
template <>
inline constexpr std::uint32_t kKindOf<rule_total> = ABI_RULE_TOTAL;
template <>
inline constexpr std::uint32_t kKindOf<softnet_total> = ABI_SOFTNET_TOTAL;
template <>
inline constexpr std::uint32_t kKindOf<program_total> = ABI_PROGRAM_TOTAL;
template <>
inline constexpr std::uint32_t kKindOf<dns_event> = ABI_DNS;
template <>
inline constexpr std::uint32_t kKindOf<dns_total> = ABI_DNS_TOTAL;
template <>
inline constexpr std::uint32_t kKindOf<cgroup_total> = ABI_CGROUP_TOTAL;

/// A record that check_record() accepts; everything but the head is 0, padding included.
template <typename Record>
Record make(std::uint64_t when_ns = kSecondNs, std::uint16_t cpu = 0) {
    static_assert(kKindOf<Record> != ABI_KIND_NONE, "not a record");
    Record record;
    std::memset(&record, 0, sizeof(record));
    record.head.when_ns = when_ns;
    record.head.kind = kKindOf<Record>;
    record.head.size_bytes = sizeof(Record);
    record.head.cpu = cpu;
    return record;
}

inline abi_flow tcp_flow(const std::string& local, std::uint16_t local_port,
                         const std::string& remote, std::uint16_t remote_port,
                         std::uint32_t netns = kNetns, std::uint32_t ifindex = 2) {
    abi_flow flow{};
    flow.family = local.find(':') == std::string::npos ? AF_INET : AF_INET6;
    if (inet_pton(flow.family, local.c_str(), flow.local) != 1 ||
        inet_pton(flow.family, remote.c_str(), flow.remote) != 1)
        throw std::invalid_argument("not two addresses of one family: " + local + ", " + remote);
    flow.local_port = local_port;
    flow.remote_port = remote_port;
    flow.protocol = IPPROTO_TCP;
    flow.netns = netns;
    flow.ifindex = ifindex;
    return flow;
}

inline abi_owner process(std::string_view comm, std::uint32_t tgid,
                         std::uint32_t provenance = ABI_OWNER_CREATOR) {
    abi_owner owner{};
    owner.start_ns = tgid * kSecondNs;
    owner.cgroup_id = 77;
    owner.tgid = tgid;
    owner.provenance = provenance;
    std::memcpy(owner.comm, comm.data(), std::min(comm.size(), sizeof(owner.comm)));
    owner.tid = tgid + 1;
    std::memcpy(owner.thread, "worker-1", 8);
    return owner;
}

/// A record of any kind whose fields are the bytes that `next_byte` gives; padding stays 0.
template <typename NextByte>
std::vector<std::byte> filled_record(const Kind& kind, std::uint64_t when_ns,
                                     NextByte&& next_byte) {
    std::vector<std::byte> record(kind.size);
    const abi_head head = {when_ns, kind.id, kind.size, 3};
    std::memcpy(record.data(), &head, sizeof(head));
    for (const Field& field : kind.fields) {
        for (std::size_t i = 0; i < field.size; i++)
            record[field.offset + i] = static_cast<std::byte>(next_byte());
        if (field.type == Type::kNamed) { // a named value is one of its names
            const auto name = static_cast<std::size_t>(record[field.offset]) % field.names.size();
            for (std::size_t i = 0; i < field.size; i++)
                record[field.offset + i] = static_cast<std::byte>(i ? 0 : name);
        }
        if (field.type == Type::kFlow)
            record[field.offset + offsetof(abi_flow, pad)] = std::byte{0};
        if (field.type == Type::kMac) // six bytes and two of padding
            record[field.offset + 6UL] = record[field.offset + 7UL] = std::byte{0};
        if (field.type == Type::kOwner)
            std::memset(record.data() + field.offset + offsetof(abi_owner, pad), 0,
                        sizeof(abi_owner::pad));
    }
    return record;
}

} // namespace culprit::test
