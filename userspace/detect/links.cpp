// SPDX-License-Identifier: MIT
// Joins the rows of devices with the hook that sees them stop, the drops at them, and the segments
// that are sent again.
#include "detect/links.h"

#include <algorithm>
#include <cstring>
#include <set>

#include <fmt/format.h>

#include "abi/retransmit.h"
#include "detect/benign.h"
#include "detect/flows.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

constexpr std::uint64_t kFrameRoom = 14 + 4; // Ethernet's head and a VLAN tag
constexpr std::uint16_t kArp = 0x0806;

/// Samples of one conversation are summed up.
std::uint64_t frame_bytes(const Row<drop_event>& sample) {
    return sample.info.count ? sample.record.bytes / sample.info.count : 0;
}

/// The kernel greets every network by itself: group membership and neighbour discovery (MLD has a
/// hop-by-hop header, protocol 0). ARP goes out because somebody has a packet to send.
bool is_wanted(const drop_total& drop) {
    return drop.ethertype == kArp ||
           (drop.protocol && drop.protocol != IPPROTO_IGMP && drop.protocol != IPPROTO_ICMPV6);
}

bool is_for_one(const drop_event& drop) {
    return drop.ethertype == kArp || (drop.flow.family && !is_to_many(drop.flow));
}

std::string_view function_of(std::string_view symbol) {
    return symbol.substr(0, symbol.find_first_of("+."));
}

} // namespace

const Links& Facts::links() const {
    if (!known_links)
        known_links = std::make_shared<const Links>(total);
    return *known_links;
}

LinkState LinkFacts::state() const {
    const std::pair<std::uint64_t, LinkState> last[] = {{sum.up_ns, LinkState::kUp},
                                                        {sum.off_ns, LinkState::kOff},
                                                        {sum.no_carrier_ns, LinkState::kNoCarrier},
                                                        {sum.gone_ns, LinkState::kGone}};
    return std::ranges::max(last).second;
}

std::uint64_t LinkFacts::downs() const {
    return std::max<std::uint64_t>(sum.carrier_downs, off_times);
}

bool LinkFacts::hurts() const {
    return (dropped >= threshold::kDropHurtMin && !only_groups) ||
           segs_again >= threshold::kDropHurtMin;
}

bool is_stop_drop(std::string_view reason, std::string_view function) {
    // without carrier a device has the queue that refuses everything (noop); the rest is of drivers
    // and devices that are not up
    const bool sending = function == "__dev_queue_xmit" || function == "noop_enqueue" ||
                         function.starts_with("__dev_forward_skb") ||
                         function.starts_with("veth_xmit");
    return reason.starts_with("NEIGH_") || reason == "DEV_READY" ||
           (sending && (reason == "QDISC_DROP" || reason == "NOT_SPECIFIED" || reason == "-"));
}

Links::Links(const Window& total) {
    add_rows(total);
    find_peers();
    add_stops(total);
    add_drops(total);
}

const LinkFacts* Links::at(std::uint32_t netns, std::uint32_t ifindex) const {
    const auto it = x_all.find({netns, ifindex});
    return it == x_all.end() ? nullptr : &it->second;
}

void Links::add_rows(const Window& total) {
    for (const auto& [row, info] : total.rows<link_total>(ABI_LINK_TOTAL)) {
        const auto counted = total.counters.find(row.netns);
        if (!row.ifindex || (counted != total.counters.end() && !counted->second.error.empty()))
            continue; // its namespace went, and it with that
        LinkFacts& link = x_all[{row.netns, row.ifindex}];
        link.sum = row;
        link.info = info;
        link.name = device(row.netns, row.ifindex, total.names);
    }
}

void Links::find_peers() {
    for (auto& [key, link] : x_all) {
        const LinkFacts* other = at(link.sum.link_netns, link.sum.link);
        if (link.is("veth") && other && other->is("veth") && other->sum.link == link.sum.ifindex &&
            other != &link)
            link.peer = other;
    }
}

void Links::add_stops(const Window& total) {
    std::map<const LinkFacts*, std::uint64_t> most;
    for (const auto& [stop, info] : total.rows<link_event>(ABI_LINK)) {
        const auto it = x_all.find({stop.netns, stop.ifindex});
        if (it == x_all.end())
            continue;
        LinkFacts& link = it->second;
        link.stopped_ns =
            link.stopped_ns ? std::min(link.stopped_ns, info.first_ns) : info.first_ns;
        link.last_stop_ns = std::max(link.last_stop_ns, info.last_ns);
        if (stop.type != ABI_LINK_OFF)
            continue;
        link.off_times += info.count;
        if (stop.owner.tgid && info.count > most[&link]) {
            most[&link] = info.count;
            link.by = {stop.owner, stop.netns};
        }
    }
}

