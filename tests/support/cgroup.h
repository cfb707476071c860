// SPDX-License-Identifier: MIT
// A cgroup of the tests' own, with the name that docker gives to a container's, and removed at the
// end.
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <random>

#include <fmt/format.h>

#include "support/process.h"
#include "support/skip.h"

namespace culprit::test {

/// Make it before the processes that join it: a cgroup with processes in it cannot be removed.
class ContainerCgroup {
public:
    ContainerCgroup() {
        std::random_device random;
        for (int i = 0; i < 8; i++)
            x_id += fmt::format("{:08x}", random());
        x_outer = mount() / ("culprit-test-" + x_id.substr(0, 8));
        if (::mkdir(x_outer.c_str(), 0755) != 0 || ::mkdir(folder().c_str(), 0755) != 0)
            skip("no cgroup can be made below " + mount().string() + ": " + std::strerror(errno));
    }
    ContainerCgroup(const ContainerCgroup&) = delete;
    ContainerCgroup& operator=(const ContainerCgroup&) = delete;
    ~ContainerCgroup() {
        for (const std::filesystem::path& path : {folder(), x_outer})
            eventually([&] { return ::rmdir(path.c_str()) == 0 || errno != EBUSY; });
    }

    std::string container() const { return "docker://" + x_id; }
    /// Below the mount.
    std::string path() const { return "/" + folder().lexically_relative(mount()).string(); }
    std::string file_path() const { return folder().string(); }
    std::uint64_t id() const {
        struct stat st {};
        must(::stat(folder().c_str(), &st) == 0, "stat the cgroup");
        return st.st_ino;
    }

    /// Moves the calling process into it, or into the one above it.
    void join() const { enter(folder()); }
    void join_outer() const { enter(x_outer); }

private:
    static std::filesystem::path mount() {
        for (const char* path : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"})
            if (std::filesystem::exists(path + std::string("/cgroup.controllers")))
                return path;
        skip("cgroup v2 is mounted neither at /sys/fs/cgroup nor below it at unified");
    }
    static void enter(const std::filesystem::path& cgroup) {
        std::ofstream file(cgroup / "cgroup.procs");
        must(bool(file << "0" << std::flush), "join the cgroup");
    }
    std::filesystem::path folder() const { return x_outer / ("docker-" + x_id + ".scope"); }

    std::string x_id;
    std::filesystem::path x_outer;
};

/// A cgroup that may use only part of the CPU time, of whichever version has the controller.
class CpuCgroup {
public:
    CpuCgroup(std::uint64_t quota_us, std::uint64_t period_us) {
        const bool v1 = ::access("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", W_OK) == 0 ||
                        ::access("/sys/fs/cgroup/cpu/cpu.shares", W_OK) == 0;
        x_folder = fmt::format("/sys/fs/cgroup/{}culprit-test-{:08x}", v1 ? "cpu/" : "",
                               std::random_device()());
        if (::mkdir(x_folder.c_str(), 0755) != 0)
            skip("no cgroup can be made at " + x_folder + ": " + std::strerror(errno));
        const bool limited = v1 ? put("cpu.cfs_period_us", std::to_string(period_us)) &&
                                      put("cpu.cfs_quota_us", std::to_string(quota_us))
                                : put("cpu.max", fmt::format("{} {}", quota_us, period_us));
        // a busy machine must not be what it waits for
        put(v1 ? "cpu.shares" : "cpu.weight", v1 ? "262144" : "10000");
        if (!limited) {
            ::rmdir(x_folder.c_str());
            skip("no CPU quota can be set at " + x_folder);
        }
    }
    CpuCgroup(const CpuCgroup&) = delete;
    CpuCgroup& operator=(const CpuCgroup&) = delete;
    ~CpuCgroup() {
        eventually([&] { return ::rmdir(x_folder.c_str()) == 0 || errno != EBUSY; });
    }

    const std::string& folder() const { return x_folder; }
    /// Moves the calling process into it.
    void join() const { must(put("cgroup.procs", "0"), "join the cgroup"); }

private:
    bool put(const std::string& name, const std::string& value) const {
        std::ofstream file(x_folder + "/" + name);
        return bool(file << value << std::flush);
    }

    std::string x_folder;
};

} // namespace culprit::test
