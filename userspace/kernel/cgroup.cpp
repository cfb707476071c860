// SPDX-License-Identifier: MIT
// Container runtimes agree on 64 hexadecimal digits as a container's id and name its cgroup after
// it, with a prefix or a parent folder that tells the runtime.
#include "kernel/cgroup.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstring>

#include "kernel/features.h"
#include "util/text.h"

namespace culprit {

namespace {

constexpr std::size_t kIdDigits = 64;
constexpr std::string_view kScope = ".scope";

struct Runtime {
    std::string_view word;
    std::string_view name;
};

/// Before the id. Those of helpers ("crio-conmon-", "libpod-conmon-") are left out: a helper is no
/// container.
constexpr Runtime kPrefixes[] = {{"docker-", "docker"},      {"cri-containerd-", "containerd"},
                                 {"nerdctl-", "containerd"}, {"crio-", "cri-o"},
                                 {"libpod-", "podman"},      {"libpod-payload-", "podman"}};

/// The folder above one that is named by the id alone.
constexpr Runtime kParents[] = {
    {"docker", "docker"}, {"k8s.io", "containerd"}, {"libpod_parent", "podman"}};

template <typename Table>
std::string_view runtime(const Table& table, std::string_view word) {
    const auto it = std::ranges::find(table, word, &Runtime::word);
    return it == std::end(table) ? std::string_view{} : it->name;
}

/// Calls each(component, the one above it) from the root on.
template <typename Each>
void each_component(std::string_view path, const Each& each) {
    std::string_view above;
    while (!path.empty()) {
        const std::string_view component = take_until(path, '/');
        if (component.empty())
            continue;
        each(component, above);
        above = component;
    }
}

/// "PREFIX-ID.scope", "PREFIX-ID", "ID", and what containerd makes of systemd's notation when it
/// does not use systemd: "SLICE:PREFIX:ID".
std::string container_named(std::string_view component, std::string_view above) {
    if (component.ends_with(kScope))
        component.remove_suffix(kScope.size());
    if (component.size() < kIdDigits)
        return {};
    const std::string_view id = component.substr(component.size() - kIdDigits);
    if (id.find_first_not_of("0123456789abcdef") != std::string_view::npos)
        return {};
    std::string prefix(component.substr(0, component.size() - kIdDigits));
    if (prefix.ends_with(':')) {
        prefix.back() = '-';
        prefix.erase(0, prefix.find(':') + 1);
    }
    std::string_view by = runtime(kPrefixes, prefix);
    if (prefix.empty()) {
        by = runtime(kParents, above);
        by = by.empty() ? "container" : by;
    }
    return by.empty() ? std::string() : std::string(by) + "://" + std::string(id);
}

int rank(std::string_view controllers, std::string_view path) {
    const int line = controllers.empty() ? 0 : controllers == "name=systemd" ? 1 : 2;
    return line + (!container_of(path).empty() ? 0 : path != "/" ? 3 : 6);
}

/// A mount of the whole cgroup v2 tree. Mount points with escaped characters are passed over.
std::string find_cgroup_mount() {
    const std::string all = read_file("/proc/self/mountinfo").value_or("");
    for (std::string_view rest = all; !rest.empty();) {
        std::string_view line = take_until(rest, '\n');
        if (line.find(" - cgroup2 ") == std::string_view::npos)
            continue;
        for (int i = 0; i < 3; i++) // mount id, parent's, device
            take_until(line, ' ');
        const std::string_view root = take_until(line, ' ');
        const std::string_view point = take_until(line, ' ');
        if (root == "/" && point.find('\\') == std::string_view::npos)
            return std::string(point);
    }
    return {};
}

} // namespace

std::string pick_cgroup(std::string_view proc_cgroup) {
    std::string_view best;
    int best_rank = INT_MAX;
    while (!proc_cgroup.empty()) {
        std::string_view path = take_until(proc_cgroup, '\n');
        take_until(path, ':'); // number of the hierarchy
        const std::string_view controllers = take_until(path, ':');
        if (path.ends_with(kDeleted))
            path.remove_suffix(kDeleted.size());
        const int r = rank(controllers, path);
        if (path.empty() || r >= best_rank)
            continue;
        best = path;
        best_rank = r;
    }
    return std::string(best);
}

std::string container_of(std::string_view cgroup) {
    std::string innermost;
    each_component(cgroup, [&](std::string_view component, std::string_view above) {
        std::string container = container_named(component, above);
        if (!container.empty())
            innermost = std::move(container);
    });
    return innermost;
}

std::string unit_of(std::string_view cgroup) {
    static constexpr std::array<std::string_view, 5> kUnits = {".service", kScope, ".socket",
                                                               ".mount", ".swap"};
    std::string innermost;
    each_component(cgroup, [&](std::string_view component, std::string_view above) {
        const bool unit = std::ranges::any_of(
            kUnits, [&](std::string_view type) { return component.ends_with(type); });
        if (unit)
            innermost = container_named(component, above).empty() ? component : "";
    });
    return innermost;
}

CgroupTree::CgroupTree()
    : x_point(find_cgroup_mount()),
      x_mount(::open(x_point.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {}

std::string CgroupTree::path(std::uint64_t id) const {
    constexpr int kKernfsId = 0xfe; // linux/exportfs.h: FILEID_KERNFS
    alignas(file_handle) std::array<std::byte, sizeof(file_handle) + sizeof(id)> bytes{};
    auto* handle = reinterpret_cast<file_handle*>(bytes.data());
    handle->handle_bytes = sizeof(id);
    handle->handle_type = kKernfsId;
    std::memcpy(bytes.data() + sizeof(file_handle), &id, sizeof(id));
    if (!x_mount)
        return {};
    const UniqueFd cgroup(::open_by_handle_at(x_mount.get(), handle, O_PATH | O_CLOEXEC));
    std::array<char, PATH_MAX> target;
    const ssize_t length =
        cgroup ? ::readlink(("/proc/self/fd/" + std::to_string(cgroup.get())).c_str(),
                            target.data(), target.size())
               : -1;
    const std::string_view whole(target.data(), length < 0 ? 0 : static_cast<std::size_t>(length));
    if (!whole.starts_with(x_point))
        return {};
    const std::string_view below = whole.substr(x_point.size());
    return below.empty() ? "/" : std::string(below);
}

} // namespace culprit
