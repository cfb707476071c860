// SPDX-License-Identifier: MIT
// Which connections are alike, and which groups give way when there are too many.
#include "signals/flow_groups.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "abi/connection.h"
#include "signals/signal.h"

namespace culprit {

namespace {

const Kind& kind() {
    return *find_kind(ABI_FLOW_TOTAL);
}

std::string key_of(const flow_total& record) {
    std::string key;
    for (const Part& part : kind().key)
        key.append(reinterpret_cast<const char*>(&record) + part.offset, part.size);
    return key;
}

template <typename Join>
void join(std::span<const Part> parts, flow_total& into, const flow_total& from, const Join& how) {
    for (const Part& part : parts)
        for (std::size_t at = part.offset; at < part.offset + std::size_t{part.size}; at += 8) {
            auto* to = reinterpret_cast<std::byte*>(&into) + at;
            const auto sum = how(value_at<std::uint64_t>(bytes_of(into), at),
                                 value_at<std::uint64_t>(bytes_of(from), at));
            std::memcpy(to, &sum, sizeof(sum));
        }
}

void merge(flow_total& into, const flow_total& from) {
    join(kind().sums, into, from, [](std::uint64_t a, std::uint64_t b) { return a + b; });
    join(kind().maxima, into, from,
         [](std::uint64_t a, std::uint64_t b) { return std::max(a, b); });
}

/// Groups that become one have their connections side by side.
void merge_groups(flow_total& into, const flow_total& from) {
    const std::uint64_t flows = into.flows + from.flows, silent = into.silent + from.silent;
    merge(into, from);
    into.flows = flows;
    into.silent = silent;
}

void clear_peer(flow_total& record) {
    std::ranges::fill(record.flow.remote, std::uint8_t{0});
}

void clear_ends(flow_total& record) {
    record.flow = {};
    record.owner = {};
    record.role = ABI_ROLE_UNKNOWN;
}

/// Of an unknown role neither port is known to be the service's: both addresses are all there is.
void clear_what_differs(flow_total& record) {
    record.flow.ifindex = 0;
    record.flow.v4_mapped = 0;
    if (record.role != ABI_ROLE_SERVER)
        record.flow.local_port = 0;
    if (record.role != ABI_ROLE_CLIENT)
        record.flow.remote_port = 0;
    if (record.role == ABI_ROLE_CLIENT)
        std::ranges::fill(record.flow.local, std::uint8_t{0});
    record.owner.tid = 0;
    std::ranges::fill(record.owner.thread, '\0');
}

/// Those that were looked at most first; of one size in an order of their own.
template <typename Groups>
std::vector<const flow_total*> ranked(const Groups& groups) {
    std::vector<std::pair<const std::string*, const flow_total*>> order;
    for (const auto& [key, group] : groups)
        order.emplace_back(&key, &group.total);
    std::ranges::sort(order, [](const auto& a, const auto& b) {
        return a.second->looks != b.second->looks ? a.second->looks > b.second->looks
                                                  : *a.first < *b.first;
    });
    std::vector<const flow_total*> records;
    for (const auto& [key, record] : order)
        records.push_back(record);
    return records;
}

} // namespace

void FlowGroups::Group::add(const flow_total& one, std::uint64_t look_now) {
    if (look != look_now)
        flows = silent = 0;
    look = look_now;
    flows += one.flows;
    silent += one.silent;
    merge(total, one);
    total.flows = std::max<std::uint64_t>(total.flows, flows);
    total.silent = std::max<std::uint64_t>(total.silent, silent);
}

/// False when there is no room for its key.
bool FlowGroups::put(Groups& groups, const flow_total& one) {
    std::string key = key_of(one);
    auto known = groups.find(key);
    if (known == groups.end()) {
        if (groups.size() >= kKeysMax)
            return false;
        known = groups.emplace(std::move(key), Group{}).first;
        known->second.total.flow = one.flow;
        known->second.total.owner = one.owner;
        known->second.total.role = one.role;
    }
    known->second.add(one, x_look);
    return true;
}

void FlowGroups::add(const flow_total& one) {
    flow_total record = one;
    clear_what_differs(record);
    if (put(x_with_peer, record))
        return;
    clear_peer(record);
    if (!put(x_without_peer, record))
        x_rest.add(record, x_look);
}

std::vector<flow_total> FlowGroups::fold(Groups& without_peer, flow_total& rest) const {
    std::vector<flow_total> rows;
    const auto with = ranked(x_with_peer);
    const std::size_t all = x_with_peer.size() + x_without_peer.size();
    const std::size_t room = all <= kRowsMax ? with.size() : std::min(with.size(), kRowsMax / 2);
    for (std::size_t i = 0; i < with.size(); i++) {
        if (i < room) {
            rows.push_back(*with[i]);
            continue;
        }
        flow_total record = *with[i];
        clear_peer(record);
        const auto [group, fresh] = without_peer.try_emplace(key_of(record));
        if (fresh)
            group->second.total = record;
        else
            merge_groups(group->second.total, record);
    }
    for (const flow_total* record : ranked(without_peer))
        if (rows.size() < kRowsMax - 1)
            rows.push_back(*record);
        else
            merge_groups(rest, *record);
    return rows;
}

std::vector<flow_total> FlowGroups::take() {
    flow_total rest = x_rest.total;
    Groups without_peer = std::move(x_without_peer);
    x_without_peer.clear();
    std::vector<flow_total> rows = fold(without_peer, rest);
    if (rest.flows) {
        clear_ends(rest);
        rows.push_back(rest);
    }
    x_with_peer.clear();
    x_rest = {};
    return rows;
}

} // namespace culprit
