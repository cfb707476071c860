// SPDX-License-Identifier: MIT
// What is worth a record: something went wrong, or the device's state changed.
#include "signals/link_growth.h"

#include <linux/if.h>

#include <algorithm>
#include <cstring>
#include <set>

namespace culprit {

namespace {

constexpr std::uint64_t kDriverNs = 5'000'000'000; // some drivers ask their firmware
constexpr std::size_t kDriverCountersMax = 8;      // of one device at one look

/// A kernel without the two counts has their sum.
std::uint64_t carrier_downs(const LinkInfo& link) {
    return link.carrier_downs || link.carrier_ups ? link.carrier_downs : link.carrier_changes / 2;
}

bool works(const LinkInfo& link) {
    // tunnels and the like have no state of their own to tell
    return link.admin_up && link.carrier && link.operstate != IF_OPER_LOWERLAYERDOWN;
}

/// All counters go back when a driver is loaded anew. One that goes back by itself tells nothing.
std::uint64_t grew(std::uint64_t now, std::uint64_t before, bool anew) {
    return now >= before ? now - before : anew ? now : 0;
}

bool counts_anew(const LinkStats& now, const LinkStats& before) {
    return now.rx_packets < before.rx_packets || now.tx_packets < before.tx_packets;
}

enum class Tells { kTraffic, kDrops, kErrors };

constexpr struct {
    __u64 link_total::*growth;
    std::uint64_t LinkStats::*counter;
    Tells tells;
} kCounters[] = {
    {&link_total::rx_packets, &LinkStats::rx_packets, Tells::kTraffic},
    {&link_total::tx_packets, &LinkStats::tx_packets, Tells::kTraffic},
    {&link_total::rx_errors, &LinkStats::rx_errors, Tells::kErrors},
    {&link_total::tx_errors, &LinkStats::tx_errors, Tells::kErrors},
    {&link_total::rx_dropped, &LinkStats::rx_dropped, Tells::kDrops},
    {&link_total::tx_dropped, &LinkStats::tx_dropped, Tells::kDrops},
    {&link_total::rx_length, &LinkStats::rx_length_errors, Tells::kErrors},
    {&link_total::rx_over, &LinkStats::rx_over_errors, Tells::kErrors},
    {&link_total::rx_crc, &LinkStats::rx_crc_errors, Tells::kErrors},
    {&link_total::rx_frame, &LinkStats::rx_frame_errors, Tells::kErrors},
    {&link_total::rx_fifo, &LinkStats::rx_fifo_errors, Tells::kErrors},
    {&link_total::rx_missed, &LinkStats::rx_missed_errors, Tells::kErrors},
    {&link_total::rx_nohandler, &LinkStats::rx_nohandler, Tells::kDrops},
    {&link_total::rx_otherhost, &LinkStats::rx_otherhost_dropped, Tells::kDrops},
    {&link_total::tx_aborted, &LinkStats::tx_aborted_errors, Tells::kErrors},
    {&link_total::tx_carrier, &LinkStats::tx_carrier_errors, Tells::kErrors},
    {&link_total::tx_fifo, &LinkStats::tx_fifo_errors, Tells::kErrors},
    {&link_total::tx_heartbeat, &LinkStats::tx_heartbeat_errors, Tells::kErrors},
    {&link_total::tx_window, &LinkStats::tx_window_errors, Tells::kErrors},
    {&link_total::collisions, &LinkStats::collisions, Tells::kErrors},
};

link_total describe(const LinkInfo& link, std::uint32_t netns, std::uint64_t now_ns) {
    link_total total;
    std::memset(&total, 0, sizeof(total));
    total.head = {now_ns, ABI_LINK_TOTAL, sizeof(total), 0};
    total.netns = netns;
    total.ifindex = link.ifindex;
    link.type.copy(total.type, sizeof(total.type) - 1);
    if (link.loopback)
        std::memcpy(total.type, "loopback", 8);
    total.link = link.link;
    total.link_netns = link.peer_netns;
    total.master = link.master;
    total.mtu = link.mtu;
    total.speed_mbit = link.speed_mbit;
    total.duplex = link.duplex;
    total.carrier_changes_ever = link.carrier_changes;
    total.packets_ever = link.stats.rx_packets + link.stats.tx_packets;
    return total;
}

void set_state(link_total& total, const LinkInfo& link, std::uint64_t now_ns) {
    (works(link) ? total.up_ns : !link.admin_up ? total.off_ns : total.no_carrier_ns) = now_ns;
}

bool state_changed(const LinkInfo& now, const LinkInfo& before) {
    return works(now) != works(before) || now.admin_up != before.admin_up ||
           now.carrier_changes != before.carrier_changes || now.master != before.master;
}

/// Adds what came since; the worst that it tells.
Tells add_growth(link_total& total, const LinkInfo& now, const LinkInfo& before) {
    const bool anew = counts_anew(now.stats, before.stats);
    Tells worst = Tells::kTraffic;
    for (const auto& one : kCounters) {
        total.*one.growth = grew(now.stats.*one.counter, before.stats.*one.counter, anew);
        if (total.*one.growth)
            worst = std::max(worst, one.tells);
    }
    total.carrier_ups = grew(now.carrier_ups, before.carrier_ups, anew);
    total.carrier_downs = grew(carrier_downs(now), carrier_downs(before), anew);
    return worst;
}

/// What software made between two looks counted from zero; but a new one counts its birth as a lost
/// carrier. Hardware that was moved into a namespace has the counts of its life.
LinkInfo newborn(const LinkInfo& link) {
    LinkInfo before = link;
    if (!link.hardware())
        before.stats = {};
    return before;
}

/// A counter that went back grows from there.
void follow_back(LinkStats& last, const LinkStats& now) {
    for (const auto& one : kCounters)
        last.*one.counter = std::min(last.*one.counter, now.*one.counter);
}

} // namespace

LinkGrowth::Namespace& LinkGrowth::space_of(std::uint32_t netns) {
    if (x_spaces.size() >= kNamespacesMax && !x_spaces.contains(netns))
        x_spaces.erase(std::ranges::min_element(
            x_spaces, {}, [](const auto& space) { return space.second.read_ns; }));
    return x_spaces[netns];
}

void LinkGrowth::take(std::uint32_t netns, std::uint64_t now_ns, const std::vector<LinkInfo>& links,
                      const RecordSink& sink) {
    Namespace& space = space_of(netns);
    const bool first = !space.read_ns;
    space.read_ns = now_ns;
    for (const LinkInfo& link : links) {
        const auto [it, fresh] = space.devices.try_emplace(link.ifindex);
        Device& device = it->second;
        if (fresh)
            device.last = first ? link : newborn(link);
        if (!fresh || !first)
            look(device, netns, now_ns, sink, link);
    }
    take_gone(netns, now_ns, space, links, sink);
}

void LinkGrowth::look(Device& device, std::uint32_t netns, std::uint64_t now_ns,
                      const RecordSink& sink, const LinkInfo& link) {
    link_total total = describe(link, netns, now_ns);
    if (!device.told)
        set_state(total, device.last, now_ns - 1); // how the run found it
    set_state(total, link, now_ns);
    const Tells worst = add_growth(total, link, device.last);
    const bool changed = state_changed(link, device.last);
    const bool loud = changed || worst != Tells::kTraffic;
    device.alarmed = worst == Tells::kErrors;
    follow_back(device.last.stats, link.stats);
    if (!loud && (device.told || x_quiet >= kQuietMax))
        return;
    x_quiet += !loud;
    device.told = true;
    device.last = link;
    sink(bytes_of(total));
}

void LinkGrowth::take_gone(std::uint32_t netns, std::uint64_t now_ns, Namespace& space,
                           const std::vector<LinkInfo>& links, const RecordSink& sink) {
    std::set<std::uint32_t> there;
    for (const LinkInfo& link : links)
        there.insert(link.ifindex);
    std::erase_if(space.devices, [&](const auto& known) {
        const auto& [ifindex, device] = known;
        if (there.contains(ifindex))
            return false;
        if (device.told) {
            link_total total = describe(device.last, netns, now_ns);
            total.gone_ns = now_ns;
            sink(bytes_of(total));
        }
        return true;
    });
}

bool LinkGrowth::knows_speed(LinkInfo& link) const {
    const auto space = x_spaces.find(link.netns);
    if (space == x_spaces.end())
        return false;
    const auto known = space->second.devices.find(link.ifindex);
    if (known == space->second.devices.end())
        return false;
    const LinkInfo& last = known->second.last;
    if (last.carrier_changes != link.carrier_changes || last.admin_up != link.admin_up)
        return false;
    link.speed_mbit = last.speed_mbit;
    link.duplex = last.duplex;
    return true;
}

bool LinkGrowth::wants_driver(const LinkInfo& link, std::uint64_t now_ns) const {
    const auto space = x_spaces.find(link.netns);
    if (!link.hardware() || space == x_spaces.end())
        return false;
    const auto known = space->second.devices.find(link.ifindex);
    return known != space->second.devices.end() &&
           (!known->second.driver_ns || known->second.alarmed ||
            now_ns - known->second.driver_ns >= kDriverNs);
}

void LinkGrowth::take_driver(const LinkInfo& link, std::uint64_t now_ns,
                             const DriverCounters& counters, const RecordSink& sink) {
    Device& device = x_spaces[link.netns].devices[link.ifindex];
    std::vector<std::pair<std::uint64_t, std::string>> growths;
    if (device.driver_ns)
        for (const auto& [name, value] : counters)
            if (const auto before = device.driver.find(name);
                before != device.driver.end() && value > before->second)
                growths.emplace_back(value - before->second, name);
    std::ranges::sort(growths, std::greater{});
    growths.resize(std::min(growths.size(), kDriverCountersMax));
    for (const auto& [growth, name] : growths) {
        link_stat stat;
        std::memset(&stat, 0, sizeof(stat));
        stat.head = {now_ns, ABI_LINK_STAT, sizeof(stat), 0};
        stat.netns = link.netns;
        stat.ifindex = link.ifindex;
        name.copy(stat.name, sizeof(stat.name) - 1);
        stat.growth = growth;
        sink(bytes_of(stat));
    }
    device.driver_ns = now_ns;
    device.driver = counters;
}

} // namespace culprit
