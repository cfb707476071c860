// SPDX-License-Identifier: MIT
// Faults of links: a process that switches a device, frames with a VLAN, damaged frames.
#pragma once

#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
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

/// A TAP device whose other end writes damaged frames among good ones.
class DamagedTap {
public:
    DamagedTap() : x_fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC)) {
        ifreq request{};
        request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
        name().copy(request.ifr_name, IFNAMSIZ - 1);
        must(x_fd && ::ioctl(x_fd.get(), TUNSETIFF, &request) == 0, "make a TAP device");
        switch_device(name(), true);
    }
    static std::string name() { return "tap-damaged"; }

    void good() { must(write(VIRTIO_NET_HDR_GSO_NONE) > 0, "write a frame"); }
    /// The kernel knows no such segmentation: it counts rx_frame_errors.
    void damaged() { must(write(0x2a) < 0 && errno == EINVAL, "have a frame refused"); }

private:
    ssize_t write(std::uint8_t gso_type) {
        std::array<unsigned char, sizeof(virtio_net_hdr) + 60> frame{};
        frame[1] = gso_type;
        std::memset(frame.data() + sizeof(virtio_net_hdr), 0xff, 6);
        frame[sizeof(virtio_net_hdr) + 12] = 0x88; // an experimental protocol
        frame[sizeof(virtio_net_hdr) + 13] = 0xb5;
        return ::write(x_fd.get(), frame.data(), frame.size());
    }
    UniqueFd x_fd;
};

} // namespace culprit::test
