// SPDX-License-Identifier: MIT
// What a process that watches has given up; each case in a child, because there is no way back.
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <functional>

#include <fmt/format.h>

#include "kernel/confinement.h"
#include "kernel/features.h"
#include "support/catch.h"

namespace culprit {

namespace {

/// What a confined child returns.
int confined(const std::function<int()>& work) {
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0)
        _exit(confine() ? work() : 255);
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    return WEXITSTATUS(status);
}

int bpf_error(bpf_cmd command) {
    union bpf_attr attributes {};
    return syscall(SYS_bpf, command, &attributes, sizeof(attributes)) < 0 ? errno : 0;
}

} // namespace

TEST_CASE("a confined process starts and signals no other", "[confinement_test]") {
    CHECK(confined([] {
              char program[] = "/bin/true";
              char* arguments[] = {program, nullptr};
              char* environment[] = {nullptr};
              execve(program, arguments, environment);
              return errno;
          }) == EPERM);
    CHECK(confined([] { return kill(getpid(), 0) ? errno : 0; }) == EPERM);
}

TEST_CASE("a confined process loads no programs and makes no maps", "[confinement_test]") {
    CHECK(confined([] { return bpf_error(BPF_PROG_LOAD); }) == EPERM);
    CHECK(confined([] { return bpf_error(BPF_MAP_CREATE); }) == EPERM);
    CHECK(confined([] {
              // no such link, said by the kernel; without rights it says EPERM as the filter does
              return geteuid() == 0 && bpf_error(BPF_ITER_CREATE) == EPERM ? 1 : 0;
          }) == 0);
}

TEST_CASE("a confined process has the capabilities that watching needs at most",
          "[confinement_test]") {
    CHECK(confined([] {
              std::uint64_t allowed = 0;
              for (const Capability& kept : kept_capabilities())
                  allowed |= 1ULL << kept.number;
              const std::string status = read_file("/proc/self/status").value_or("");
              const auto field = [&](const char* label) {
                  const std::size_t at = status.find(label);
                  return at == std::string::npos ? ~0ULL
                                                 : std::stoull(status.substr(at + 8), nullptr, 16);
              };
              const bool fine = !(field("CapEff:") & ~allowed) && !(field("CapPrm:") & ~allowed) &&
                                status.find("NoNewPrivs:\t1") != std::string::npos &&
                                status.find("Seccomp:\t2") != std::string::npos;
              return fine ? 0 : 1;
          }) == 0);
}

} // namespace culprit
