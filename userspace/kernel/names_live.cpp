// SPDX-License-Identifier: MIT
// Caches are bounded: symbols by the number of drop locations in a kernel, devices by kDevicesMax,
// processes and cgroups by kOwnersMax.
#include "kernel/names_live.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "util/time.h"

namespace culprit {

namespace {

constexpr std::size_t kDevicesMax = 16384;
constexpr std::size_t kSymbolsMax = 16384;
constexpr std::size_t kOwnersMax = 4096;
constexpr std::uint64_t kAskAgainNs = 5'000'000'000;
constexpr std::uint64_t kLookAgainNs = 1'000'000'000;

} // namespace

LiveNames::LiveNames(const Features& features) : x_sources(features.release) {
    x_names.drop_reasons = features.drop_reasons;
    x_names.reset_reasons = features.reset_reasons;
    refresh();
}

void LiveNames::refresh() {
    const auto before = std::exchange(x_netns, list_netns(x_misses));
    forget_devices(before);
    for (const auto& [inum, netns] : x_netns)
        if (!netns.name.empty())
            x_names.netns[inum] = netns.name;
}

/// The number of a namespace that is gone may be another's later: what is new here has no names
/// yet. Full: those of namespaces that are gone go too; until then their records have names.
void LiveNames::forget_devices(const std::map<std::uint32_t, Netns>& before) {
    const bool full =
        x_names.devices.size() >= kDevicesMax || x_names.netns.size() >= 2 * kNetnsMax;
    const auto is_old = [&](std::uint32_t netns) {
        return x_netns.contains(netns) ? !before.contains(netns) : full;
    };
    std::erase_if(x_names.netns, [&](const auto& known) { return is_old(known.first); });
    std::erase_if(x_names.devices, [&](const auto& known) { return is_old(known.first.first); });
    std::erase_if(x_missing, [&](const auto& known) { return is_old(known.first.first); });
}

void LiveNames::note_symbol(std::uint64_t address) {
    if (address && x_names.symbols.size() < kSymbolsMax && !x_names.symbols.contains(address))
        x_names.symbols[address] = x_symbols.name(address);
}

void LiveNames::note_source(std::uint64_t address) {
    note_symbol(address);
    const auto symbol = x_names.symbols.find(address);
    if (symbol == x_names.symbols.end() || x_names.sources.contains(address))
        return;
    const std::string line = x_sources.at(symbol->second, x_symbols.module(address));
    if (!line.empty())
        x_names.sources[address] = line;
}

void LiveNames::note_device(std::uint32_t netns, std::uint32_t ifindex) {
    const std::pair key(netns, ifindex);
    if (!netns || !ifindex || x_names.devices.contains(key) ||
        x_names.devices.size() >= kDevicesMax)
        return;
    const std::uint64_t now = boot_now_ns();
    if (const auto asked = x_missing.find(key);
        asked != x_missing.end() && now - asked->second < kAskAgainNs)
        return;
    if (!x_netns.contains(netns))
        refresh();
    const auto known = x_netns.find(netns);
    if (known != x_netns.end())
        if (const auto devices = read_devices(known->second))
            for (const auto& [index, name] : *devices)
                x_names.devices[{netns, index}] = name;
    if (x_missing.size() > kDevicesMax)
        x_missing.clear();
    if (!x_names.devices.contains(key))
        x_missing[key] = now;
}

/// Full: the half that was met longest ago goes. What is met again is looked up again; only of
/// those that exited nothing more can be learnt then, and their records' own names remain.
void LiveNames::forget_processes() {
    std::vector<std::uint64_t> times;
    for (const auto& [key, when] : x_looked_ns)
        times.push_back(when);
    const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::ranges::nth_element(times, middle);
    std::erase_if(x_looked_ns, [&](const auto& looked) { return looked.second <= *middle; });
    std::erase_if(x_names.processes,
                  [&](const auto& known) { return !x_looked_ns.contains(known.first); });
}

void LiveNames::note_process(const ProcessKey& key) {
    if (!x_sees_processes || !key.first || !key.second)
        return;
    const std::uint64_t now = boot_now_ns();
    const auto looked = x_looked_ns.find(key);
    if (looked != x_looked_ns.end() && now - looked->second < kLookAgainNs)
        return;
    if (looked == x_looked_ns.end() && x_looked_ns.size() >= kOwnersMax)
        forget_processes();
    x_looked_ns[key] = now;
    const auto known = x_names.processes.find(key);
    if (known != x_names.processes.end() && known->second.exited)
        return;
    if (const auto process = read_process("/proc", key))
        update(x_names.processes[key], *process);
}

void LiveNames::look_again() {
    for (auto& [key, process] : x_names.processes)
        if (!process.exited)
            if (const auto now = read_process("/proc", key))
                update(process, *now);
}

void LiveNames::note_cgroup(std::uint64_t id) {
    if (!id || x_names.cgroups.contains(id))
        return;
    // full: all are forgotten, and looked up again when met again
    if (x_names.cgroups.size() >= kOwnersMax)
        x_names.cgroups.clear();
    x_names.cgroups[id] = x_cgroups.path(id);
}

void LiveNames::note_addresses(std::uint32_t netns) {
    const std::uint64_t now = boot_now_ns();
    if (const auto asked = x_addresses_read.find(netns);
        asked != x_addresses_read.end() && now - asked->second < kAskAgainNs)
        return;
    if (x_addresses_read.size() >= kNetnsMax) {
        x_addresses_read.clear();
        x_names.addresses.clear();
    }
    x_addresses_read[netns] = now;
    if (!x_netns.contains(netns))
        refresh();
    const auto known = x_netns.find(netns);
    if (known == x_netns.end())
        return;
    if (auto addresses = read_addresses(known->second))
        x_names.addresses[netns] = std::move(*addresses);
}

void LiveNames::note_routing(std::uint32_t netns) {
    const std::uint64_t now = boot_now_ns();
    const auto asked = x_routing_read.find(netns);
    if (!netns || (asked != x_routing_read.end() && now - asked->second < kAskAgainNs))
        return;
    if (x_routing_read.size() >= kNetnsMax) {
        x_routing_read.clear();
        x_names.routing.clear();
    }
    x_routing_read[netns] = now;
    if (!x_netns.contains(netns))
        refresh();
    const auto known = x_netns.find(netns);
    if (known == x_netns.end())
        return;
    if (auto routing = read_routing(known->second))
        x_names.routing[netns] = std::move(*routing);
}

} // namespace culprit
