// SPDX-License-Identifier: MIT
// Is a PID trusted only together with its start, and is nothing of a newcomer taken for the process
// that is gone? A made-up /proc tells.
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "kernel/process.h"
#include "support/catch.h"

using namespace culprit;

namespace {

constexpr std::uint64_t kTickNs = 10'000'000; // USER_HZ is 100 on every architecture we build for

/// A /proc with one process, 42, that started at tick 12345.
class FakeProc {
public:
    FakeProc() {
        char pattern[] = "/tmp/culprit-proc-XXXXXX";
        if (!::mkdtemp(pattern))
            throw std::runtime_error("no folder in /tmp");
        x_folder = pattern;
        std::filesystem::create_directory(x_folder / "42");
        write("comm", "python3\n");
        write("cmdline", std::string("python3\0-m\0http.server\0", 23));
        write("cgroup", "0::/system.slice/web.service\n");
        stat("python3", 'S', 1, 12345);
        exe("/usr/bin/python3.11");
    }
    FakeProc(const FakeProc&) = delete;
    FakeProc& operator=(const FakeProc&) = delete;
    ~FakeProc() {
        std::error_code ignored;
        std::filesystem::remove_all(x_folder, ignored);
    }

    void write(const char* name, const std::string& content) const {
        std::ofstream(x_folder / "42" / name, std::ios::binary) << content;
    }
    void stat(const std::string& comm, char state, int threads, std::uint64_t start) const {
        write("stat", fmt::format("42 ({}) {} 1 42 42 0 -1 4194560 178 0 0 0 0 0 0 0 20 0 {} 0 {} "
                                  "5505024 512 18446744073709551615 1 1 0 0 0 0 0 0\n",
                                  comm, state, threads, start));
    }
    void exe(const std::string& target) const {
        std::filesystem::remove(x_folder / "42" / "exe");
        std::filesystem::create_symlink(target, x_folder / "42" / "exe");
    }
    void remove(const char* name) const { std::filesystem::remove(x_folder / "42" / name); }

    std::optional<Process> read(std::uint32_t tgid = 42,
                                std::uint64_t start_ns = 12345 * kTickNs) const {
        return read_process(x_folder, {tgid, start_ns});
    }

private:
    std::filesystem::path x_folder;
};

const Process kGone{.exited = true};

} // namespace

TEST_CASE("a process has name, program, command line and cgroup", "[process_test]") {
    const Process wanted{"python3", "/usr/bin/python3.11", "python3 -m http.server",
                         "/system.slice/web.service", false};
    CHECK(FakeProc().read() == wanted);
}

TEST_CASE("the start is compared in whole clock ticks", "[process_test]") {
    const FakeProc proc;
    CHECK_FALSE(proc.read(42, 12345 * kTickNs + kTickNs - 1)->exited);
    CHECK(proc.read(42, 12346 * kTickNs) == kGone);
    CHECK(proc.read(42, 12345 * kTickNs - 1) == kGone);
}

TEST_CASE("of a PID that is another's by now nothing is taken", "[process_test]") {
    const FakeProc proc;
    proc.stat("python3", 'S', 1, 99999);
    CHECK(proc.read() == kGone);
}

TEST_CASE("a process that is gone has exited", "[process_test]") {
    CHECK(FakeProc().read(43) == kGone);
    const FakeProc proc;
    proc.remove("stat");
    CHECK(proc.read() == kGone);
}

TEST_CASE("a start that is not known is no identity", "[process_test]") {
    CHECK_FALSE(FakeProc().read(42, 0));
    CHECK_FALSE(FakeProc().read(0));
    CHECK_FALSE(FakeProc().read(43, 0));
}

TEST_CASE("a name made to look like the end of itself is harmless", "[process_test]") {
    const FakeProc proc;
    for (const char* hostile : {"x) R 1 (", ") Z 1 1 1", "))))", "a) S 0 0 0 0 0 0"}) {
        CAPTURE(hostile);
        proc.stat(hostile, 'S', 1, 12345);
        proc.write("comm", hostile + std::string("\n"));
        const auto process = proc.read();
        REQUIRE(process);
        CHECK_FALSE(process->exited);
        CHECK(process->comm == hostile);
    }
}

TEST_CASE("a zombie has exited, unless other threads of it go on", "[process_test]") {
    const FakeProc proc;
    proc.stat("python3", 'Z', 1, 12345);
    CHECK(proc.read() == kGone);
    proc.stat("python3", 'Z', 2, 12345);
    CHECK_FALSE(proc.read()->exited);
}

TEST_CASE("a damaged stat is no answer", "[process_test]") {
    const FakeProc proc;
    for (const char* text : {"", "42", "42 (a", "42 (a)", "42 (a) S 1 2 3", "42 (a) S x y z\n",
                             "42 (a) SS 1 42 42 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 12345 5"}) {
        CAPTURE(text);
        proc.write("stat", text);
        CHECK_FALSE(proc.read());
    }
}

TEST_CASE("a replaced program file keeps its path", "[process_test]") {
    const FakeProc proc;
    proc.exe("/usr/sbin/nginx (deleted)");
    CHECK(proc.read()->exe == "/usr/sbin/nginx");
}

TEST_CASE("a kernel thread has neither program nor command line", "[process_test]") {
    const FakeProc proc;
    proc.remove("exe");
    proc.write("cmdline", "");
    proc.write("cgroup", "0::/\n");
    CHECK(proc.read() == Process{.comm = "python3", .cgroup = "/"});
}

TEST_CASE("long command lines and paths are cut", "[process_test]") {
    const FakeProc proc;
    proc.write("cmdline", std::string(5000, 'a'));
    proc.write("cgroup", "0::/" + std::string(5000, 'b') + '\n');
    const auto process = proc.read();
    REQUIRE(process);
    CHECK(process->cmdline == std::string(kCmdlineMax, 'a'));
    CHECK(process->cgroup.size() == kPathMax);
}

TEST_CASE("what was known of a process stays when it exits", "[process_test]") {
    Process known{.comm = "sh", .exe = "/bin/sh"};
    update(known, {.comm = "curl", .exe = "/usr/bin/curl"});
    CHECK(known.comm == "curl");
    update(known, kGone);
    CHECK(known == Process{.comm = "curl", .exe = "/usr/bin/curl", .exited = true});
}

TEST_CASE("this process finds itself", "[process_test]") {
    std::ifstream file("/proc/self/stat");
    const std::string stat((std::istreambuf_iterator<char>(file)), {});
    std::istringstream fields(stat.substr(stat.rfind(')') + 2));
    std::string field;
    for (int i = 3; i <= 22; i++)
        fields >> field;
    const auto self = read_process(
        "/proc", {static_cast<std::uint32_t>(::getpid()), std::stoull(field) * kTickNs});
    REQUIRE(self);
    CHECK_FALSE(self->exited);
    CHECK(self->exe == std::filesystem::read_symlink("/proc/self/exe"));
}
