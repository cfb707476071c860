// SPDX-License-Identifier: MIT
// What counts as trouble, per table, and where each socket is added.
#include "model/inventory.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

namespace culprit {

namespace {

bool is_listener(const socket_info& socket) {
    return socket.flow.protocol == IPPROTO_TCP && socket.state == TCP_LISTEN;
}

/// UDP: receives from anybody.
bool is_open(const socket_info& socket) {
    return is_listener(socket) ||
           (socket.flow.protocol == IPPROTO_UDP && socket.flow.remote_port == 0);
}

Trouble listener_trouble(const socket_info& s) {
    const std::uint64_t limit = std::max<std::uint64_t>(s.accept_limit, 1);
    return {s.accept_queue > s.accept_limit, s.drops, s.accept_queue * 1000UL / limit, s.syn_queue};
}

Trouble connection_trouble(const socket_info& s) {
    const std::uint64_t waits = s.state == TCP_CLOSE_WAIT ? age_ns(s) / 1'000'000'000 + 1 : 0;
    return {waits, std::uint64_t{s.unanswered} + s.probes, s.retransmits,
            std::uint64_t{s.recv_queue} + s.send_queue};
}

Trouble queue_trouble(const socket_info& s) {
    return {std::uint64_t{s.recv_queue} + s.send_queue, s.drops, 0, 0};
}

} // namespace

void Sums::add(const socket_info& socket) {
    sockets++;
    if (socket.flow.protocol == IPPROTO_TCP && socket.state < kTcpStates)
        states[socket.state]++;
    retransmits += socket.retransmits;
    recv_queue += socket.recv_queue;
    send_queue += socket.send_queue;
    drops += socket.drops;
    if (!socket.srtt_us)
        return;
    rtt_min_us = rtt_count ? std::min<std::uint64_t>(rtt_min_us, socket.srtt_us) : socket.srtt_us;
    rtt_count++;
    rtt_sum_us += socket.srtt_us;
}

void Worst::add(const socket_info& socket, const Trouble& trouble) {
    x_met++;
    if (x_rows.size() == kRowsMax && trouble <= x_rows.front().trouble)
        return;
    x_rows.push_back({trouble, socket});
    std::ranges::push_heap(x_rows, std::greater{});
    if (x_rows.size() <= kRowsMax)
        return;
    std::ranges::pop_heap(x_rows, std::greater{});
    x_rows.pop_back();
}

std::vector<socket_info> Worst::sorted() const {
    std::vector<const Row*> order;
    for (const Row& row : x_rows)
        order.push_back(&row);
    std::ranges::stable_sort(order, std::greater{}, [](const Row* row) { return row->trouble; });
    std::vector<socket_info> sockets;
    for (const Row* row : order)
        sockets.push_back(row->socket);
    return sockets;
}

std::uint64_t Inventory::tcp_connections() const {
    return tcp.sockets - tcp.states[TCP_LISTEN];
}

void Inventory::add(const socket_info& socket) {
    const bool is_tcp = socket.flow.protocol == IPPROTO_TCP;
    (is_tcp ? tcp : udp).add(socket);
    OwnedSums& owner = owners.at({socket.owner.start_ns, socket.owner.tgid});
    owner.add(socket);
    owner.owner = socket.owner;
    if (is_listener(socket))
        listeners.add(socket, listener_trouble(socket));
    else if (is_tcp)
        connections.add(socket, connection_trouble(socket));
    const bool queued = !is_listener(socket) && (socket.recv_queue || socket.send_queue);
    if (queued || (!is_tcp && socket.drops))
        queues.add(socket, queue_trouble(socket));
    add_port(socket);
    if (socket.flow.remote_port)
        add_peer(socket);
}

/// This host's service when its port is open here or it is known to have been accepted, else the
/// peer's.
OwnedSums& Inventory::service_of(const socket_info& socket) {
    const abi_flow& flow = socket.flow;
    const PortKey here{flow.netns, flow.local_port, flow.protocol, 1};
    if (is_open(socket) || socket.role == ABI_ROLE_SERVER)
        return ports.at(here);
    if (OwnedSums* open = ports.find(here))
        return *open;
    return ports.at({flow.netns, flow.remote_port, flow.protocol, 0});
}

void Inventory::add_port(const socket_info& socket) {
    OwnedSums& row = service_of(socket);
    if (is_open(socket)) {
        row.shared =
            row.shared || socket.shared || (row.owner.tgid && row.owner.tgid != socket.owner.tgid);
        row.owner = socket.owner;
    }
    row.add(socket);
}

void Inventory::add_peer(const socket_info& socket) {
    PeerKey key{socket.flow.netns, socket.flow.family, {}};
    std::memcpy(key.addr.data(), socket.flow.remote, key.addr.size());
    peers.at(key).add(socket);
}

std::uint64_t failing(const Sums& sums) {
    std::uint64_t count = 0;
    for (const std::uint32_t state : kFailingStates)
        count += sums.states[state];
    return count;
}

std::uint64_t age_ns(const socket_info& socket) {
    return std::max(socket.state_ns, socket.state == TCP_CLOSE_WAIT ? socket.quiet_ns : 0);
}

} // namespace culprit
