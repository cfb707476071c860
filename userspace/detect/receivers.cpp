// SPDX-License-Identifier: MIT
// Sums over samples and counters of a namespace.
#include "detect/receivers.h"

#include <algorithm>

#include <fmt/format.h>

#include "model/format.h"

namespace culprit {

std::map<std::uint32_t, DropFacts> drops_by_netns(const Facts& facts, std::string_view finding_id) {
    std::map<std::uint32_t, DropFacts> found;
    const auto netns_key = [](const DropFacts& drops) { return fmt::format("{}", drops.at.netns); };
    for (DropFacts& drops : facts.drops().of(finding_id, netns_key))
        found[drops.at.netns] = std::move(drops);
    return found;
}

void Tally::add(const std::string& what, std::uint64_t count) {
    counts[what] += count;
    all += count;
}

namespace {

std::vector<std::pair<std::string, std::uint64_t>> ranked(const Tally& tally) {
    std::vector<std::pair<std::string, std::uint64_t>> order(tally.counts.begin(),
                                                             tally.counts.end());
    std::ranges::stable_sort(order,
                             [](const auto& a, const auto& b) { return a.second > b.second; });
    return order;
}

} // namespace

std::string Tally::text() const {
    constexpr std::size_t kShown = 3;
    std::string text;
    const auto order = ranked(*this);
    for (std::size_t i = 0; i < std::min(order.size(), kShown); i++)
        text += fmt::format("{}{} ({})", i ? ", " : "", order[i].first,
                            percent(double(order[i].second) / double(all)));
    return text;
}

std::string Tally::first() const {
    const auto order = ranked(*this);
    return order.empty() ? "" : order.front().first;
}

Tally sources_of(const std::vector<Row<drop_event>>& samples) {
    Tally tally;
    for (const auto& [drop, info] : samples)
        if (drop.flow.family)
            tally.add(address(drop.flow, true), info.count);
    return tally;
}

std::uint64_t grown(const Window& total, std::uint32_t netns, std::size_t index) {
    const auto at = total.counters.find(netns);
    return at == total.counters.end() ? 0 : at->second.growth[index];
}

UdpGrowth udp_growth(const Window& total, std::uint32_t netns) {
    const auto both = [&](std::size_t ipv4, std::size_t ipv6) {
        return grown(total, netns, ipv4) + grown(total, netns, ipv6);
    };
    return {.delivered = both(counter("Udp.InDatagrams"), counter("Udp6.InDatagrams")),
            .no_ports = both(counter("Udp.NoPorts"), counter("Udp6.NoPorts")),
            .rcvbuf = both(counter("Udp.RcvbufErrors"), counter("Udp6.RcvbufErrors")),
            .sndbuf = both(counter("Udp.SndbufErrors"), counter("Udp6.SndbufErrors")),
            .csum = both(counter("Udp.InCsumErrors"), counter("Udp6.InCsumErrors")),
            .memory = both(counter("Udp.MemErrors"), counter("Udp6.MemErrors"))};
}

std::optional<std::uint64_t> host_limit(const Window& total, std::size_t index) {
    for (const auto& [netns, counters] : total.counters)
        if (const auto value = counters.gauges.at(index))
            return value;
    return std::nullopt;
}

} // namespace culprit
