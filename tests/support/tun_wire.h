// SPDX-License-Identifier: MIT
// Wires beyond this host's sight: two TUN devices, and a process that carries packets between them,
// forgets some, or keeps them for a while. To the kernel a packet read from a TUN device was
// delivered.
#pragma once

#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include <sys/mman.h>

#include <atomic>
#include <queue>

#include "support/traffic.h"

namespace culprit::test {

/// In the namespace this thread is in; the device goes with the descriptor.
inline UniqueFd open_tun(const std::string& name) {
    UniqueFd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
    ifreq request{};
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    must(fd && ::ioctl(fd.get(), TUNSETIFF, &request) == 0, "make a TUN device");
    return fd;
}

/// Gives both devices addresses, and waits until packets pass.
inline void join_by_tun(const TwoNs& ns) {
    for (const Side* side : {&ns.a, &ns.b})
        side->shell(fmt::format("ip link set lo up && ip link set {0} txqueuelen 20000 up && "
                                "ip addr add {1} peer {2} dev {0}",
                                side->device, side->v4, side == &ns.a ? ns.b.v4 : ns.a.v4));
    const bool answered = eventually([&] {
        int error = 0;
        ns.a.in([&] { error = try_connect(ns.b.v4, 9, 0.5); });
        return error == ECONNREFUSED;
    });
    must(answered, "reach the other namespace");
}

inline bool tun_possible() {
    return ::access("/dev/net/tun", R_OK | W_OK) == 0;
}

/// A packet on the wire.
struct Carried {
    const char* bytes;
    ssize_t size;
    bool from_a;

    /// Of an IPv4 packet with TCP; 0 otherwise.
    unsigned tcp_flags() const {
        constexpr ssize_t kSmallest = 40, kFlags = 13;
        if (size < kSmallest || (bytes[0] & 0xf0) != 0x40 || bytes[9] != IPPROTO_TCP)
            return 0;
        return static_cast<unsigned char>(bytes[(bytes[0] & 0xf) * 4 + kFlags]);
    }
};

class LossyWire {
public:
    using Forgets = std::function<bool(const Carried&)>;

    /// Forgets every n-th packet with data from a to b, and those larger than that.
    LossyWire(const TwoNs& ns, unsigned every, ssize_t largest = 65536)
        : LossyWire(ns, [=, count = 0U](const Carried& packet) mutable {
              constexpr ssize_t kWithData = 200;
              return packet.from_a &&
                     (packet.size > largest || (packet.size > kWithData && ++count % every == 0));
          }) {}

    LossyWire(const TwoNs& ns, const Forgets& forgets)
        : x_carrier(ns.a.path(), "carrier",
                    [&ns, forgets](const Tell& tell) { return carry(tell, ns, forgets); }) {
        x_carrier.number();
        join_by_tun(ns);
    }

    static bool possible() { return tun_possible(); }

private:
    static int carry(const Tell& tell, const TwoNs& ns, const Forgets& forgets) {
        const UniqueFd a = open_tun(ns.a.device);
        const UniqueFd other(::open(ns.b.path().c_str(), O_RDONLY | O_CLOEXEC));
        must(other && ::setns(other.get(), CLONE_NEWNET) == 0, "enter the other namespace");
        const UniqueFd b = open_tun(ns.b.device);
        tell(0);
        std::vector<char> packet(65536);
        pollfd ready[] = {{a.get(), POLLIN, 0}, {b.get(), POLLIN, 0}};
        for (;;) {
            must(::poll(ready, 2, -1) > 0, "wait for packets");
            for (int from = 0; from < 2; from++) {
                if (!(ready[from].revents & POLLIN))
                    continue;
                const ssize_t size = ::read(ready[from].fd, packet.data(), packet.size());
                if (size <= 0 || forgets({packet.data(), size, from == 0}))
                    continue;
                // fails while the other device is not up yet
                [[maybe_unused]] const ssize_t done =
                    ::write(ready[1 - from].fd, packet.data(), static_cast<std::size_t>(size));
            }
        }
    }

