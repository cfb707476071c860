// SPDX-License-Identifier: MIT
// The network namespaces of this host: which there are, their names, their devices and their
// counters.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "kernel/counters.h"
#include "kernel/gauges.h"
#include "kernel/routing.h"
#include "util/result.h"

namespace culprit {

/// One way into a namespace: through a process that lives there, or through the file that keeps it
/// alive.
struct Netns {
    std::uint32_t inum = 0; // inode number, the identity the programs report
    std::string name;       // of /run/netns/NAME; empty when it has none
    std::string path;       // "/proc/PID/ns/net" or "/run/netns/NAME"
    std::string proc;       // "/proc/PID" of a process in it; empty when there is none
};

/// What a list of namespaces lacks.
struct NetnsMisses {
    std::size_t left_out = 0; // namespaces beyond kNetnsMax
    std::size_t hidden = 0;   // processes that do not show theirs: without CAP_SYS_PTRACE
};

/// All namespaces visible from here, at most kNetnsMax.
inline constexpr std::size_t kNetnsMax = 4096;
std::map<std::uint32_t, Netns> list_netns(NetnsMisses& misses);

/// "the network namespaces of 12 processes ..."
std::string hidden_text(std::size_t processes);

/// The namespace this process is in.
std::uint32_t own_netns();

/// Runs `work` on a thread of its own inside the namespace. Needs CAP_SYS_ADMIN; this thread stays
/// where it is.
Result<void> run_in_netns(const std::string& path, const std::function<void()>& work);

/// Runs `work` inside the namespace, on this thread when it is the own one. False: it is gone, or
/// the process that was the way in is.
Result<bool> visit_netns(const Netns& netns, const std::function<void()>& work);

/// Counters of one namespace: read through a process that lives there when there is one (needs no
/// capability).
Result<Counters> read_counters(const Netns& netns);

/// What it has now, and its limits; limits of another namespace need CAP_SYS_ADMIN.
Gauges read_gauges(const Netns& netns);
Gauges read_limits(const Netns& netns);

/// The IP addresses of that namespace's devices, at most kAddressesMax.
inline constexpr std::size_t kAddressesMax = 256;
Result<std::set<std::string>> read_addresses(const Netns& netns);

Result<Routing> read_routing(const Netns& netns);

/// ifindex -> device name in that namespace.
Result<std::map<std::uint32_t, std::string>> read_devices(const Netns& netns);

} // namespace culprit
