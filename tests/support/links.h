// SPDX-License-Identifier: MIT
// Faults of links: a process that switches a device, frames with a VLAN, damaged frames.
#pragma once

#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <sys/ioctl.h>

#include <array>

#include "support/traffic.h"

namespace culprit::test {

inline void switch_device(const std::string& name, bool on) {
    const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    must(::ioctl(fd.get(), SIOCGIFFLAGS, &request) == 0, "ask for a device's flags");
    request.ifr_flags =
        static_cast<short>(on ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP);
    must(::ioctl(fd.get(), SIOCSIFFLAGS, &request) == 0, "set a device's flags");
}

/// A process that takes the side's device down and up until it is killed.
class Toggler {
public:
    Toggler(const Side& side, int down_ms, int up_ms)
        : x_child(side.path(), "lf-toggler", [=, device = side.device](const Tell&) {
              for (;;) {
                  switch_device(device, false);
                  ::poll(nullptr, 0, down_ms);
                  switch_device(device, true);
                  ::poll(nullptr, 0, up_ms);
              }
              return 0;
          }) {}
    pid_t pid() const { return x_child.pid(); }

private:
    Child x_child;
};

/// Small requests over one connection for that time; a new connection when one breaks.
inline int ask_for(const std::string& host, std::uint16_t port, double seconds) {
    const Deadline end(seconds);
    while (!end.passed()) {
        const UniqueFd fd = make_socket(host, SOCK_STREAM, 1);
        const Address to = address_of(host, port);
        char byte[100] = {};
        if (::connect(fd.get(), to.get(), to.size) != 0)
            ::poll(nullptr, 0, 20);
        else
            while (!end.passed() && ::send(fd.get(), byte, sizeof(byte), MSG_NOSIGNAL) > 0 &&
                   ::recv(fd.get(), byte, sizeof(byte), 0) > 0)
                ::poll(nullptr, 0, 10);
    }
    return 0;
}

/// TCP SYNs to a port, as frames of a VLAN, from this thread's namespace.
inline void send_tagged_syns(const Side& from, const Side& to, std::uint16_t vlan,
                             std::uint16_t source, int count) {
    const UniqueFd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    sockaddr_ll at{};
    at.sll_family = AF_PACKET;
    at.sll_ifindex = static_cast<int>(::if_nametoindex(from.device.c_str()));
    std::array<unsigned char, 18 + 40> frame = {2,    0,    0,    0,  0, 0x0b, 2, 0, 0,  0,
                                                0,    0x0a, 0x81, 0,  0, 0,    8, 0, // VLAN, IPv4
                                                0x45, 0,    0,    40, 0, 0,    0, 0, 64, 6};
    frame[14] = static_cast<unsigned char>(vlan >> 8);
    frame[15] = static_cast<unsigned char>(vlan);
    unsigned char* ip = frame.data() + 18;
    inet_pton(AF_INET, from.v4.c_str(), ip + 12);
    inet_pton(AF_INET, to.v4.c_str(), ip + 16);
    ip[20] = static_cast<unsigned char>(source >> 8);
    ip[21] = static_cast<unsigned char>(source);
    ip[23] = 80;   // destination port
    ip[32] = 0x50; // 20 bytes of header
    ip[33] = 2;    // SYN
    unsigned sum = 0;
    for (int i = 0; i < 20; i += 2)
        sum += static_cast<unsigned>(ip[i] << 8 | ip[i + 1]);
    for (int i = 0; i < 2; i++)
        sum = (sum & 0xffff) + (sum >> 16);
    ip[10] = static_cast<unsigned char>(~sum >> 8);
    ip[11] = static_cast<unsigned char>(~sum);
    for (int i = 0; i < count; i++)
        must(::sendto(fd.get(), frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&at),
                      sizeof(at)) > 0,
             "send a frame");
}

