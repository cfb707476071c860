// SPDX-License-Identifier: MIT
// The owner is a part of a row's key, so a table with a new owner is folded anew.
#include "model/owner_fill.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include <fmt/format.h>

#include "abi/socket.h"

namespace culprit {

namespace {

constexpr std::uint32_t kFilled[] = {ABI_RETRANSMIT, ABI_RESET, ABI_DROP, ABI_QDISC,
                                     ABI_QDISC_SHARE};

abi_flow anywhere(abi_flow flow) {
    flow.netns = 0;
    return flow;
}

using Holders = std::unordered_map<std::string, abi_owner>; // tgid 0: more than one socket

Holders holders_of(const Window& window) {
    Holders holders;
    for (const auto& [socket, info] : window.rows<socket_info>(ABI_SOCKET))
        for (const abi_flow& flow : {socket.flow, anywhere(socket.flow)}) {
            const auto [at, fresh] = holders.try_emplace(flow_key(flow), socket.owner);
            if (!fresh)
                at->second = abi_owner{};
        }
    return holders;
}

/// Where such a record has flow and owner.
struct Members {
    std::size_t flow = 0, owner = 0;
};

Members members_of(const Kind& kind) {
    Members members;
    for (const Field& field : kind.fields) {
        if (field.type == Type::kFlow)
            members.flow = field.offset;
        if (field.type == Type::kOwner)
            members.owner = field.offset;
    }
    return members;
}

template <typename Each>
void each_unknown(const Table& table, const Each& each) {
    const Members at = members_of(table.kind());
    for (std::size_t i = 0; i < table.size(); i++) {
        const auto flow = value_at<abi_flow>(table.record(i), at.flow);
        if (flow.family && !value_at<abi_owner>(table.record(i), at.owner).tgid)
            each(i, flow);
    }
}

/// The row's key but for the owner, and its whole flow.
std::string likeness(const Table& table, std::size_t row) {
    const Members at = members_of(table.kind());
    const std::span<const std::byte> record = table.record(row);
    std::string key = flow_key(value_at<abi_flow>(record, at.flow));
    for (const Part& part : table.kind().key)
        if (part.offset != at.owner)
            key.append(reinterpret_cast<const char*>(record.data()) + part.offset, part.size);
    return key;
}

/// Who is behind the rows of a table whose owner is known; nobody where there are several. Not for
/// TCP: a port may be another process's a moment later, and its sockets are found otherwise.
Holders known_in(const Table& table) {
    const Members at = members_of(table.kind());
    Holders known;
    for (std::size_t i = 0; i < table.size(); i++) {
        const auto owner = value_at<abi_owner>(table.record(i), at.owner);
        if (!owner.tgid || value_at<abi_flow>(table.record(i), at.flow).protocol == IPPROTO_TCP)
            continue;
        const auto [entry, fresh] = known.try_emplace(likeness(table, i), owner);
        if (!fresh &&
            (entry->second.tgid != owner.tgid || entry->second.start_ns != owner.start_ns))
            entry->second = abi_owner{};
    }
    return known;
}

Table filled(const Table& table, const std::unordered_map<std::size_t, abi_owner>& owners) {
    const Members at = members_of(table.kind());
    Table out(table.kind());
    for (std::size_t i = 0; i < table.size(); i++) {
        std::vector<std::byte> record(table.record(i).begin(), table.record(i).end());
        if (const auto owner = owners.find(i); owner != owners.end())
            std::memcpy(record.data() + at.owner, &owner->second, sizeof(abi_owner));
        out.fold(record, table.info(i));
    }
    return out;
}

} // namespace

std::string flow_key(const abi_flow& flow) {
    abi_flow same = flow;
    same.ifindex = 0;
    same.v4_mapped = 0;
    same.pad = 0;
    return {reinterpret_cast<const char*>(&same), sizeof(same)};
}

namespace {

/// What a socket that sent this datagram is bound to: the address, or any.
std::string sender_key(const abi_flow& flow, bool any) {
    std::string key = fmt::format("udp {} ", flow.local_port);
    if (!any)
        key.append(reinterpret_cast<const char*>(flow.local), sizeof(flow.local));
    return key;
}

bool is_any(const abi_flow& flow) {
    return std::ranges::all_of(flow.local, [](std::uint8_t byte) { return byte == 0; });
}

} // namespace

bool UnknownFlows::contains(const abi_flow& flow) const {
    return x_keys.contains(flow_key(flow)) || x_keys.contains(flow_key(anywhere(flow))) ||
           (flow.protocol == IPPROTO_UDP && x_keys.contains(sender_key(flow, is_any(flow))));
}

void UnknownFlows::add(const Window& window) {
    for (const std::uint32_t kind : kFilled)
        if (const auto table = window.tables.find(kind); table != window.tables.end())
            each_unknown(table->second, [&](std::size_t, const abi_flow& flow) {
                if (x_keys.size() >= kMax)
                    return;
                x_keys.insert(flow_key(flow));
                if (flow.protocol == IPPROTO_UDP)
                    x_keys.insert({sender_key(flow, true), sender_key(flow, false)});
            });
}

bool has_unowned_sockets(const Window& window) {
    bool found = false;
    for (const std::uint32_t kind : {ABI_DROP, ABI_QDISC})
        if (const auto table = window.tables.find(kind); table != window.tables.end())
            each_unknown(table->second, [&](std::size_t row, const abi_flow& flow) {
                const auto owner = value_at<abi_owner>(table->second.record(row),
                                                       members_of(table->second.kind()).owner);
                found = found || (flow.protocol != IPPROTO_TCP && owner.cgroup_id);
            });
    return found;
}

void fill_unknown_owners(Window& window) {
    const Holders holders = holders_of(window);
    for (const std::uint32_t kind : kFilled) {
        const auto table = window.tables.find(kind);
        if (table == window.tables.end())
            continue;
        const Holders known = known_in(table->second);
        std::unordered_map<std::size_t, abi_owner> owners;
        const auto fill = [&](std::size_t row, const Holders& from, const std::string& key) {
            if (const auto at = from.find(key); at != from.end() && at->second.tgid)
                owners.emplace(row, at->second);
        };
        each_unknown(table->second, [&](std::size_t row, const abi_flow& flow) {
            fill(row, holders, flow_key(flow));
            fill(row, known, likeness(table->second, row));
        });
        if (!owners.empty())
            table->second = filled(table->second, owners);
    }
}

} // namespace culprit
