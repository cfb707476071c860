// SPDX-License-Identifier: MIT
// Which record belongs to which service: a server's by its own port, a client's by the peer's.
#include "detect/tcp_sums.h"

#include <netinet/tcp.h>

#include <algorithm>

#include "abi/listen.h"
#include "abi/retransmit.h"
#include "abi/socket.h"
#include "model/format.h"

namespace culprit {

namespace {

using Services = std::map<TcpKey, TcpServiceSums>;

TcpKey key_of(std::uint8_t role, const abi_flow& flow, const abi_owner& owner) {
    const bool client = role == ABI_ROLE_CLIENT;
    return {flow.netns, std::uint8_t(client ? ABI_ROLE_CLIENT : ABI_ROLE_SERVER),
            client ? flow.remote_port : flow.local_port, owner.tgid, owner.start_ns};
}

TcpServiceSums& service_at(Services& services, const TcpKey& key, const abi_flow& flow,
                           const abi_owner& owner) {
    TcpServiceSums& service = services[key];
    service.owner = owner;
    if (service.addresses.size() < 2)
        service.addresses.insert(address(flow, key.role != ABI_ROLE_CLIENT));
    return service;
}

bool has_address(const __u8 (&bytes)[ABI_ADDR_BYTES]) {
    return std::ranges::any_of(bytes, [](std::uint8_t byte) { return byte != 0; });
}

void add_flows(Services& services, const Window& total) {
    for (const auto& [flow, info] : total.rows<flow_total>(ABI_FLOW_TOTAL)) {
        if (!flow.role)
            continue;
        TcpServiceSums& service =
            service_at(services, key_of(flow.role, flow.flow, flow.owner), flow.flow, flow.owner);
        service.sums.add(flow);
        const bool known = has_address(flow.flow.remote);
        service.peers[known ? address(flow.flow, false) : std::string()].add(flow);
    }
}

void add_attempts(Services& services, const Window& total) {
    for (const auto& [attempt, info] : total.rows<connect_event>(ABI_CONNECT)) {
        // who gave up without an error tried several addresses at once, or changed its mind
        if (attempt.result == ABI_RESULT_ABANDONED)
            continue;
        TcpServiceSums& service =
            service_at(services, key_of(ABI_ROLE_CLIENT, attempt.flow, attempt.owner), attempt.flow,
                       attempt.owner);
        for (TcpSums* sums : {&service.sums, &service.peers[address(attempt.flow, false)]}) {
            sums->syn_retransmits += attempt.syn_retransmits;
            if (attempt.result != ABI_RESULT_OK) {
                sums->attempts_failed += info.count;
                continue;
            }
            sums->attempts_ok += info.count;
            sums->syn_response_ns += attempt.latency_ns;
        }
    }
}

void add_endings(Services& services, const Window& total) {
    for (const auto& [closed, info] : total.rows<close_event>(ABI_CLOSE)) {
        // SYN_RECV to CLOSE: never was a connection
        if (closed.role == ABI_ROLE_UNKNOWN || closed.last_state == TCP_SYN_RECV)
            continue;
        TcpKey key = key_of(closed.role, closed.flow, closed.owner);
        key.port = closed.service_port;
        TcpSums& sums = service_at(services, key, closed.flow, closed.owner).sums;
        sums.ended += info.count;
        sums.ended_fin += closed.ending == ABI_ENDING_FIN ? info.count : 0;
        const bool reset =
            closed.ending == ABI_ENDING_RESET_SENT || closed.ending == ABI_ENDING_RESET_RECEIVED;
        sums.ended_reset += reset ? info.count : 0;
        sums.closed_segs += closed.segs_out;
        sums.closed_again += closed.retransmits;
    }
}

/// The socket's role is not in the record: the service that other records made known is taken.
void add_retransmits(Services& services, const Window& total) {
    for (const auto& [again, info] : total.rows<retransmit_event>(ABI_RETRANSMIT)) {
        auto found = services.find(key_of(ABI_ROLE_SERVER, again.flow, again.owner));
        if (found == services.end())
            found = services.find(key_of(ABI_ROLE_CLIENT, again.flow, again.owner));
        if (found == services.end())
            continue;
        TcpSums& sums = found->second.sums;
        if (again.type == ABI_RETRANSMIT_FAST)
            sums.fast += again.segs;
        else if (again.type == ABI_RETRANSMIT_RTO)
            sums.timeouts += again.segs;
        else if (again.type == ABI_RETRANSMIT_TLP)
            sums.probes += again.segs;
    }
}

void add_listeners(Services& services, const Window& total) {
    for (const auto& [listener, info] : total.rows<listen_total>(ABI_LISTEN_TOTAL)) {
        if (listener.scope != ABI_LISTEN_SOCKET)
            continue;
        const TcpKey key = key_of(ABI_ROLE_SERVER, listener.flow, listener.owner);
        TcpSums& sums = service_at(services, key, listener.flow, listener.owner).sums;
        sums.accept_depth = std::max<std::uint64_t>(sums.accept_depth, listener.depth);
        sums.accept_limit = std::max<std::uint64_t>(sums.accept_limit, listener.limit);
        sums.accept_overflows += listener.looks_full;
        sums.syn_depth = std::max<std::uint64_t>(sums.syn_depth, listener.syn_depth);
        sums.syn_limit = std::max<std::uint64_t>(sums.syn_limit, listener.syn_limit);
    }
}

void add_sockets(Services& services, const Window& total) {
    for (const auto& [group, info] : total.rows<socket_total>(ABI_SOCKET_TOTAL)) {
        if (!group.state || group.state == TCP_LISTEN || !group.role)
            continue;
        // sockets in TIME_WAIT have no process: they are only added to what is known of the port
        const TcpKey key = key_of(group.role, group.flow, group.owner);
        const auto found = services.find(key);
        if (found == services.end())
            continue;
        found->second.sums.sockets += group.sockets;
        found->second.sums.time_wait += group.state == TCP_TIME_WAIT ? group.sockets : 0;
    }
}

/// net/ipv4/inet_hashtables.c: __inet_check_established() counts connect() that takes a port whose
/// last connection is in TIME_WAIT. Nobody counts the SYNs that a listener takes instead of one.
void add_reuse(Services& services, const Window& total) {
    for (auto& [key, service] : services)
        if (const auto known = total.counters.find(key.netns);
            known != total.counters.end() && service.sums.attempts_ok)
            service.sums.time_wait_reused = known->second.growth[counter("TcpExt.TWRecycled")];
}

} // namespace

void TcpSums::add(const flow_total& more) {
    const std::span<const Part> maxima = find_kind(ABI_FLOW_TOTAL)->maxima;
    const auto raise = [&](const Part& part) {
        auto* mine = reinterpret_cast<std::byte*>(&flow) + part.offset;
        const auto old = value_at<std::uint64_t>(bytes_of(flow), part.offset);
        const std::uint64_t now =
            std::max(old, value_at<std::uint64_t>(bytes_of(more), part.offset));
        std::memcpy(mine, &now, sizeof(now));
    };
    const auto sum = [&](const Part& part) {
        for (std::size_t at = part.offset; at < part.offset + std::size_t{part.size}; at += 8) {
            const std::uint64_t now = value_at<std::uint64_t>(bytes_of(flow), at) +
                                      value_at<std::uint64_t>(bytes_of(more), at);
            std::memcpy(reinterpret_cast<std::byte*>(&flow) + at, &now, sizeof(now));
        }
    };
    std::ranges::for_each(maxima, raise);
    std::ranges::for_each(find_kind(ABI_FLOW_TOTAL)->sums, sum);
}

std::uint64_t TcpSums::segs() const {
    return std::max<std::uint64_t>(flow.segs_out, closed_segs);
}

std::uint64_t TcpSums::again() const {
    return closed_segs > flow.segs_out ? closed_again : flow.retransmits;
}

std::map<TcpKey, TcpServiceSums> tcp_sums(const Window& total) {
    Services services;
    add_flows(services, total);
    add_attempts(services, total);
    add_endings(services, total);
    add_listeners(services, total);
    add_retransmits(services, total);
    add_sockets(services, total);
    add_reuse(services, total);
    return services;
}

} // namespace culprit
