// SPDX-License-Identifier: MIT
// A wire with loss beyond this host's sight: two TUN devices, and a process that carries packets
// between them and forgets some. To the kernel a packet read from a TUN device was delivered.
#pragma once

#include <linux/if_tun.h>
#include <sys/ioctl.h>

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
        for (const Side* side : {&ns.a, &ns.b})
            side->shell(fmt::format("ip link set lo up && ip link set {0} txqueuelen 20000 up && "
                                    "ip addr add {1} peer {2} dev {0}",
                                    side->device, side->v4, side == &ns.a ? ns.b.v4 : ns.a.v4));
        const bool answered = eventually([&] {
            int error = 0;
            ns.a.in([&] { error = try_connect(ns.b.v4, 9, 0.2); });
            return error == ECONNREFUSED;
        });
        must(answered, "reach the other namespace");
    }

    static bool possible() { return ::access("/dev/net/tun", R_OK | W_OK) == 0; }

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

} // namespace culprit::test
