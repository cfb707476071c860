// SPDX-License-Identifier: MIT
// Folds the events of each neighbour, whoever waited for it.
#include "detect/neighbours.h"

#include <algorithm>
#include <cerrno>
#include <tuple>

#include <fmt/format.h>

#include "abi/connection.h"
#include "abi/retransmit.h"
#include "util/text.h"

namespace culprit {

namespace {

MacBytes mac_bytes(const __u8 (&bytes)[ABI_MAC_BYTES]) {
    return std::to_array(bytes);
}

void add(NeighbourFacts& facts, const neigh_event& event, const RowInfo& info) {
    facts.first_ns = facts.first_ns ? std::min(facts.first_ns, info.first_ns) : info.first_ns;
    const std::string before = mac(mac_bytes(event.old_mac));
    if (event.type != ABI_NEIGH_FAILED) {
        auto& counts = event.type == ABI_NEIGH_CHANGED ? facts.changed : facts.refused;
        counts[{before, mac(mac_bytes(event.new_mac))}] += info.count;
        return;
    }
    facts.failed += info.count;
    facts.packets += event.packets;
    facts.routed += event.routed;
    if (before != "-")
        facts.mac = before;
    add_party(facts.waiting, {event.owner, event.netns});
}

} // namespace

std::vector<NeighbourFacts> neighbours_of(const Window& total) {
    std::map<std::tuple<std::uint32_t, std::uint32_t, std::string>, NeighbourFacts> found;
    for (const auto& [event, info] : total.rows<neigh_event>(ABI_NEIGH)) {
        if (!event.family)
            continue; // the row of all that found no room
        const std::string text = address(event.family, event.address);
        NeighbourFacts& facts = found[{event.netns, event.ifindex, text}];
        facts.netns = event.netns;
        facts.ifindex = event.ifindex;
        facts.family = event.family;
        facts.address = text;
        add(facts, event, info);
    }
    std::vector<NeighbourFacts> all;
    for (auto& [key, facts] : found)
        all.push_back(std::move(facts));
    return all;
}

void each_trouble(const Window& total, const EachTrouble& each) {
    for (const auto& [attempt, info] : total.rows<connect_event>(ABI_CONNECT))
        if (attempt.result != ABI_RESULT_OK)
            each(attempt.flow, attempt.owner,
                 attempt.error == ECONNREFUSED ? &Dealings::refused : &Dealings::unanswered,
                 info.count);
    for (const auto& [closed, info] : total.rows<close_event>(ABI_CLOSE))
        if (closed.ending == ABI_ENDING_RESET_RECEIVED)
            each(closed.flow, closed.owner, &Dealings::resets, info.count);
    for (const auto& [again, info] : total.rows<retransmit_event>(ABI_RETRANSMIT))
        each(again.flow, again.owner, &Dealings::resent, again.segs);
}

Dealings dealings_with(const Window& total, const std::function<bool(const abi_flow&)>& wanted) {
    Dealings found;
    each_trouble(total, [&](const abi_flow& flow, const abi_owner& owner, auto counter,
                            std::uint64_t count) {
        if (!wanted(flow))
            return;
        found.*counter += count;
        add_party(found.parties, {owner, flow.netns});
    });
    return found;
}

Finding neighbour_finding(const char* id, const NeighbourFacts& neighbour, const Window& total) {
    Finding finding{.id = id, .layer = Layer::kDataLink};
    finding.where = {.remote = neighbour.address,
                     .device = device(neighbour.netns, neighbour.ifindex, total.names),
                     .netns = neighbour.netns};
    finding.first_ns = neighbour.first_ns;
    finding.verify = verify_in_netns(finding);
    return finding;
}

std::string show_neighbour(const NeighbourFacts& neighbour, const Names& names) {
    return fmt::format("{}ip neigh show to {} dev {}", in_netns(neighbour.netns, names),
                       neighbour.address,
                       shell_word(device(neighbour.netns, neighbour.ifindex, names)));
}

} // namespace culprit
