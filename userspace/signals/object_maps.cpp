// SPDX-License-Identifier: MIT
// Reads and writes whole entries; a per-CPU entry is one value for each possible CPU.
#include "signals/object_maps.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace culprit {

bool ObjectMaps::each(const char* name, const Each& each) const {
    const bpf_map* map = bpf_object__find_map_by_name(x_object, name);
    if (!map)
        return false;
    const bpf_map_type type = bpf_map__type(map);
    const bool percpu = type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY;
    const std::size_t cpus =
        percpu ? static_cast<std::size_t>(std::max(libbpf_num_possible_cpus(), 1)) : 1;
    const std::size_t stride = (bpf_map__value_size(map) + 7) / 8 * 8;
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
    if (!map)
        return false;
    if (bpf_map__type(map) != BPF_MAP_TYPE_PERCPU_HASH)
        return bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY) == 0;
    const std::size_t stride = (bpf_map__value_size(map) + 7) / 8 * 8;
    const auto cpus = static_cast<std::size_t>(std::max(libbpf_num_possible_cpus(), 1));
    std::vector<std::byte> values(cpus * stride);
    for (std::size_t cpu = 0; cpu < cpus; cpu++)
        std::memcpy(values.data() + cpu * stride, value, bpf_map__value_size(map));
    return bpf_map_update_elem(bpf_map__fd(map), key, values.data(), BPF_NOEXIST) == 0;
}

} // namespace culprit
