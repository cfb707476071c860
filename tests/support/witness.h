// SPDX-License-Identifier: MIT
// The kernel's own count of how often a tracepoint fired, to hold culprit's count against.
#pragma once

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>

#include <cstdint>
#include <sstream>
#include <string>

#include <fmt/format.h>

#include "support/process.h"

namespace culprit::test {

/// One event of tracefs in a buffer of its own. Not every firing runs the programs attached to it:
/// a program that interrupts itself is not run again, and there are kernels that run none while
/// their process 1 is the interrupted task. The event is recorded there all the same. Where tracefs
/// cannot be had it counts nothing, so nothing is excused.
class Witness {
public:
    /// event as in "tcp/tcp_retransmit_skb"; filter in the language of its filter file, "" for all.
    Witness(const std::string& event, const std::string& filter)
        : x_tracefs(mount()), x_name(fmt::format("instances/culprit-test-{}", ::getpid())),
          x_made(x_tracefs && ::mkdirat(x_tracefs.get(), x_name.c_str(), 0700) == 0) {
        if (!filter.empty())
            write("events/" + event + "/filter", filter);
        write("buffer_size_kb", "4096");
        write("events/" + event + "/enable", "1");
    }
    Witness(const Witness&) = delete;
    Witness& operator=(const Witness&) = delete;
    ~Witness() {
        if (x_made)
            ::unlinkat(x_tracefs.get(), x_name.c_str(), AT_REMOVEDIR);
    }

    /// Firings beyond those a program was seen to run for; none when culprit saw more or all.
    std::uint64_t skipped(std::uint64_t seen) const {
        const std::uint64_t fired = count();
        return fired > seen ? fired - seen : 0;
    }

    std::uint64_t count() const {
        std::uint64_t sum = 0;
        for (int cpu = 0; x_made && cpu < ::get_nprocs_conf(); cpu++) {
            std::istringstream stats(read(fmt::format("per_cpu/cpu{}/stats", cpu)));
            std::string label;
            for (std::uint64_t value = 0; stats >> label >> value; stats.ignore(256, '\n'))
                if (label == "entries:" || label == "overrun:")
                    sum += value;
        }
        return sum;
    }

private:
    /// Mounted nowhere: it goes with its descriptor.
    static UniqueFd mount() {
        const UniqueFd context(static_cast<int>(::syscall(SYS_fsopen, "tracefs", 1 /* CLOEXEC */)));
        if (!context ||
            ::syscall(SYS_fsconfig, context.get(), 6 /* CMD_CREATE */, nullptr, nullptr, 0) != 0)
            return UniqueFd();
        return UniqueFd(static_cast<int>(::syscall(SYS_fsmount, context.get(), 1, 0)));
    }

    UniqueFd open(const std::string& file, int flags) const {
        return UniqueFd(
            ::openat(x_tracefs.get(), (x_name + "/" + file).c_str(), flags | O_CLOEXEC));
    }

    void write(const std::string& file, const std::string& text) const {
        if (!x_made)
            return;
        const UniqueFd fd = open(file, O_WRONLY | O_TRUNC);
        must(fd && ::write(fd.get(), text.data(), text.size()) > 0, "write to tracefs");
    }

    std::string read(const std::string& file) const {
        const UniqueFd fd = open(file, O_RDONLY);
        std::string text(4096, '\0');
        const ssize_t got = ::read(fd.get(), text.data(), text.size());
        text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
        return text;
    }

    UniqueFd x_tracefs;
    std::string x_name;
    bool x_made;
};

} // namespace culprit::test
