// SPDX-License-Identifier: MIT
// What a cgroup says about a process: its container, its systemd unit; and the path behind an id.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "util/unique_fd.h"

namespace culprit {

/// One path of the several that /proc/PID/cgroup may list: the cgroup v2 one, then systemd's, then
/// the first controller's. Where v1 and v2 are mixed, container runtimes use only some of them, so
/// a path that names a container comes before all that do not, and "/" comes last.
std::string pick_cgroup(std::string_view proc_cgroup);

/// The innermost container: "docker://ID", "containerd://ID", "cri-o://ID", "podman://ID", and
/// "container://ID" where the path does not tell the runtime. Empty when there is none.
std::string container_of(std::string_view cgroup);

/// The innermost systemd unit; empty when there is none, or when it only wraps a container.
std::string unit_of(std::string_view cgroup);

/// Paths of cgroup ids, by the file handles of the cgroup v2 file system.
class CgroupTree {
public:
    /// The cgroup v2 mount of this process; without one no id has a path.
    CgroupTree();

    /// "/system.slice/ssh.service"; empty when the cgroup is gone or CAP_DAC_READ_SEARCH is
    /// missing.
    std::string path(std::uint64_t id) const;

    /// Where it is mounted; empty when it is not.
    const std::string& mount_point() const { return x_point; }

private:
    std::string x_point;
    UniqueFd x_mount;
};

} // namespace culprit
