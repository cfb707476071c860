// SPDX-License-Identifier: MIT
// Sums over rows, and the join of the two ends of a connection.
#include "detect/closing.h"

#include <netinet/tcp.h>

#include <algorithm>
#include <cstring>

#include "abi/connection.h"
#include "detect/sockets.h"
#include "model/format.h"

namespace culprit {

void ClosingGroup::add(const socket_total& row, const RowInfo& info) {
    if (row.sockets >= largest_count) {
        largest_count = row.sockets;
        largest = row.flow;
        owner = row.owner;
        role = row.role;
    }
    at_begin += row.at_begin;
    at_end += row.at_end;
    aged += row.aged;
    oldest_ns = std::max<std::uint64_t>(oldest_ns, row.oldest_ns);
    unsent_bytes += row.unsent_bytes;
    unread_bytes += row.unread_bytes;
    memory_bytes += row.memory_bytes;
    first_ns = first_ns ? std::min(first_ns, info.first_ns) : info.first_ns;
}

bool ClosingGroup::grew() const {
    return at_end > at_begin + at_begin / 10;
}

Where ClosingGroup::where() const {
    Where where{.netns = largest.netns};
    if (role == ABI_ROLE_SERVER)
        where.local = endpoint(largest, true);
    const std::string remote = endpoint(largest, false);
    if (std::ranges::any_of(largest.remote, [](std::uint8_t byte) { return byte != 0; }))
        where.remote = remote;
    return where;
}

Finding closing_finding(const char* id, const ClosingGroup& group, const Window& total) {
    Finding finding{.id = id};
    finding.where = group.where();
    finding.first_ns = group.first_ns;
    finding.count = group.at_end;
    finding.rate_per_s = per_second(total, double(group.at_end) - double(group.at_begin));
    finding.verify = verify_in_netns(finding);
    return finding;
}

std::uint64_t peers_in_close_wait(const Window& total, const ClosingGroup& group) {
    const auto same = [](const std::uint8_t* a, const std::uint8_t* b) {
        return std::memcmp(a, b, ABI_ADDR_BYTES) == 0;
    };
    const abi_flow& ours = group.largest;
    std::uint64_t count = 0;
    for (const auto& [row, info] : total.rows<socket_total>(ABI_SOCKET_TOTAL)) {
        if (row.state != TCP_CLOSE_WAIT || row.keeper != ABI_KEEPER_PROCESS ||
            row.role == group.role || row.flow.family != ours.family)
            continue;
        const abi_flow& theirs = row.flow;
        const bool joined =
            group.role == ABI_ROLE_CLIENT
                ? same(theirs.local, ours.remote) && theirs.local_port == ours.remote_port
                : same(theirs.remote, ours.local) && theirs.remote_port == ours.local_port;
        count += joined ? row.at_end : 0;
    }
    return count;
}

} // namespace culprit
