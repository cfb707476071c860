// SPDX-License-Identifier: MIT
// Asks bpf(2) through libbpf.
#include "kernel/bpf_programs.h"

#include <bpf/bpf.h>

#include <array>

#include "util/text.h"
#include "util/unique_fd.h"

namespace culprit {

namespace {

bpf_prog_info info_of(std::uint32_t id) {
    bpf_prog_info info{};
    std::uint32_t size = sizeof(info);
    const UniqueFd program(bpf_prog_get_fd_by_id(id));
    if (!program || bpf_obj_get_info_by_fd(program.get(), &info, &size) != 0)
        return {};
    return info;
}

} // namespace

std::string program_name(std::uint32_t id) {
    return std::string(until_nul(info_of(id).name));
}

std::set<std::uint32_t> cgroup_packet_programs() {
    std::set<std::uint32_t> found;
    std::uint32_t id = 0;
    for (std::size_t i = 0; i < kProgramsMax && bpf_prog_get_next_id(id, &id) == 0; i++)
        if (info_of(id).type == BPF_PROG_TYPE_CGROUP_SKB)
            found.insert(id);
    return found;
}

std::vector<std::uint32_t> attached_programs(int target, int attach_type) {
    std::array<std::uint32_t, 64> ids{}; // more than the kernel lets attach to one place
    auto count = static_cast<std::uint32_t>(ids.size());
    std::uint32_t flags = 0;
    if (bpf_prog_query(target, static_cast<bpf_attach_type>(attach_type), 0, &flags, ids.data(),
                       &count) != 0)
        return {};
    return {ids.begin(), ids.begin() + count};
}

} // namespace culprit
