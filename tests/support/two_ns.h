// SPDX-License-Identifier: MIT
// Two network namespaces joined by a veth pair. A child holds each of them, so nothing is left
// behind when the test dies: the namespaces have no name that could outlive it.
#pragma once

#include <net/if.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <exception>
#include <random>
#include <thread>

#include <fmt/format.h>

#include "kernel/netns.h"
#include "support/process.h"
#include "support/skip.h"

namespace culprit::test {

class Side {
public:
    explicit Side(const std::string& comm)
        : x_holder("", comm, [](const Tell& tell) {
              must(::unshare(CLONE_NEWNET) == 0, "make a network namespace");
              tell(0);
              for (;;)
                  ::pause();
              return 0;
          }) {
        x_holder.number();
        struct stat st {};
        must(::stat(path().c_str(), &st) == 0, "stat the network namespace");
        x_inum = static_cast<std::uint32_t>(st.st_ino);
    }

    pid_t holder() const { return x_holder.pid(); }
    std::uint32_t inum() const { return x_inum; }
    std::string netns() const { return std::to_string(x_inum); }
    std::string path() const { return fmt::format("/proc/{}/ns/net", holder()); }

    /// Runs work on a thread inside the namespace; what it throws is thrown here.
    void in(const std::function<void()>& work) const {
        std::exception_ptr thrown;
        const auto entered = run_in_netns(path(), [&] {
            try {
                work();
            } catch (...) {
                thrown = std::current_exception();
            }
        });
        if (!entered)
            throw std::runtime_error(entered.error().what);
        if (thrown)
            std::rethrow_exception(thrown);
    }

    /// Runs a shell command inside; its exit status. What it prints is not shown.
    int try_shell(const std::string& command) const {
        const std::string quiet = "{ " + command + "; } >/dev/null 2>&1";
        Child child(path(), "shell", [&](const Tell&) {
            ::execl("/bin/sh", "sh", "-c", quiet.c_str(), nullptr);
            return 127;
        });
        return child.wait();
    }
    void shell(const std::string& command) const {
        if (const int status = try_shell(command))
            throw std::runtime_error(fmt::format("'{}' ended with {}", command, status));
    }
    /// What a command prints.
    std::string output(const std::string& command) const {
        const UniqueFd file(::memfd_create("output", 0));
        must(bool(file), "make a file in memory");
        Child child(path(), "shell", [&](const Tell&) {
            ::dup2(file.get(), STDOUT_FILENO);
            ::execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
            return 127;
        });
        if (child.wait() != 0)
            throw std::runtime_error("'" + command + "' failed");
        std::string text(1 << 20, '\0');
        const ssize_t got = ::pread(file.get(), text.data(), text.size(), 0);
        text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
        return text;
    }
    void nft(const std::string& hook, const std::string& rule) const {
        shell(fmt::format(
            "nft 'add table inet t; add chain inet t c {{ type filter hook {} priority 0; }}; "
            "add rule inet t c {}'",
            hook, rule));
    }
    void nft_clear() const { shell("nft delete table inet t"); }

    Counters counters() const {
        const auto read = read_counters({x_inum, "", path(), fmt::format("/proc/{}", holder())});
        if (!read)
            throw std::runtime_error(read.error().what);
        return *read;
    }

    std::string device, v4, v6;

private:
    Child x_holder;
    std::uint32_t x_inum = 0;
};

inline void need_root() {
    if (::geteuid() != 0)
        skip("live tests make network namespaces and load BPF programs: run them as root");
}

/// Sides a and b, each with one device, addresses that no other copy of the tests uses, and fixed
/// neighbours.
class TwoNs {
public:
    enum class Wire { kVeth, kNone };

    explicit TwoNs(Wire wire = Wire::kVeth) : a((need_root(), "side-a")), b("side-b") {
        std::random_device random;
        // 198.18.0.0/15 is for tests of networks (RFC 2544)
        const std::uint32_t pair = 0xc6120000U + ((random() & 0x7fffU) << 2);
        const auto v4 = [&](unsigned last) {
            return fmt::format("198.{}.{}.{}", pair >> 16 & 255, pair >> 8 & 255,
                               (pair & 255) + last);
        };
        const std::string net = fmt::format("fd00:{:x}:{:x}:{:x}::", random() & 0xffff,
                                            random() & 0xffff, random() & 0xffff);
        a.device = "to-b";
        b.device = "to-a";
        a.v4 = v4(1), b.v4 = v4(2);
        a.v6 = net + "1", b.v6 = net + "2";
        if (wire == Wire::kVeth)
            join();
    }

    Side a, b;

private:
    void join() {
        a.shell(fmt::format("ip link add to-b address 02:00:00:00:00:0a type veth "
                            "peer name to-a address 02:00:00:00:00:0b netns {}",
                            b.holder()));
        for (Side* side : {&a, &b}) {
            const Side& peer = side == &a ? b : a;
            side->shell(fmt::format(
                "ip link set lo up && ip link set {0} up && ip addr add {1}/30 dev {0} && "
                "ip addr add {2}/64 dev {0} nodad && ip neigh replace {3} lladdr {5} dev {0} && "
                "ip neigh replace {4} lladdr {5} dev {0}",
                side->device, side->v4, side->v6, peer.v4, peer.v6,
                side == &a ? "02:00:00:00:00:0b" : "02:00:00:00:00:0a"));
        }
    }
};

} // namespace culprit::test