    Child x_carrier;
};

/// What a path does to packets; can be changed while it carries them.
struct Path {
    std::atomic<unsigned> delay_us = 0;    // each way
    std::atomic<unsigned> late_every = 0;  // of the packets with data from a to b
    std::atomic<unsigned> late_us = 0;     // that much more for those
    std::atomic<unsigned> twice_every = 0; // likewise: delivered twice
    std::atomic<bool> dead = false;        // nothing passes
};

class PathWire {
public:
    PathWire(const TwoNs& ns, unsigned delay_us)
        : x_path(make_shared(delay_us)),
          x_carrier(ns.a.path(), "carrier",
                    [&ns, path = x_path](const Tell& tell) { return carry(tell, ns, *path); }) {
        x_carrier.number();
        join_by_tun(ns);
    }
    PathWire(const PathWire&) = delete;
    PathWire& operator=(const PathWire&) = delete;
    ~PathWire() { ::munmap(x_path, sizeof(Path)); }

    Path& path() const { return *x_path; }

private:
    using Clock = std::chrono::steady_clock;

    struct Packet {
        Clock::time_point due;
        std::uint64_t number;
        int to;
        std::vector<char> bytes;
        bool operator>(const Packet& o) const {
            return due != o.due ? due > o.due : number > o.number;
        }
    };
    using Queue = std::priority_queue<Packet, std::vector<Packet>, std::greater<>>;

    static Path* make_shared(unsigned delay_us) {
        void* memory = ::mmap(nullptr, sizeof(Path), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        must(memory != MAP_FAILED, "share memory");
        auto* path = new (memory) Path;
        path->delay_us = delay_us;
        return path;
    }

    static void take(const Path& path, Queue& queue, int from, const UniqueFd& fd, int to) {
        constexpr std::size_t kWithData = 200;
        static std::uint64_t number = 0, with_data = 0;
        std::vector<char> bytes(65536);
        const ssize_t size = ::read(fd.get(), bytes.data(), bytes.size());
        if (size <= 0 || path.dead)
            return;
        bytes.resize(static_cast<std::size_t>(size));
        const bool counts = from == 0 && bytes.size() > kWithData;
        with_data += counts;
        const auto is_nth = [&](unsigned every) {
            return counts && every && with_data % every == 0;
        };
        auto due = Clock::now() + std::chrono::microseconds(path.delay_us);
        if (is_nth(path.late_every))
            due += std::chrono::microseconds(path.late_us);
        if (is_nth(path.twice_every))
            queue.push({due, ++number, to, bytes});
        queue.push({due, ++number, to, std::move(bytes)});
    }

    static void deliver(Queue& queue) {
        for (; !queue.empty() && queue.top().due <= Clock::now(); queue.pop()) {
            const Packet& packet = queue.top();
            // fails while the other device is not up yet
            [[maybe_unused]] const ssize_t done =
                ::write(packet.to, packet.bytes.data(), packet.bytes.size());
        }
    }

    static int carry(const Tell& tell, const TwoNs& ns, const Path& path) {
        const UniqueFd a = open_tun(ns.a.device);
        const UniqueFd other(::open(ns.b.path().c_str(), O_RDONLY | O_CLOEXEC));
        must(other && ::setns(other.get(), CLONE_NEWNET) == 0, "enter the other namespace");
        const UniqueFd b = open_tun(ns.b.device);
        tell(0);
        Queue queue;
        pollfd ready[] = {{a.get(), POLLIN, 0}, {b.get(), POLLIN, 0}};
        for (;;) {
            timespec wait{0, 0};
            if (!queue.empty())
                wait.tv_nsec =
                    std::clamp<long>((queue.top().due - Clock::now()).count(), 0, 999'999'999);
            must(::ppoll(ready, 2, queue.empty() ? nullptr : &wait, nullptr) >= 0,
                 "wait for packets");
            if (ready[0].revents & POLLIN)
                take(path, queue, 0, a, b.get());
            if (ready[1].revents & POLLIN)
                take(path, queue, 1, b, a.get());
            deliver(queue);
        }
    }

    Path* x_path;
    Child x_carrier;
};

} // namespace culprit::test
