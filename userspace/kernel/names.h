// SPDX-License-Identifier: MIT
// Names for the numbers in records, as plain data: a Window carries the ones it needs, so it reads
// the same elsewhere.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "kernel/process.h"
#include "kernel/routing.h"

namespace culprit {

struct Names {
    std::map<std::uint32_t, std::string> drop_reasons;
    std::map<std::uint32_t, std::string> reset_reasons;
    std::map<std::uint64_t, std::string> symbols; // address -> "symbol+0x12"
    std::map<std::uint64_t, std::string>
        sources; // address -> "net/core/dev.c:12"; only where debug information is installed
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::string>
        devices; // (netns, ifindex) -> name
    std::map<std::uint32_t, std::string>
        netns; // inode number -> "blue"; only those that have a name
    std::map<ProcessKey, Process> processes;
    std::map<std::uint64_t, std::string> cgroups; // id -> path; empty when it could not be learnt
    std::map<std::uint32_t, std::set<std::string>>
        addresses; // netns -> its own; only where a socket uses all of them
    std::map<std::uint32_t, Routing>
        routing; // netns -> how it routes; only where a lookup or a drop asks for it

    bool operator==(const Names&) const = default;
};

} // namespace culprit
