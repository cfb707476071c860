// SPDX-License-Identifier: MIT
// CPU quotas of cgroups, v1 and v2: which ones bind a process, and how often they did.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace culprit {

/// A cgroup that may use only part of the CPU time.
struct CpuQuota {
    std::uint64_t quota_us = 0, period_us = 0;
    std::uint64_t periods = 0, throttled = 0, throttled_ns = 0; // so far
};

/// The path in /proc/PID/cgroup of the hierarchy with the CPU controller: v1 where one of its lines
/// names "cpu", else v2. Empty when there is none, or it leads out of the cgroup namespace.
std::string cpu_cgroup_path(std::string_view proc_cgroup, int version);

class CpuQuotas {
public:
    /// `root` stands before every path: of this host it is empty.
    explicit CpuQuotas(std::string root = "");

    /// 1 or 2; 0 when no hierarchy with the CPU controller is mounted.
    int version() const { return x_version; }
    /// Folders of the cgroup that the process is in and of those above it, innermost first, without
    /// the root, which has no quota.
    std::vector<std::string> folders_of(std::uint32_t tgid) const;
    /// False when the folder is gone or has no quota.
    bool read(const std::string& folder, CpuQuota& into) const;

private:
    void find_mount();

    std::string x_root, x_mount;
    int x_version = 0;
};

} // namespace culprit
