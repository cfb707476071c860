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

} // namespace culprit::test
