// SPDX-License-Identifier: MIT
// Looks names up in the running kernel and keeps them; those of processes change, so they are
// looked up again.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "kernel/cgroup.h"
#include "kernel/features.h"
#include "kernel/names.h"
#include "kernel/netns.h"
#include "kernel/source_lines.h"
#include "kernel/symbols.h"

namespace culprit {

class LiveNames {
public:
    explicit LiveNames(const Features& features);

    /// Everything learnt so far; grows with note_*().
    const Names& all() const { return x_names; }

    void note_symbol(std::uint64_t address);
    /// Its source line too; dear, see SourceLines.
    void note_source(std::uint64_t address);
    void note_device(std::uint32_t netns, std::uint32_t ifindex);
    void note_process(const ProcessKey& key);
    void note_cgroup(std::uint64_t id);
    /// Looks every known process up again: which of them are gone by now?
    void look_again();
    void note_addresses(std::uint32_t netns);
    void note_routing(std::uint32_t netns);

    /// The namespaces as last listed; refresh() lists them again.
    const std::map<std::uint32_t, Netns>& netns() const { return x_netns; }
    void refresh();
    /// What the last list lacked.
    const NetnsMisses& misses() const { return x_misses; }

private:
    void forget_processes();
    void forget_devices(const std::map<std::uint32_t, Netns>& before);

    Names x_names;
    Symbols x_symbols;
    SourceLines x_sources;
    std::map<std::uint32_t, Netns> x_netns;
    NetnsMisses x_misses;
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint64_t>
        x_missing;                                           // device asked for in vain, and when
    std::map<std::uint32_t, std::uint64_t> x_addresses_read; // netns, and when
    std::map<std::uint32_t, std::uint64_t> x_routing_read;   // netns, and when
    bool x_sees_processes = sees_host_processes();
    std::map<ProcessKey, std::uint64_t> x_looked_ns; // when each process was looked up last
    CgroupTree x_cgroups;
};

} // namespace culprit
