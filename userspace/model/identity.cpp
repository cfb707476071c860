// SPDX-License-Identifier: MIT
// A process's own cgroup is better evidence than its socket's: it may have moved since.
#include "model/identity.h"

#include <fmt/format.h>

#include "kernel/cgroup.h"
#include "util/text.h"

namespace culprit {

namespace {

const Process* find_process(const abi_owner& owner, const Names& names) {
    const auto it = names.processes.find({owner.tgid, owner.start_ns});
    return owner.tgid && it != names.processes.end() ? &it->second : nullptr;
}

std::string cgroup_path(const abi_owner& owner, const Process* process, const Names& names) {
    if (process && !process->cgroup.empty())
        return process->cgroup;
    const auto it = names.cgroups.find(owner.cgroup_id);
    return owner.cgroup_id && it != names.cgroups.end() ? it->second : std::string();
}

} // namespace

std::string_view latest_comm(const abi_owner& owner, const Names& names) {
    const Process* process = find_process(owner, names);
    return process && !process->comm.empty() ? process->comm : until_nul(owner.comm);
}

Identity identify(const abi_owner& owner, const Names& names) {
    const Process* process = find_process(owner, names);
    Identity out;
    out.cgroup = cgroup_path(owner, process, names);
    out.container = container_of(out.cgroup);
    out.unit = unit_of(out.cgroup);
    if (out.cgroup.empty() && owner.cgroup_id)
        out.cgroup = fmt::format("id:{}", owner.cgroup_id);
    if (!owner.tgid)
        return out;
    out.comm = latest_comm(owner, names);
    if (process) {
        out.exe = process->exe;
        out.cmdline = process->cmdline;
        out.exited = process->exited;
    }
    return out;
}

} // namespace culprit
