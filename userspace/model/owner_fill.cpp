// SPDX-License-Identifier: MIT
// The owner is a part of a row's key, so a table with a new owner is folded anew.
#include "model/owner_fill.h"

#include <cstring>
#include <unordered_map>

#include "abi/socket.h"

namespace culprit {

namespace {

constexpr std::uint32_t kFilled[] = {ABI_RETRANSMIT, ABI_RESET, ABI_DROP, ABI_QDISC_SHARE};

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

bool UnknownFlows::contains(const abi_flow& flow) const {
    return x_keys.contains(flow_key(flow)) || x_keys.contains(flow_key(anywhere(flow)));
}

void UnknownFlows::add(const Window& window) {
    for (const std::uint32_t kind : kFilled)
        if (const auto table = window.tables.find(kind); table != window.tables.end())
            each_unknown(table->second, [&](std::size_t, const abi_flow& flow) {
                if (x_keys.size() < kMax)
                    x_keys.insert(flow_key(flow));
            });
}

void fill_unknown_owners(Window& window) {
    const Holders holders = holders_of(window);
    for (const std::uint32_t kind : kFilled) {
        const auto table = window.tables.find(kind);
        if (table == window.tables.end())
            continue;
        std::unordered_map<std::size_t, abi_owner> owners;
        each_unknown(table->second, [&](std::size_t row, const abi_flow& flow) {
            const auto holder = holders.find(flow_key(flow));
            if (holder != holders.end() && holder->second.tgid)
                owners.emplace(row, holder->second);
        });
        if (!owners.empty())
            table->second = filled(table->second, owners);
    }
}

} // namespace culprit
