// SPDX-License-Identifier: MIT
// Walks types, never signals.
#include "signals/note_names.h"

#include <algorithm>
#include <array>
#include <string>

namespace culprit {

namespace {

/// Where packets are dropped that no route takes, or that came from where no route leads to.
constexpr std::array<std::string_view, 11> kRoutingPlaces = {
    "ip_error",        "ip_rcv_finish_core", "ip_rcv_finish",  "ip_forward",
    "ip6_forward",     "ip6_pkt_discard",    "ip6_pkt_drop",   "ip6_pkt_prohibit",
    "__ip_queue_xmit", "ip_queue_xmit",      "dst_discard_out"};

template <typename Map, typename Key>
void copy(const Map& from, const Key& key, Map* into) {
    if (const auto it = from.find(key); into && it != from.end())
        into->insert(*it);
}

void note_place(std::uint32_t netns, std::uint32_t ifindex, LiveNames& live, Names* into) {
    live.note_device(netns, ifindex);
    copy(live.all().devices, std::pair(netns, ifindex), into ? &into->devices : nullptr);
    copy(live.all().netns, netns, into ? &into->netns : nullptr);
}

/// The path of the socket's cgroup stands in for a process that is not known, or gone too soon.
void note_owner(const abi_owner& owner, LiveNames& live, Names* into) {
    const ProcessKey key(owner.tgid, owner.start_ns);
    live.note_process(key);
    copy(live.all().processes, key, into ? &into->processes : nullptr);
    const auto known = live.all().processes.find(key);
    if (known != live.all().processes.end() && !known->second.cgroup.empty())
        return;
    live.note_cgroup(owner.cgroup_id);
    copy(live.all().cgroups, owner.cgroup_id, into ? &into->cgroups : nullptr);
}

/// The end of a flow that is no address in particular is all of its namespace's.
void note_addresses(std::span<const std::byte> flow_bytes, LiveNames& live, Names* into) {
    const auto flow = value_at<abi_flow>(flow_bytes, 0);
    if (!flow.family || std::ranges::any_of(flow.local, [](std::uint8_t byte) { return byte; }))
        return;
    live.note_addresses(flow.netns);
    copy(live.all().addresses, flow.netns, into ? &into->addresses : nullptr);
}

void note_routing(std::uint32_t netns, LiveNames& live, Names* into) {
    live.note_routing(netns);
    copy(live.all().routing, netns, into ? &into->routing : nullptr);
}

bool is_routing_place(const LiveNames& live, std::uint64_t address) {
    const auto known = live.all().symbols.find(address);
    return known != live.all().symbols.end() &&
           std::ranges::any_of(kRoutingPlaces, [&](std::string_view function) {
               return known->second.substr(0, known->second.find_first_of("+.")) == function;
           });
}

} // namespace

std::uint32_t netns_of(std::span<const std::byte> record) {
    for (const Field& field : find_kind(head_of(record).kind)->fields) {
        if (field.type == Type::kFlow)
            return value_at<std::uint32_t>(record, field.offset + offsetof(abi_flow, netns));
        if (field.type == Type::kNetns)
            return value_at<std::uint32_t>(record, field.offset);
    }
    return 0;
}

void note_names(const Field& field, std::span<const std::byte> record, LiveNames& live,
                Names* into) {
    switch (field.type) {
    case Type::kFlow:
        note_place(value_at<std::uint32_t>(record, field.offset + offsetof(abi_flow, netns)),
                   value_at<std::uint32_t>(record, field.offset + offsetof(abi_flow, ifindex)),
                   live, into);
        note_addresses(record.subspan(field.offset, sizeof(abi_flow)), live, into);
        break;
    case Type::kOwner:
        note_owner(value_at<abi_owner>(record, field.offset), live, into);
        break;
    case Type::kDevice:
        note_place(value_at<std::uint32_t>(record, field.offset - 4UL),
                   value_at<std::uint32_t>(record, field.offset), live, into);
        break;
    case Type::kSymbol: {
        const auto address = value_at<std::uint64_t>(record, field.offset);
        live.note_symbol(address);
        copy(live.all().symbols, address, into ? &into->symbols : nullptr);
        if (is_routing_place(live, address))
            note_routing(netns_of(record), live, into);
        break;
    }
    case Type::kStack:
        for (std::size_t at = 0; at < field.size; at += 8) {
            const auto address = value_at<std::uint64_t>(record, field.offset + at);
            live.note_symbol(address);
            copy(live.all().symbols, address, into ? &into->symbols : nullptr);
        }
        break;
    case Type::kDropReason:
        copy(live.all().drop_reasons, value_at<std::uint32_t>(record, field.offset),
             into ? &into->drop_reasons : nullptr);
        break;
    case Type::kResetReason:
        copy(live.all().reset_reasons, value_at<std::uint32_t>(record, field.offset),
             into ? &into->reset_reasons : nullptr);
        break;
    case Type::kRouteError:
        note_routing(netns_of(record), live, into);
        break;
    default:
        break;
    }
}

} // namespace culprit
