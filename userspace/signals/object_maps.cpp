// SPDX-License-Identifier: MIT
// Walks, writes and iterates by libbpf; errors are the map's absence.
#include "signals/object_maps.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "util/unique_fd.h"

namespace culprit {

namespace {

std::size_t possible_cpus() {
    return static_cast<std::size_t>(std::max(libbpf_num_possible_cpus(), 1));
}

std::size_t stride_of(const bpf_map* map) {
    return (bpf_map__value_size(map) + 7) / 8 * 8;
}

} // namespace

Result<void> run_iterator(const bpf_program* program, const bpf_map* map,
                          const RecordSink& written) {
    bpf_iter_link_info info{};
    info.map.map_fd = map ? static_cast<__u32>(bpf_map__fd(map)) : 0;
    LIBBPF_OPTS(bpf_iter_attach_opts, options, .link_info = &info, .link_info_len = sizeof(info));
    const Link link(bpf_program__attach_iter(program, map ? &options : nullptr));
    if (!link)
        return std::unexpected(sys_error(errno, "attach the iterator"));
    const UniqueFd fd(bpf_iter_create(bpf_link__fd(link.get())));
    if (!fd)
        return std::unexpected(sys_error(errno, "start the iterator"));
    std::vector<std::byte> all; // in one piece: a read may end inside of what one run wrote
    std::array<std::byte, 32768> part;
    ssize_t got = 0;
    while ((got = ::read(fd.get(), part.data(), part.size())) > 0)
        all.insert(all.end(), part.begin(), part.begin() + got);
    if (got < 0)
        return std::unexpected(sys_error(errno, "read the iterator"));
    written(all);
    return {};
}

bool ObjectMaps::each(const char* name, const Each& each) const {
    const bpf_map* map = bpf_object__find_map_by_name(x_object, name);
    if (!map)
        return false;
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
    if (!map)
        return false;
    if (bpf_map__type(map) != BPF_MAP_TYPE_PERCPU_HASH)
        return bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_ANY) == 0;
    const std::size_t stride = stride_of(map), cpus = possible_cpus();
    std::vector<std::byte> values(cpus * stride);
    for (std::size_t cpu = 0; cpu < cpus; cpu++)
        std::memcpy(values.data() + cpu * stride, value, bpf_map__value_size(map));
    return bpf_map_update_elem(bpf_map__fd(map), key, values.data(), BPF_NOEXIST) == 0;
}

bool ObjectMaps::erase(const char* name, const void* key) const {
    const bpf_map* map = bpf_object__find_map_by_name(x_object, name);
    return map && bpf_map_delete_elem(bpf_map__fd(map), key) == 0;
}

bool ObjectMaps::run(const char* program, const char* map, const RecordSink& written) const {
    const bpf_program* found = bpf_object__find_program_by_name(x_object, program);
    const bpf_map* over = bpf_object__find_map_by_name(x_object, map);
    return found && bpf_program__fd(found) >= 0 && over &&
           run_iterator(found, over, written).has_value();
}

} // namespace culprit
