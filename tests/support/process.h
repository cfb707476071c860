// SPDX-License-Identifier: MIT
// Forked processes of the tests, and waiting for something with a deadline.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>

#include "util/unique_fd.h"

namespace culprit::test {

/// A live test runs with a culprit that may be slow to start under sanitizers.
inline constexpr double kDeadlineSeconds = 20;

[[noreturn]] inline void broken(const std::string& doing, int error = errno) {
    throw std::runtime_error(doing + ": " + std::strerror(error));
}

inline void must(bool good, const std::string& doing) {
    if (!good)
        broken(doing);
}

class Deadline {
public:
    explicit Deadline(double seconds)
        : x_end(Clock::now() + std::chrono::duration<double>(seconds)) {}
    bool passed() const { return Clock::now() >= x_end; }
    int left_ms() const {
        const std::chrono::duration<double, std::milli> left = x_end - Clock::now();
        return left.count() > 0 ? static_cast<int>(left.count()) + 1 : 0;
    }

private:
    using Clock = std::chrono::steady_clock;
    std::chrono::time_point<Clock, std::chrono::duration<double>> x_end;
};

/// Asks again and again; false when it never came true.
template <typename Condition>
bool eventually(const Condition& condition, double seconds = kDeadlineSeconds) {
    constexpr int kPollMs = 10;
    for (const Deadline deadline(seconds); !condition();) {
        if (deadline.passed())
            return false;
        ::poll(nullptr, 0, kPollMs);
    }
    return true;
}

/// A child's way to send its parent numbers.
class Tell {
public:
    explicit Tell(int fd) : x_fd(fd) {}
    void operator()(std::uint64_t number) const {
        must(::write(x_fd, &number, sizeof(number)) == sizeof(number), "tell the parent");
    }

private:
    int x_fd;
};

/// What a child waits for until the test gives it, once.
class Word {
public:
    Word() {
        int ends[2];
        must(::pipe2(ends, O_CLOEXEC) == 0, "make a pipe");
        x_from = UniqueFd(ends[0]);
        x_to = UniqueFd(ends[1]);
    }
    void await() const {
        char byte = 0;
        must(::read(x_from.get(), &byte, 1) == 1, "wait for the word");
    }
    void give() const { must(::write(x_to.get(), "g", 1) == 1, "give the word"); }

private:
    UniqueFd x_from, x_to;
};

/// A forked process with a name of its own, in the network namespace of netns_path ("" is ours).
/// Killed and reaped at the end, also when this process dies first.
class Child {
public:
    using Work = std::function<int(const Tell&)>;

    Child(const std::string& netns_path, const std::string& comm, const Work& work) {
        int ends[2];
        must(::pipe2(ends, O_CLOEXEC) == 0, "make a pipe");
        x_told = UniqueFd(ends[0]);
        const UniqueFd told(ends[1]);
        const UniqueFd netns(netns_path.empty() ? -1
                                                : ::open(netns_path.c_str(), O_RDONLY | O_CLOEXEC));
        std::fflush(nullptr);
        x_pid = ::fork();
        must(x_pid >= 0, "fork");
        if (x_pid == 0)
            run(netns.get(), comm, work, told.get());
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child() {
        if (x_reaped)
            return;
        ::kill(x_pid, SIGKILL);
        ::waitpid(x_pid, nullptr, 0);
    }

    pid_t pid() const { return x_pid; }

    /// The next number the child tells.
    std::uint64_t number() const {
        std::uint64_t number = 0;
        pollfd ready{x_told.get(), POLLIN, 0};
        const bool told = ::poll(&ready, 1, static_cast<int>(kDeadlineSeconds * 1000)) == 1 &&
                          ::read(x_told.get(), &number, sizeof(number)) == sizeof(number);
        if (!told)
            throw std::runtime_error("a child ended without telling");
        return number;
    }

    /// Exit status; throws when the child is still busy after that time.
    int wait(double seconds = kDeadlineSeconds) {
        int status = 0;
        if (!x_reaped &&
            !eventually([&] { return ::waitpid(x_pid, &status, WNOHANG) == x_pid; }, seconds))
            throw std::runtime_error("a child did not end in time");
        x_status = x_reaped ? x_status : status;
        x_reaped = true;
        return WIFEXITED(x_status) ? WEXITSTATUS(x_status) : 128 + WTERMSIG(x_status);
    }

private:
    [[noreturn]] static void run(int netns, const std::string& comm, const Work& work, int told) {
        constexpr int kBroken = 99;
        for (const int number : {SIGINT, SIGTERM})
            ::signal(number, SIG_DFL);
        ::signal(SIGPIPE, SIG_IGN);
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::prctl(PR_SET_NAME, comm.c_str());
        try {
            must(netns < 0 || ::setns(netns, CLONE_NEWNET) == 0, "enter the network namespace");
            ::_exit(work(Tell(told)));
        } catch (const std::exception& e) {
            std::fprintf(stderr, "child %s: %s\n", comm.c_str(), e.what());
            ::_exit(kBroken);
        }
    }

    UniqueFd x_told;
    pid_t x_pid = -1;
    int x_status = 0;
    bool x_reaped = false;
};

} // namespace culprit::test