inline UniqueFd open_tap(const std::string& name) {
    UniqueFd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC));
    ifreq request{};
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    name.copy(request.ifr_name, IFNAMSIZ - 1);
    must(fd && ::ioctl(fd.get(), TUNSETIFF, &request) == 0, "make a TAP device");
    return fd;
}

/// A switch between two hosts, whose port to b keeps the tag of VLAN 42 while b expects none.
class TaggingSwitch {
public:
    explicit TaggingSwitch(const TwoNs& ns)
        : x_switch(ns.a.path(), "switch", [&ns](const Tell& tell) { return carry(tell, ns); }) {
        x_switch.number();
        for (const Side* side : {&ns.a, &ns.b})
            side->shell(
                fmt::format("ip link set lo up && ip link set {0} address 02:00:00:00:00:0{1}"
                            " up && ip addr add {2}/30 dev {0}",
                            side->device, side == &ns.a ? 'a' : 'b', side->v4));
        ns.a.shell(fmt::format("ip neigh replace {} lladdr 02:00:00:00:00:0b dev {}", ns.b.v4,
                               ns.a.device));
    }

private:
    static int carry(const Tell& tell, const TwoNs& ns) {
        constexpr std::array<unsigned char, 4> kTag = {0x81, 0, 0, 42};
        constexpr std::size_t kAddresses = 12;
        const UniqueFd a = open_tap(ns.a.device);
        const UniqueFd other(::open(ns.b.path().c_str(), O_RDONLY | O_CLOEXEC));
        must(other && ::setns(other.get(), CLONE_NEWNET) == 0, "enter the other namespace");
        const UniqueFd b = open_tap(ns.b.device);
        tell(0);
        std::vector<unsigned char> frame(65536);
        for (;;) {
            const ssize_t size = ::read(a.get(), frame.data(), frame.size());
            if (size <= 0)
                continue;
            std::vector<unsigned char> tagged(frame.begin(), frame.begin() + size);
            tagged.insert(tagged.begin() + kAddresses, kTag.begin(), kTag.end());
            // fails while the other device is not up yet
            [[maybe_unused]] const ssize_t done = ::write(b.get(), tagged.data(), tagged.size());
        }
    }
    Child x_switch;
};

/// A VXLAN device of a side, and frames for it from the other side: a good one, or one that VXLAN
/// refuses and counts as malformed (outer packet marked by congestion, inner one not able to tell,
/// RFC 6040).
class Tunnel {
public:
    explicit Tunnel(const TwoNs& ns) : x_ns(ns) {
        ns.b.shell(fmt::format("ip link add {} address 02:00:00:00:00:77 type vxlan id 7 "
                               "dstport 4789 remote {} && ip link set {} up",
                               name(), ns.a.v4, name()));
    }
    static std::string name() { return "tunnel"; }

    void send(int good, int malformed) const {
        const UniqueFd fd = make_socket(x_ns.b.v4, SOCK_DGRAM, kDeadlineSeconds);
        const Address to = address_of(x_ns.b.v4, 4789);
        const std::array<unsigned char, 8 + 14 + 28> packet = {
            8,    0, 0, 0,  0, 0,    7, 0,                                  // VXLAN
            2,    0, 0, 0,  0, 0x77, 2, 0, 0,  0,  0,    9,    8,  0,       // Ethernet
            0x45, 0, 0, 28, 0, 0,    0, 0, 64, 17, 0x66, 0xcf, 10, 0, 0, 1, // IPv4
            10,   0, 0, 2};
        for (const auto& [count, tos] : {std::pair(good, 0), std::pair(malformed, 3)}) {
            must(::setsockopt(fd.get(), IPPROTO_IP, IP_TOS, &tos, sizeof(tos)) == 0, "set ECN");
            for (int i = 0; i < count; i++)
                ::sendto(fd.get(), packet.data(), packet.size(), 0, to.get(), to.size);
        }
    }

private:
    const TwoNs& x_ns;
};

} // namespace culprit::test
