// SPDX-License-Identifier: MIT
// culprit as a child process: started with arguments, its output read while it runs, its end
// awaited with a deadline.
#pragma once

#include <cap-ng.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <sstream>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "kernel/features.h"
#include "support/process.h"
#include "support/skip.h"

namespace culprit::test {

using Json = nlohmann::json;

class Culprit {
public:
    using Arguments = std::vector<std::string>;

    /// As another user it has no capabilities but those given.
    explicit Culprit(const Arguments& arguments, uid_t uid = 0,
                     const std::vector<unsigned>& capabilities = {})
        : x_out(file("out")), x_err(file("err")) {
        const char* path = std::getenv("CULPRIT_BINARY");
        if (!path)
            skip("CULPRIT_BINARY does not say which program to test");
        // opened here: another user may not be able to walk to it
        const UniqueFd binary(::open(path, O_RDONLY | O_CLOEXEC));
        must(bool(binary), path);
        x_child = std::make_unique<Child>("", "culprit", [&](const Tell&) {
            ::dup2(x_out.get(), STDOUT_FILENO);
            ::dup2(x_err.get(), STDERR_FILENO);
            must(uid == 0 || become(uid, capabilities), "become another user");
            std::vector<char*> argv = {const_cast<char*>("culprit")};
            for (const std::string& argument : arguments)
                argv.push_back(const_cast<char*>(argument.c_str()));
            argv.push_back(nullptr);
            ::fexecve(binary.get(), argv.data(), environ);
            return 126;
        });
    }

    pid_t pid() const { return x_child->pid(); }
    std::string out() const { return content(x_out); }
    std::string err() const { return content(x_err); }

    /// Attached, and waiting for records: what happens from now on is in its output. Needs --debug.
    void wait_until_watching() const {
        const bool watching = eventually(
            [&] { return err().find("attached after") != std::string::npos && waits(); });
        if (!watching)
            throw std::runtime_error("culprit does not watch: " + err() + out());
    }

    int wait(double seconds = kDeadlineSeconds) { return x_child->wait(seconds); }

    /// Asks it to stop, as Ctrl-C does; its exit status.
    int stop() {
        ::kill(pid(), SIGINT);
        return wait();
    }

    /// All complete lines so far that are JSON objects.
    std::vector<Json> lines() const {
        std::vector<Json> out_lines;
        std::string text = out();
        text.resize(text.rfind('\n') + 1);
        std::istringstream stream(text);
        for (std::string line; std::getline(stream, line);)
            out_lines.push_back(Json::parse(line));
        return out_lines;
    }

    template <typename Wanted>
    std::vector<Json> events(const Wanted& wanted) const {
        std::vector<Json> found;
        for (Json& line : lines())
            if (line["kind"] != "summary" && wanted(line))
                found.push_back(std::move(line));
        return found;
    }

    /// Waits until there are that many events; throws with the whole output when they do not come.
    template <typename Wanted>
    std::vector<Json> await(const Wanted& wanted, std::size_t count = 1) const {
        std::vector<Json> found;
        if (!eventually([&] { return (found = events(wanted)).size() >= count; }))
            throw std::runtime_error(fmt::format("{} of {} events came; all there is:\n{}{}",
                                                 found.size(), count, out().substr(0, 4000),
                                                 err().substr(0, 2000)));
        return found;
    }

private:
    static bool become(uid_t uid, const std::vector<unsigned>& capabilities) {
        constexpr auto kSets = static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED |
                                                         CAPNG_INHERITABLE | CAPNG_AMBIENT);
        capng_clear(CAPNG_SELECT_ALL);
        for (const unsigned capability : capabilities)
            capng_update(CAPNG_ADD, kSets, capability);
        return ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 && ::setgid(uid) == 0 &&
               ::setuid(uid) == 0 && capng_apply(CAPNG_SELECT_CAPS) == 0 &&
               capng_apply(CAPNG_SELECT_AMBIENT) == 0;
    }

    static UniqueFd file(const char* name) {
        UniqueFd fd(::memfd_create(name, MFD_CLOEXEC));
        must(bool(fd), "make a file in memory");
        return fd;
    }

    static std::string content(const UniqueFd& fd) {
        struct stat st {};
        must(::fstat(fd.get(), &st) == 0, "ask for a file's size");
        std::string text(static_cast<std::size_t>(st.st_size), '\0');
        const ssize_t got = ::pread(fd.get(), text.data(), text.size(), 0);
        text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
        return text;
    }

    bool waits() const {
        const auto syscall = read_file(fmt::format("/proc/{}/syscall", pid())).value_or("");
        for (const long number : {
#ifdef SYS_epoll_wait
                 SYS_epoll_wait,
#endif
                 SYS_epoll_pwait})
            if (syscall.starts_with(fmt::format("{} ", number)))
                return true;
        return false;
    }

    UniqueFd x_out, x_err;
    std::unique_ptr<Child> x_child;
};

inline Culprit watch(Culprit::Arguments arguments) {
    arguments.insert(arguments.begin(), {"watch", "--output", "json", "--debug"});
    return Culprit(arguments);
}

inline Culprit diagnose(Culprit::Arguments arguments) {
    arguments.insert(arguments.begin(), {"diagnose", "--output", "json", "--debug"});
    return Culprit(arguments);
}

/// Events of one kind.
inline auto is(const std::string& kind) {
    return [=](const Json& event) { return event["kind"] == kind; };
}

/// The first record of one kind as each of two namespaces shows it.
class BothEnds {
public:
    template <typename Namespaces>
    BothEnds(const std::string& kind, const Namespaces& ns)
        : x_kind(kind), x_a(watch({kind, "--netns", ns.a.netns()})),
          x_b(watch({kind, "--netns", ns.b.netns()})) {
        x_a.wait_until_watching();
        x_b.wait_until_watching();
    }
    Json a() const { return x_a.await(is(x_kind)).at(0); }
    Json b() const { return x_b.await(is(x_kind)).at(0); }

private:
    std::string x_kind;
    Culprit x_a, x_b;
};

/// "1.2.3.4:80" or "[::1]:80", as events have it.
inline std::string end_text(const std::string& host, std::uint16_t port) {
    return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                               : fmt::format("[{}]:{}", host, port);
}

} // namespace culprit::test
