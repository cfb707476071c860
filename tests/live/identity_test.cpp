// SPDX-License-Identifier: MIT
// Does culprit say who a process is: program, container, its name after exec, and that it is gone?
#include <filesystem>

#include "kernel/cgroup.h"
#include "kernel/names_live.h"
#include "support/catch.h"
#include "support/cgroup.h"
#include "support/run.h"
#include "support/traffic.h"

using namespace culprit;
using namespace culprit::test;

namespace {

std::string own_program() {
    return std::filesystem::read_symlink("/proc/self/exe");
}

} // namespace

TEST_CASE("the id of a cgroup gives its path, and none when it is gone", "[identity_test]") {
    need_root();
    const CgroupTree tree;
    std::uint64_t id = 0;
    {
        const ContainerCgroup cgroup;
        id = cgroup.id();
        CHECK(tree.path(id) == cgroup.path());
    }
    CHECK(tree.path(id).empty());
    CHECK(tree.path(0).empty());
    CHECK(tree.path(1) == "/");
}

TEST_CASE("memory does not grow with the number of processes and cgroups", "[identity_test]") {
    need_root();
    LiveNames names{Features{}};
    constexpr std::uint32_t kMany = 10'000, kNoPid = 1 << 23; // PIDs end at 1 << 22
    for (std::uint32_t i = 1; i <= kMany; i++) {
        names.note_process({kNoPid + i, kMany});
        names.note_cgroup(~0ULL - i);
    }
    CHECK(names.all().processes.size() <= 4096);
    CHECK(names.all().cgroups.size() <= 4096);
    CHECK(names.all().processes.at({kNoPid + kMany, kMany}).exited);
    CHECK(names.all().cgroups.at(~0ULL - kMany).empty());
}

TEST_CASE("a process in a container is shown with container and program", "[identity_test]") {
    need_root();
    const ContainerCgroup cgroup;
    const WiredNs ns;
    const Server server(ns.b, "ct-server", Serve::kEcho, ns.b.v4);
    Culprit culprit = watch({"connect", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    Child client(ns.a.path(), "ct-contained", [&](const Tell&) {
        cgroup.join();
        const UniqueFd fd = connect_to(ns.b.v4, server.port());
        ::pause();
        return 0;
    });
    const Json event = culprit.await(is("connect")).at(0);
    CHECK(event["pid"] == client.pid());
    CHECK(event["comm"] == "ct-contained");
    CHECK(event["exe"] == own_program());
    CHECK(event["container"] == cgroup.container());
    CHECK(event["unit"].is_null());
    CHECK(culprit.stop() == 0);
}

TEST_CASE("a process that ended at once still has its container", "[identity_test]") {
    need_root();
    const ContainerCgroup cgroup;
    const WiredNs ns;
    constexpr std::uint16_t kNobody = 9;
    Culprit culprit = watch({"connect", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    Child client(ns.a.path(), "ct-hasty", [&](const Tell&) {
        cgroup.join();
        return try_connect(ns.b.v4, kNobody, 5);
    });
    CHECK(client.wait() == ECONNREFUSED);
    const Json event = culprit.await(is("connect")).at(0);
    CHECK(event["pid"] == client.pid());
    CHECK(event["comm"] == "ct-hasty");
    CHECK(event["container"] == cgroup.container());
    CHECK(culprit.stop() == 0);
}

TEST_CASE("after exec the new name and program are shown", "[identity_test]") {
    const WiredNs ns;
    const Server server(ns.b, "ct-server", Serve::kEcho, ns.b.v4);
    Culprit culprit = watch({"connect", "close", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    const Word word;
    Child client(ns.a.path(), "ct-before", [&](const Tell&) {
        constexpr int kKept = 9; // a shell's redirection knows one digit
        const UniqueFd fd = connect_to(ns.b.v4, server.port());
        word.await();
        // first to where it is not 9 already, which dup2() would leave to be closed by exec
        const UniqueFd elsewhere(::fcntl(fd.get(), F_DUPFD_CLOEXEC, kKept + 1));
        must(::dup2(elsewhere.get(), kKept) == kKept, "keep the socket over exec");
        // names are looked up again after a second; the process must live while it is closed
        ::execl("/bin/sh", "sh", "-c", "sleep 1.2; exec 9>&-; kill -STOP $$", nullptr);
        return 127;
    });
    const Json before = culprit.await(is("connect")).at(0);
    CHECK(before["comm"] == "ct-before");
    CHECK(before["exe"] == own_program());
    word.give();
    const Json after = culprit.await(is("close")).at(0);
    CHECK(after["pid"] == client.pid());
    CHECK(after["comm"] == "sh");
    CHECK(after["exe"] == std::filesystem::canonical("/bin/sh").string());
    CHECK(culprit.stop() == 0);
}

TEST_CASE("a verdict says who the culprit was, and that it is gone", "[identity_test]") {
    need_root();
    const ContainerCgroup cgroup;
    const WiredNs ns;
    constexpr std::uint16_t kNobody = 9;
    Culprit culprit = diagnose({"--for", "5s", "--only", "conn-refused", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    Child client(ns.a.path(), "ct-refused", [&](const Tell&) {
        cgroup.join();
        for (const Deadline end(2); !end.passed(); ::usleep(20'000))
            try_connect(ns.b.v4, kNobody, 1);
        return 0;
    });
    CHECK(client.wait() == 0);
    CHECK(culprit.wait() == 3);
    const Json verdict = Json::parse(culprit.out());
    const Json& who = verdict.at("findings").at(0).at("culprit");
    CHECK(who["pid"] == client.pid());
    CHECK(who["comm"] == "ct-refused");
    CHECK(who["exe"] == own_program());
    CHECK(who["cgroup"] == cgroup.path());
    CHECK(who["container"] == cgroup.container());
    CHECK(who["unit"].is_null());
    CHECK(who["exited"] == true);
    CHECK(who["cmdline"].get<std::string>().find("identity_test") != std::string::npos);
    CHECK(who["started"].get<std::string>() < verdict.at("to").get<std::string>());
    CHECK(who["started"].get<std::string>() > verdict.at("from").get<std::string>());
}
