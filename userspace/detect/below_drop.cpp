// SPDX-License-Identifier: MIT
// Finds the rows of the inventory of programs that sit at the place of a drop.
#include "detect/below_drop.h"

#include <algorithm>

#include <fmt/format.h>

#include "util/text.h"

namespace culprit {

namespace {

bool is_within(const std::string& path, const std::string& above) {
    return above == "/" || path == above || path.starts_with(above + "/");
}

std::string program_text(std::string_view name, std::uint32_t id) {
    return name.empty() ? fmt::format("program id {}", id)
                        : fmt::format("program {} (id {})", safe_text(name), id);
}

} // namespace

std::vector<program_total> attached_to(const Window& total, std::uint32_t netns,
                                       std::uint32_t ifindex, std::uint32_t where) {
    std::vector<program_total> found;
    for (const auto& [row, info] : total.rows<program_total>(ABI_PROGRAM_TOTAL))
        if (row.netns == netns && row.ifindex == ifindex && row.where == where)
            found.push_back(row);
    std::ranges::stable_sort(found, std::greater{}, &program_total::drops);
    return found;
}

std::vector<program_total> attached_to_cgroup(const Window& total, const abi_owner& owner,
                                              std::uint32_t where) {
    const std::string path = cgroup_path(owner, total.names);
    std::vector<std::pair<std::size_t, program_total>> by_depth;
    for (const auto& [row, info] : total.rows<program_total>(ABI_PROGRAM_TOTAL)) {
        const std::string above = cgroup_path(row.owner, total.names);
        const bool same = owner.cgroup_id && row.owner.cgroup_id == owner.cgroup_id;
        if (row.where == where && !above.empty() && (same || is_within(path, above)))
            by_depth.emplace_back(above.size(), row);
    }
    std::ranges::stable_sort(by_depth, std::greater{}, [](const auto& one) { return one.first; });
    std::vector<program_total> found;
    for (const auto& [depth, row] : by_depth)
        found.push_back(row);
    return found;
}

std::string program_text(const program_total& program) {
    const std::string_view filter = until_nul(program.filter);
    if (program.program)
        return program_text(until_nul(program.name), program.program);
    return fmt::format("{} filter (pref {}, handle {:#x})", safe_text(filter), program.priority,
                       program.handle);
}

std::string program_text(const Window& total, std::uint32_t id) {
    for (const auto& [row, info] : total.rows<program_total>(ABI_PROGRAM_TOTAL))
        if (row.program == id)
            return program_text(row);
    return program_text("", id);
}

std::string cgroup_path(const abi_owner& owner, const Names& names) {
    const auto cgroup = names.cgroups.find(owner.cgroup_id);
    if (cgroup != names.cgroups.end() && !cgroup->second.empty())
        return cgroup->second;
    const auto process = names.processes.find({owner.tgid, owner.start_ns});
    return process == names.processes.end() ? "" : process->second.cgroup;
}

} // namespace culprit
