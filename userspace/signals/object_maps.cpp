// SPDX-License-Identifier: MIT
// Walks, writes and iterates by libbpf; errors are the map's absence.
#include "signals/object_maps.h"

#include <bpf/bpf.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "abi/drop.h"
#include "signals/iterator.h"

namespace culprit {

namespace {

std::size_t possible_cpus() {
    return static_cast<std::size_t>(std::max(libbpf_num_possible_cpus(), 1));
}

std::size_t stride_of(const bpf_map* map) {
    return (bpf_map__value_size(map) + 7) / 8 * 8;
}

/// An array that may be mapped: read where it is, without a call to the kernel for each element.
bool each_in_place(const bpf_map* map, std::size_t stride, const MapReader::Each& each) {
    const std::uint32_t entries = bpf_map__max_entries(map);
    const std::size_t size = entries * stride;
    void* mapped = mmap(nullptr, size, PROT_READ, MAP_SHARED, bpf_map__fd(map), 0);
    if (mapped == MAP_FAILED)
        return false;
    const std::byte* values = static_cast<const std::byte*>(mapped);
    for (std::uint32_t key = 0; key < entries; key++)
        each(&key, values + key * stride, 1, stride);
    munmap(mapped, size);
    return true;
}

} // namespace

bool ObjectMaps::each(const char* name, const Each& each) const {
    const bpf_map* map = bpf_object__find_map_by_name(x_object, name);
    if (!map)
        return false;
    if (bpf_map__map_flags(map) & BPF_F_MMAPABLE)
        return each_in_place(map, stride_of(map), each);
    const bpf_map_type type = bpf_map__type(map);
    const bool percpu = type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY;
    const std::size_t cpus = percpu ? possible_cpus() : 1;
    const std::size_t stride = stride_of(map);
    std::vector<std::byte> key(bpf_map__key_size(map)), next(key.size()), values(cpus * stride);
    const int fd = bpf_map__fd(map);
    // a key that is deleted under the walk restarts it: bounded by twice the map's size
    std::size_t left = 2UL * bpf_map__max_entries(map);
    int error = bpf_map_get_next_key(fd, nullptr, next.data());
    while (error == 0 && left--) {
        key = next;
        if (bpf_map_lookup_elem(fd, key.data(), values.data()) == 0)
            each(key.data(), values.data(), cpus, stride);
        error = bpf_map_get_next_key(fd, key.data(), next.data());
    }
    return true;
}

bool ObjectMaps::put(const char* name, const void* key, const void* value) const {
    const bpf_map* map = bpf_object__find_map_by_name(x_object, name);
    return map && bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY) == 0;
}

bool ObjectMaps::erase(const char* name, const void* key) const {
    const bpf_map* map = bpf_object__find_map_by_name(x_object, name);
    return map && bpf_map_delete_elem(bpf_map__fd(map), key) == 0;
}

bool ObjectMaps::run(const char* program, const char* map, const RecordSink& written) const {
    const bpf_program* found = bpf_object__find_program_by_name(x_object, program);
    const bpf_map* over = bpf_object__find_map_by_name(x_object, map);
    if (!found || bpf_program__fd(found) < 0 || !over)
        return false;
    const auto link = attach_iterator(found, over);
    const auto all = link ? read_iterator(link->get()) : std::unexpected(link.error());
    if (all)
        written(*all);
    return all.has_value();
}

void size_maps(bpf_object* object, bool iterators_only) {
    using Room = std::pair<const char*, std::uint32_t>;
    const Room alone[] = {{"owners", 65536}};
    const Room with_hooks[] = {{"held", 1},
                               {"holders", 1},
                               {"drops", static_cast<std::uint32_t>(DROP_SLOTS * possible_cpus())}};
    for (const auto& [name, entries] : iterators_only ? std::span<const Room>(alone) : with_hooks)
        if (bpf_map* map = bpf_object__find_map_by_name(object, name))
            bpf_map__set_max_entries(map, entries);
}

void add_costs(bpf_object* object, std::vector<ProgramCost>& costs) {
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, object) {
        bpf_prog_info info{};
        __u32 size = sizeof(info);
        if (bpf_program__fd(program) < 0 ||
            bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size))
            continue;
        costs.push_back({bpf_program__name(program), info.run_cnt, info.run_time_ns});
    }
}

} // namespace culprit
