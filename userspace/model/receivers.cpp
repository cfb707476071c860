// SPDX-License-Identifier: MIT
// A socket is told by its ends and the inode of its file.
#include "model/receivers.h"

#include <netinet/in.h>

#include <cstring>

namespace culprit {

namespace {

std::string key_of(const socket_info& socket) {
    std::string key(reinterpret_cast<const char*>(&socket.flow), sizeof(socket.flow));
    key.append(reinterpret_cast<const char*>(&socket.inode), sizeof(socket.inode));
    return key;
}

receiver_total record_of(const socket_info& socket, std::uint32_t drops) {
    receiver_total total{};
    total.head = {socket.head.when_ns, ABI_RECEIVER_TOTAL, sizeof(total), 0};
    total.flow = socket.flow;
    total.owner = socket.owner;
    total.drops = drops;
    total.unread_bytes = socket.recv_queue;
    total.memory_bytes = socket.rmem_alloc;
    total.rcvbuf = socket.rcvbuf;
    return total;
}

} // namespace

void Receivers::begin(const socket_info& socket) {
    if (socket.flow.protocol != IPPROTO_UDP)
        return;
    if (x_drops.size() < kSocketsMax)
        x_drops[key_of(socket)] = socket.drops;
    else
        x_full = true;
}

std::optional<receiver_total> Receivers::end(const socket_info& socket) const {
    if (socket.flow.protocol != IPPROTO_UDP)
        return filled(socket);
    const auto known = x_drops.find(key_of(socket));
    if (known == x_drops.end() && x_full)
        return std::nullopt;
    const std::uint32_t before = known == x_drops.end() ? 0 : known->second;
    if (socket.drops == before)
        return std::nullopt;
    return record_of(socket, socket.drops - before);
}

std::optional<receiver_total> Receivers::filled(const socket_info& socket) {
    if (socket.flow.protocol != IPPROTO_TCP || !socket.rcvbuf || !socket.recv_queue ||
        socket.rmem_alloc < socket.rcvbuf / 2)
        return std::nullopt;
    return record_of(socket, 0);
}

} // namespace culprit
