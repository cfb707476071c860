// SPDX-License-Identifier: MIT
// Processes that send and receive UDP.
#pragma once

#include "support/traffic.h"

namespace culprit::test {

/// Bound to a port of that host, with a receive buffer of that many bytes (0: as the kernel has
/// it).
inline UniqueFd bind_udp(const std::string& host, std::uint16_t port = 0, int rcvbuf = 0) {
    UniqueFd fd = make_socket(host, SOCK_DGRAM, kDeadlineSeconds);
    must(!rcvbuf || ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf)) == 0,
         "set the receive buffer");
    const Address at = address_of(host, port);
    must(::bind(fd.get(), at.get(), at.size) == 0, "bind");
    return fd;
}

inline void send_to(int fd, const std::string& host, std::uint16_t port, std::size_t packets,
                    std::size_t bytes) {
    const Address to = address_of(host, port);
    const std::vector<char> zeros(bytes);
    for (std::size_t i = 0; i < packets; i++)
        ::sendto(fd, zeros.data(), bytes, 0, to.get(), to.size);
}

/// A child that has a UDP socket and does not read it.
class LazyReader {
public:
    LazyReader(const Side& side, const std::string& comm, int rcvbuf, std::uint16_t at = 0)
        : x_child(side.path(), comm,
                  [host = side.v4, rcvbuf, at](const Tell& tell) {
                      const UniqueFd fd = bind_udp(host, at, rcvbuf);
                      tell(local_port(fd.get()));
                      for (;;)
                          ::pause();
                      return 0;
                  }),
          x_port(static_cast<std::uint16_t>(x_child.number())) {}

    pid_t pid() const { return x_child.pid(); }
    std::uint16_t port() const { return x_port; }

private:
    Child x_child;
    std::uint16_t x_port;
};

/// Busy with packets of its own on both sides, so that softirq runs on top of it.
class Innocent {
public:
    explicit Innocent(const TwoNs& ns) {
        for (const Side* side : {&ns.a, &ns.b})
            x_children.push_back(std::make_unique<Child>(
                side->path(), "ct-innocent", [to = side == &ns.a ? ns.b.v4 : ns.a.v4](const Tell&) {
                    for (;;)
                        send_udp(to, 9, 2000, 64);
                    return 0;
                }));
    }

private:
    std::vector<std::unique_ptr<Child>> x_children;
};

} // namespace culprit::test
