// SPDX-License-Identifier: MIT
// CPU quotas as cgroup v1 and v2 show them, below a root that the test makes.
#include "kernel/cpu_quota.h"

#include <filesystem>
#include <fstream>

#include "support/catch.h"

using namespace culprit;

namespace {

class FakeRoot {
public:
    FakeRoot() {
        std::string pattern = (std::filesystem::temp_directory_path() / "culprit-root-").string() +
                              std::string(6, 'X');
        REQUIRE(::mkdtemp(pattern.data()));
        x_path = pattern;
    }
    FakeRoot(const FakeRoot&) = delete;
    FakeRoot& operator=(const FakeRoot&) = delete;
    ~FakeRoot() {
        std::error_code ignored;
        std::filesystem::remove_all(x_path, ignored);
    }
    void put(const std::string& file, const std::string& text) const {
        std::filesystem::create_directories((x_path + file).substr(0, (x_path + file).rfind('/')));
        std::ofstream(x_path + file) << text;
    }
    const std::string& path() const { return x_path; }

private:
    std::string x_path;
};

} // namespace

TEST_CASE("a v2 quota of a cgroup above the process is found", "[cpu_quota_test]") {
    const FakeRoot root;
    root.put("/proc/self/mountinfo",
             "24 1 0:1 / /proc rw - proc proc rw\n"
             "30 24 0:26 / /cg rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n");
    root.put("/cg/cgroup.controllers", "cpuset cpu io\n");
    root.put("/proc/42/cgroup", "0::/web.slice/shop.service\n");
    root.put("/cg/web.slice/cpu.max", "50000 100000\n");
    root.put("/cg/web.slice/cpu.stat",
             "usage_usec 7\nnr_periods 20\nnr_throttled 15\nthrottled_usec 300\n");
    root.put("/cg/web.slice/shop.service/cpu.max", "max 100000\n");
    root.put("/cg/web.slice/shop.service/cpu.stat", "usage_usec 7\n");
    const CpuQuotas quotas(root.path());
    CHECK(quotas.version() == 2);
    const auto folders = quotas.folders_of(42);
    REQUIRE(folders.size() == 2);
    CHECK(folders[1] == root.path() + "/cg/web.slice");
    CpuQuota quota;
    CHECK_FALSE(quotas.read(folders[0], quota));
    REQUIRE(quotas.read(folders[1], quota));
    CHECK(quota.quota_us == 50000);
    CHECK(quota.period_us == 100000);
    CHECK(quota.periods == 20);
    CHECK(quota.throttled == 15);
    CHECK(quota.throttled_ns == 300'000);
}

TEST_CASE("a v1 quota is found beside other controllers", "[cpu_quota_test]") {
    const FakeRoot root;
    root.put("/proc/self/mountinfo", "30 24 0:26 / /cpuset rw - cgroup cgroup rw,cpuset\n"
                                     "31 24 0:27 / /cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
                                     "32 24 0:28 / /unified rw - cgroup2 cgroup2 rw\n");
    root.put("/unified/cgroup.controllers", "\n");
    root.put("/proc/42/cgroup", "3:cpuset:/a\n4:cpu,cpuacct:/docker/b\n0::/c\n");
    root.put("/cpu/docker/b/cpu.cfs_quota_us", "20000\n");
    root.put("/cpu/docker/b/cpu.cfs_period_us", "100000\n");
    root.put("/cpu/docker/b/cpu.stat", "nr_periods 8\nnr_throttled 2\nthrottled_time 77\n");
    root.put("/cpu/docker/cpu.cfs_quota_us", "-1\n");
    const CpuQuotas quotas(root.path());
    CHECK(quotas.version() == 1);
    const auto folders = quotas.folders_of(42);
    REQUIRE(folders.size() == 2);
    CpuQuota quota;
    REQUIRE(quotas.read(folders[0], quota));
    CHECK(quota.quota_us == 20000);
    CHECK(quota.throttled == 2);
    CHECK(quota.throttled_ns == 77);
    CHECK_FALSE(quotas.read(folders[1], quota));
}

TEST_CASE("without a CPU controller, process or sense there are no quotas", "[cpu_quota_test]") {
    const FakeRoot root;
    CHECK(CpuQuotas(root.path()).version() == 0);
    CHECK(CpuQuotas(root.path()).folders_of(42).empty());
    root.put("/proc/self/mountinfo", "x\n\n30 24 0:26 /deep /cg rw - cgroup2 cgroup2 rw\n");
    CHECK(CpuQuotas(root.path()).version() == 0);
    CHECK(cpu_cgroup_path("0::/../outside\n", 2).empty());
    CHECK(cpu_cgroup_path("2:cpuset:/a\n", 1).empty());
    CHECK(cpu_cgroup_path("0::/a (deleted)\n", 2) == "/a");
}
