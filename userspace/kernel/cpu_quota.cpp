// SPDX-License-Identifier: MIT
// A quota binds all that is below its cgroup, so the ones above a process count too.
#include "kernel/cpu_quota.h"

#include <sstream>

#include <fmt/format.h>

#include "kernel/features.h"
#include "util/text.h"

namespace culprit {

namespace {

/// "cpu,cpuacct" has "cpu", "cpuset" has not.
bool has_word(std::string_view words, std::string_view wanted, char between) {
    while (!words.empty())
        if (take_until(words, between) == wanted)
            return true;
    return false;
}

struct Mount {
    std::string point;
    std::string_view type, options;
};

/// "36 35 98:0 / /sys/fs/cgroup rw,noatime shared:1 - cgroup2 cgroup rw". False: not of the whole
/// tree, or its mount point has escaped characters.
bool parse_mount(std::string_view line, Mount& into) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string_view::npos)
        return false;
    std::string_view rest = line.substr(dash + 3);
    into.type = take_until(rest, ' ');
    take_until(rest, ' '); // source
    into.options = rest;
    for (int i = 0; i < 3; i++) // mount id, parent's, device
        take_until(line, ' ');
    const std::string_view root = take_until(line, ' ');
    into.point = take_until(line, ' ');
    return root == "/" && into.point.find('\\') == std::string::npos;
}

std::uint64_t first_number(const std::string& text) {
    std::istringstream words(text);
    std::string word;
    words >> word;
    return to_number(word).value_or(0);
}

void parse_stat(const std::string& text, CpuQuota& into) {
    std::istringstream lines(text);
    std::string name, value;
    while (lines >> name >> value) {
        const std::uint64_t number = to_number(value).value_or(0);
        if (name == "nr_periods")
            into.periods = number;
        else if (name == "nr_throttled")
            into.throttled = number;
        else if (name == "throttled_usec") // v2
            into.throttled_ns = number * 1000;
        else if (name == "throttled_time") // v1
            into.throttled_ns = number;
    }
}

} // namespace

std::string cpu_cgroup_path(std::string_view proc_cgroup, int version) {
    while (!proc_cgroup.empty()) {
        std::string_view path = take_until(proc_cgroup, '\n');
        take_until(path, ':'); // number of the hierarchy
        const std::string_view controllers = take_until(path, ':');
        const bool ours = version == 2 ? controllers.empty() : has_word(controllers, "cpu", ',');
        if (!ours || path.empty())
            continue;
        if (path.ends_with(kDeleted))
            path.remove_suffix(kDeleted.size());
        return path.starts_with("/..") ? std::string() : std::string(path);
    }
    return {};
}

CpuQuotas::CpuQuotas(std::string root) : x_root(std::move(root)) {
    find_mount();
}

void CpuQuotas::find_mount() {
    const std::string all = read_file(x_root + "/proc/self/mountinfo").value_or("");
    for (std::string_view rest = all; !rest.empty() && !x_version;) {
        Mount mount;
        if (!parse_mount(take_until(rest, '\n'), mount))
            continue;
        x_mount = x_root + mount.point;
        if (mount.type == "cgroup" && has_word(mount.options, "cpu", ',')) {
            x_version = 1;
        } else if (mount.type == "cgroup2") {
            std::string has = read_file(x_mount + "/cgroup.controllers").value_or("");
            has.resize(std::min(has.find('\n'), has.size()));
            x_version = has_word(has, "cpu", ' ') ? 2 : 0;
        }
    }
}

std::vector<std::string> CpuQuotas::folders_of(std::uint32_t tgid) const {
    std::vector<std::string> folders;
    if (!x_version)
        return folders;
    std::string path = cpu_cgroup_path(
        read_file(fmt::format("{}/proc/{}/cgroup", x_root, tgid)).value_or(""), x_version);
    while (path.size() > 1) {
        folders.push_back(x_mount + path);
        path.resize(path.rfind('/'));
    }
    return folders;
}

bool CpuQuotas::read(const std::string& folder, CpuQuota& into) const {
    if (x_version == 2) {
        std::istringstream max(read_file(folder + "/cpu.max").value_or(""));
        std::string quota, period;
        max >> quota >> period;
        into.quota_us = to_number(quota).value_or(0); // "max" is no number
        into.period_us = to_number(period).value_or(0);
    } else { // -1 is no number
        into.quota_us = first_number(read_file(folder + "/cpu.cfs_quota_us").value_or(""));
        into.period_us = first_number(read_file(folder + "/cpu.cfs_period_us").value_or(""));
    }
    if (!into.quota_us)
        return false;
    const auto stat = read_file(folder + "/cpu.stat");
    if (stat)
        parse_stat(*stat, into);
    return stat.has_value();
}

} // namespace culprit
