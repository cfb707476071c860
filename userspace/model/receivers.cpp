// SPDX-License-Identifier: MIT
// A socket is told by its namespace and the inode of its file: its ends change with connect() and
// bind().
#include "model/receivers.h"

#include <netinet/in.h>

#include <cstring>

namespace culprit {

namespace {

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
    if (socket.flow.protocol != IPPROTO_UDP || !socket.inode)
        return;
    if (x_drops.size() < kSocketsMax)
        x_drops[{socket.flow.netns, socket.inode}] = socket.drops;
    else
        x_full = true;
}

std::optional<receiver_total> Receivers::end(const socket_info& socket) const {
    if (socket.flow.protocol != IPPROTO_UDP)
        return filled(socket);
    const auto known = x_drops.find({socket.flow.netns, socket.inode});
    const bool is_new = known == x_drops.end();
    if (is_new && (x_full || !socket.inode || x_unseen.contains(socket.flow.netns)))
        return std::nullopt;
    const std::uint32_t before = is_new ? 0 : known->second;
    if (socket.drops <= before)
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