void Links::add_drops(const Window& total) {
    const auto stopped_at = [&](std::uint32_t netns, std::uint32_t ifindex, std::uint32_t reason,
                                std::uint64_t location) -> LinkFacts* {
        const auto it = x_all.find({netns, ifindex});
        if (it == x_all.end() || (it->second.state() == LinkState::kUp && !it->second.downs()))
            return nullptr;
        const std::string place = symbol(location, total.names);
        return is_stop_drop(drop_reason(reason, total.names), function_of(place)) ? &it->second
                                                                                  : nullptr;
    };
    for (const auto& [drop, info] : total.rows<drop_total>(ABI_DROP_TOTAL))
        if (is_wanted(drop))
            if (LinkFacts* link = stopped_at(drop.netns, drop.ifindex, drop.reason, drop.location))
                link->dropped += drop.packets;
    std::map<std::string, LinkFacts*> lost; // conversation -> device
    std::map<LinkFacts*, bool> sampled;     // with a packet for somebody in particular
    for (const auto& [drop, info] : total.rows<drop_event>(ABI_DROP)) {
        LinkFacts* link =
            stopped_at(drop.flow.netns, drop.flow.ifindex, drop.reason, drop.location);
        if (!link)
            continue;
        sampled[link] |= is_for_one(drop);
        if (drop.flow.family)
            lost.emplace(conversation(drop.flow), link);
        add_party(link->affected, {drop.owner, drop.flow.netns});
    }
    for (const auto& [link, for_one] : sampled)
        link->only_groups = !for_one;
    add_sent_again(total, lost);
}

/// What a namespace with one device sends again after that device stopped, it sends over it.
std::map<std::uint32_t, LinkFacts*> Links::only_devices() {
    std::map<std::uint32_t, LinkFacts*> only;
    for (auto& [key, link] : x_all)
        if (!link.is("loopback") && link.state() != LinkState::kGone) {
            const auto [it, fresh] = only.emplace(link.sum.netns, &link);
            if (!fresh)
                it->second = nullptr;
        }
    return only;
}

void Links::add_sent_again(const Window& total, const std::map<std::string, LinkFacts*>& lost) {
    const auto only = only_devices();
    for (const auto& [again, info] : total.rows<retransmit_event>(ABI_RETRANSMIT)) {
        const auto by_drop = lost.find(conversation(again.flow));
        const auto by_place = only.find(again.flow.netns);
        LinkFacts* link = by_drop != lost.end()    ? by_drop->second
                          : by_place != only.end() ? by_place->second
                                                   : nullptr;
        if (!link || !link->stopped_ns || info.last_ns < link->stopped_ns)
            continue;
        link->segs_again += again.segs;
        add_party(link->affected, {again.owner, again.flow.netns});
    }
}

bool Links::follows(const LinkFacts& link) const {
    const auto stopped = [](const LinkFacts& other) {
        return other.downs() || other.state() != LinkState::kUp;
    };
    if (!link.is("veth") && link.sum.link && link.sum.link_netns == link.sum.netns)
        if (const LinkFacts* below = at(link.sum.netns, link.sum.link))
            return stopped(*below);
    return std::ranges::any_of(x_all, [&](const auto& other) {
        return other.second.sum.netns == link.sum.netns &&
               other.second.sum.master == link.sum.ifindex && stopped(other.second);
    });
}

std::uint64_t longest_frame(const DropFacts& drops) {
    std::uint64_t longest = 0;
    for (const auto& sample : drops.samples)
        longest = std::max(longest, frame_bytes(sample));
    return longest;
}

bool frames_too_long(const DropFacts& drops, const Links& links) {
    constexpr std::uint64_t kSmall = 576; // every IPv4 link takes that much (RFC 791)
    const LinkFacts* from = links.at(drops.at.netns, drops.main_device());
    // between equals no frame is too long; large segments pass, but not to an end that is down
    if (from && from->peer)
        return from->peer->sum.mtu < from->sum.mtu &&
               longest_frame(drops) > from->peer->sum.mtu + kFrameRoom;
    const bool all = std::ranges::all_of(
        drops.samples, [](const auto& sample) { return frame_bytes(sample) > kSmall; });
    return !drops.samples.empty() && all && !(from && from->downs());
}

std::string link_name(const LinkFacts& link, std::uint32_t netns, const Names& names) {
    return link.sum.netns == netns
               ? link.name
               : fmt::format("{} in namespace {}", link.name, netns_name(link.sum.netns, names));
}

namespace {

void add_stop_evidence(Finding& finding, const LinkFacts& link, const Window& total) {
    for (const Party& party : link.affected)
        add_party(finding.affected, party);
    if (link.dropped)
        finding.evidence.push_back(
            {fmt::format("{} packets for {} were dropped meanwhile", link.dropped,
                         link_name(link, finding.where.netns, total.names)),
             double(link.dropped), "packets", "kfree_skb"});
    if (link.segs_again)
        finding.evidence.push_back(
            {fmt::format("{} segments of these were sent again", link.segs_again),
             double(link.segs_again), "segments", "tcp_retransmit_skb"});
}

} // namespace

void add_who_misses_it(Finding& finding, const LinkFacts& link, const Window& total) {
    if (link.peer)
        finding.evidence.push_back(
            {fmt::format("its other end is {}, which loses its carrier with it",
                         link_name(*link.peer, link.sum.netns, total.names)),
             std::nullopt, "", "rtnetlink"});
    add_stop_evidence(finding, link, total);
    if (link.peer)
        add_stop_evidence(finding, *link.peer, total);
    if (!finding.affected.empty())
        finding.title +=
            fmt::format(": {}{}", owner_name(finding.affected[0].owner, total.names),
                        finding.affected.size() > 1 ? " and others suffer" : " suffers");
}

} // namespace culprit
