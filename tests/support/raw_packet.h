// SPDX-License-Identifier: MIT
// IPv4 packets as a broken wire would deliver them: the checksum of what they carry is wrong.
#pragma once

#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>

#include "support/traffic.h"

namespace culprit::test {

class RawSender {
public:
    RawSender(const std::string& from, const std::string& to)
        : x_fd(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW)), x_to(address_of(to, 0)) {
        must(bool(x_fd), "make a raw socket");
        x_ip.version = 4;
        x_ip.ihl = 5;
        x_ip.ttl = 64;
        inet_pton(AF_INET, from.c_str(), &x_ip.saddr);
        inet_pton(AF_INET, to.c_str(), &x_ip.daddr);
    }

    void send_corrupt_udp(std::uint16_t from, std::uint16_t to) {
        struct {
            udphdr head{};
            std::array<char, 200> data{}; // so long that only the reader looks at it
        } udp;
        udp.head.source = htons(from);
        udp.head.dest = htons(to);
        udp.head.len = htons(sizeof(udp));
        udp.head.check = htons(kWrong);
        send(IPPROTO_UDP, udp);
    }
    void send_corrupt_tcp(std::uint16_t from, std::uint16_t to) {
        tcphdr tcp{};
        tcp.source = htons(from);
        tcp.dest = htons(to);
        tcp.doff = sizeof(tcp) / 4;
        tcp.syn = 1;
        tcp.window = htons(1024);
        tcp.check = htons(kWrong);
        send(IPPROTO_TCP, tcp);
    }

private:
    static constexpr std::uint16_t kWrong = 0x1234; // for these headers it is

    template <typename Header>
    void send(std::uint8_t protocol, const Header& header) {
        x_ip.protocol = protocol;
        std::array<char, sizeof(iphdr) + sizeof(Header)> packet{};
        std::memcpy(packet.data(), &x_ip, sizeof(x_ip));
        std::memcpy(packet.data() + sizeof(x_ip), &header, sizeof(header));
        must(::sendto(x_fd.get(), packet.data(), packet.size(), 0, x_to.get(), x_to.size) > 0,
             "send a packet");
    }

    UniqueFd x_fd;
    Address x_to;
    iphdr x_ip{};
};

} // namespace culprit::test
