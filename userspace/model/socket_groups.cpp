// SPDX-License-Identifier: MIT
// Which sockets are alike, and which groups give way when there are too many.
#include "model/socket_groups.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <cstring>

#include "abi/connection.h"
#include "model/inventory.h"

namespace culprit {

namespace {

bool waits_for_peer(std::uint32_t state) {
    return state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING ||
           state == TCP_LAST_ACK;
}

bool is_closing(std::uint32_t state) {
    return waits_for_peer(state) || state == TCP_CLOSE_WAIT;
}

std::uint8_t keeper_of(const socket_info& socket) {
    if (socket.timer == ABI_TIMER_TIME_WAIT)
        return ABI_KEEPER_TIMER;
    if (socket.inode)
        return ABI_KEEPER_PROCESS;
    return waits_for_peer(socket.state) ? ABI_KEEPER_ORPHAN : ABI_KEEPER_QUEUE;
}

/// Half closed by the peer on purpose: it still takes what this side has to say.
bool still_sends(const socket_info& socket) {
    return socket.state == TCP_CLOSE_WAIT && socket.send_queue;
}

/// A FIN that is not acknowledged counts as a byte of its own.
std::uint64_t unsent_of(const socket_info& socket) {
    const bool fin = waits_for_peer(socket.state) && socket.state != TCP_FIN_WAIT2;
    return socket.send_queue - std::min<std::uint32_t>(socket.send_queue, fin ? 1 : 0);
}

void add(socket_total& into, const socket_total& one) {
    into.sockets += one.sockets;
    into.at_begin += one.at_begin;
    into.at_end += one.at_end;
    into.aged += one.aged;
    into.oldest_ns = std::max(into.oldest_ns, one.oldest_ns);
    into.unsent_bytes += one.unsent_bytes;
    into.unread_bytes += one.unread_bytes;
    into.memory_bytes += one.memory_bytes;
}

void clear_peer(socket_total& record) {
    std::ranges::fill(record.flow.remote, std::uint8_t{0});
}

bool has_peer(const socket_total& record) {
    return std::ranges::any_of(record.flow.remote, [](std::uint8_t byte) { return byte != 0; });
}

std::string key_of(const socket_total& record) {
    return key_bytes(*find_kind(ABI_SOCKET_TOTAL), bytes_of(record));
}

/// False when there is no room for its key.
bool put(std::unordered_map<std::string, socket_total>& groups, const socket_total& record) {
    std::string key = key_of(record);
    if (const auto known = groups.find(key); known != groups.end())
        add(known->second, record);
    else if (groups.size() < SocketGroups::kKeysMax)
        groups.emplace(std::move(key), record);
    else
        return false;
    return true;
}

/// The largest first; those of one size in an order of their own, so that two looks agree.
std::vector<const socket_total*>
ranked(const std::unordered_map<std::string, socket_total>& groups) {
    std::vector<std::pair<const std::string*, const socket_total*>> order;
    for (const auto& [key, record] : groups)
        order.emplace_back(&key, &record);
    std::ranges::sort(order, [](const auto& a, const auto& b) {
        return a.second->sockets != b.second->sockets ? a.second->sockets > b.second->sockets
                                                      : *a.first < *b.first;
    });
    std::vector<const socket_total*> records;
    for (const auto& [key, record] : order)
        records.push_back(record);
    return records;
}

} // namespace

std::uint64_t SocketGroups::limit(std::uint32_t netns, std::size_t index,
                                  std::uint64_t otherwise) const {
    const auto limits = x_limits.find(netns);
    return limits == x_limits.end() ? otherwise : limits->second.at(index).value_or(otherwise);
}

std::uint8_t SocketGroups::role_of(const socket_info& socket) const {
    const abi_flow& flow = socket.flow;
    if (socket.role != ABI_ROLE_UNKNOWN)
        return socket.role;
    if (x_listeners.contains({flow.netns, flow.local_port}))
        return ABI_ROLE_SERVER;
    const std::uint64_t low = limit(flow.netns, gauge("ip_local_port_range.low"), 32768);
    const std::uint64_t high = limit(flow.netns, gauge("ip_local_port_range.high"), 60999);
    const auto ephemeral = [&](std::uint16_t port) { return port >= low && port <= high; };
    return ephemeral(flow.remote_port) && !ephemeral(flow.local_port) ? ABI_ROLE_SERVER
                                                                      : ABI_ROLE_CLIENT;
}

std::uint64_t SocketGroups::age_of(const socket_info& socket) const {
    if (socket.timer == ABI_TIMER_TIME_WAIT) {
        // net/ipv4/tcp.c: __tcp_close(): FIN_WAIT2 begins as a small socket when its time is short
        const std::uint64_t fin_wait_s =
            limit(socket.flow.netns, gauge("tcp_fin_timeout"), kTimeWaitNs / 1'000'000'000);
        const std::uint64_t whole = socket.state == TCP_TIME_WAIT
                                        ? kTimeWaitNs
                                        : std::min(fin_wait_s * 1'000'000'000, kTimeWaitNs);
        return whole - std::min<std::uint64_t>(whole, socket.timer_ns);
    }
    const std::uint64_t age = age_ns(socket);
    return age || !is_closing(socket.state) ? age : x_watched_ns;
}

socket_total SocketGroups::record_of(const socket_info& socket) const {
    socket_total out{};
    out.head.when_ns = socket.head.when_ns;
    out.head.kind = ABI_SOCKET_TOTAL;
    out.head.size_bytes = sizeof(out);
    out.state = socket.state;
    out.role = role_of(socket);
    out.keeper = keeper_of(socket);
    out.owner = socket.owner;
    out.owner.tid = 0;
    std::ranges::fill(out.owner.thread, '\0');
    out.flow = socket.flow;
    out.flow.ifindex = 0;
    out.flow.v4_mapped = 0;
    if (out.role == ABI_ROLE_CLIENT)
        out.flow.local_port = 0;
    else
        out.flow.remote_port = 0;
    if (out.role != ABI_ROLE_CLIENT && !waits_for_peer(out.state))
        clear_peer(out);
    out.sockets = 1;
    out.oldest_ns = age_of(socket);
    out.unsent_bytes = unsent_of(socket);
    out.unread_bytes = socket.recv_queue;
    out.memory_bytes = std::uint64_t{socket.rmem_alloc} + socket.wmem_queued;
    if (x_look == Look::kBegin) {
        out.at_begin = 1;
    } else {
        out.at_end = 1;
        out.aged = out.oldest_ns >= SOCKET_AGED_NS && !still_sends(socket);
    }
    return out;
}

void SocketGroups::add(const socket_info& socket) {
    if (socket.flow.protocol != IPPROTO_TCP)
        return;
    if (socket.state == TCP_LISTEN)
        x_listeners.emplace(socket.flow.netns, socket.flow.local_port);
    socket_total record = record_of(socket);
    if (has_peer(record) && put(x_with_peer, record))
        return;
    clear_peer(record);
    if (!put(x_without_peer, record))
        culprit::add(x_rest, record);
}

std::vector<const socket_total*> SocketGroups::fold(Groups& without_peer,
                                                    socket_total& rest) const {
    std::vector<const socket_total*> kept = ranked(x_with_peer);
    std::size_t room = kRowsMax - std::min(kRowsMax / 2, x_without_peer.size());
    for (std::size_t i = room; i < kept.size(); i++) {
        socket_total record = *kept[i];
        clear_peer(record);
        if (!put(without_peer, record))
            culprit::add(rest, record);
    }
    kept.resize(std::min(room, kept.size()));
    room = kRowsMax - kept.size();
    const auto others = ranked(without_peer);
    for (std::size_t i = 0; i < others.size(); i++)
        if (i < room)
            kept.push_back(others[i]);
        else
            culprit::add(rest, *others[i]);
    return kept;
}

std::vector<socket_total> SocketGroups::rows() const {
    Groups without_peer = x_without_peer;
    socket_total rest = x_rest;
    std::vector<socket_total> rows;
    for (const socket_total* record : fold(without_peer, rest))
        rows.push_back(*record);
    if (!rest.sockets)
        return rows;
    rest.head = {0, ABI_SOCKET_TOTAL, sizeof(rest), 0};
    rows.push_back(rest);
    return rows;
}

} // namespace culprit
