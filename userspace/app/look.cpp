// SPDX-License-Identifier: MIT
// The socket iterators see the namespace of the thread that runs them, so each one is visited.
#include "app/look.h"

#include <algorithm>

#include <fmt/format.h>

#include "kernel/task_state.h"
#include "util/log.h"
#include "util/time.h"

namespace culprit {

namespace {

/// Each namespace costs a pass over the host's whole hash table, about a millisecond. Somebody
/// waits for the verdict.
constexpr std::uint64_t kBudgetNs = 400'000'000;

/// As many rows as a window keeps of a kind; further ones are left out.
constexpr std::size_t kReceiversMax = Table::kRowsMax;

/// A socket that moves in the tables while they are walked is met twice or not at all; that is a
/// handful among thousands.
struct Look {
    Capture& capture;
    SocketGroups& groups;
    const Wanted& wanted;
    Window& into;
    std::uint64_t sockets = 0;
    std::size_t left_out = 0;
    std::vector<receiver_total> receivers;

    void at(const Netns& netns) {
        Result<void> walked;
        const auto visited = visit_netns(netns, [&] {
            walked = capture.walk_sockets([&](std::span<const std::byte> record) { take(record); });
        });
        if (!visited || !walked)
            leave_out(netns.inum);
    }

    void leave_out(std::uint32_t netns) {
        left_out++;
        if (!wanted.last)
            wanted.receivers.begin_unseen(netns);
    }

    void take(std::span<const std::byte> record) {
        const auto socket = value_at<socket_info>(record, 0);
        sockets++;
        groups.add(socket);
        if (!wanted.flows.empty() && wanted.flows.contains(socket.flow))
            into.fold(record);
        if (!wanted.last)
            wanted.receivers.begin(socket);
        const auto receiver =
            wanted.last ? wanted.receivers.end(socket) : Receivers::filled(socket);
        if (receiver && receivers.size() < kReceiversMax)
            receivers.push_back(*receiver);
    }

    /// A process that is stopped reads nothing.
    void add_receivers() {
        constexpr std::size_t kAskedMax = 256; // processes of the others are taken to run
        for (std::size_t i = 0; i < receivers.size(); i++) {
            receiver_total& receiver = receivers[i];
            if (i < kAskedMax)
                if (const auto task = read_task_state(receiver.owner.tgid, receiver.owner.start_ns))
                    receiver.stopped = task->state == 'T'; // not 't': somebody traces it
            into.fold(bytes_of(receiver));
        }
    }
};

using Process = std::pair<std::uint32_t, std::uint64_t>; // pid, start

/// Processes by the sockets they have, most first; those with few reach no limit by them.
std::vector<Process> largest_holders(const std::vector<socket_total>& rows) {
    constexpr std::uint64_t kSocketsMin = 32;
    constexpr std::size_t kAskedMax = 64; // the files of others are not counted
    std::map<Process, std::uint64_t> sockets;
    for (const socket_total& row : rows)
        if (row.keeper == ABI_KEEPER_PROCESS && row.owner.tgid)
            sockets[{row.owner.tgid, row.owner.start_ns}] += row.at_end;
    std::vector<std::pair<std::uint64_t, Process>> order;
    for (const auto& [process, count] : sockets)
        if (count >= kSocketsMin)
            order.emplace_back(count, process);
    std::ranges::sort(order, std::greater{});
    std::vector<Process> largest;
    for (const auto& [count, process] : order)
        if (largest.size() < kAskedMax)
            largest.push_back(process);
    return largest;
}

void add_files(std::vector<socket_total>& rows) {
    for (const auto& [tgid, start_ns] : largest_holders(rows)) {
        const auto task = read_task_state(tgid, start_ns);
        if (!task)
            continue;
        for (socket_total& row : rows)
            if (row.owner.tgid == tgid && row.owner.start_ns == start_ns) {
                row.open_files = task->open_files;
                row.files_limit = task->files_limit;
            }
    }
}

} // namespace

std::size_t look_at_sockets(Capture& capture, const std::map<std::uint32_t, LookPlace>& places,
                            SocketGroups groups, const Wanted& wanted, Window& into) {
    if (!capture.can_walk_sockets())
        return 0;
    const std::uint64_t began = boot_now_ns();
    Look look{capture, groups, wanted, into};
    for (const auto& [inum, place] : places) {
        groups.set_limits(inum, place.limits);
        if (boot_now_ns() - began < kBudgetNs)
            look.at(*place.netns);
        else
            look.leave_out(inum);
    }
    look.add_receivers();
    auto rows = groups.rows();
    if (wanted.last)
        add_files(rows);
    for (const socket_total& row : rows)
        into.fold(bytes_of(row));
    if (!rows.empty() && !rows.back().state)
        into.lost[ABI_SOCKET_TOTAL].folded += rows.back().sockets;
    log(Level::kDebug,
        fmt::format("looked at {} sockets in {} namespaces, {} groups, {:.1f} ms", look.sockets,
                    places.size(), rows.size(), static_cast<double>(boot_now_ns() - began) / 1e6));
    return look.left_out;
}

} // namespace culprit
