// SPDX-License-Identifier: MIT
// SYNs from addresses that nobody has: what a flood sends.
#pragma once

#include <netinet/ip.h>

#include "support/traffic.h"

namespace culprit::test {

/// 198.51.100.0/24 is for documentation (RFC 5737): nobody answers there.
inline constexpr const char* kNobodysNet = "198.51.100.0/24";

namespace syn_wire {

struct Packet {
    iphdr ip{};
    tcphdr tcp{};
};

/// RFC 1071, over words in network order.
inline std::uint16_t checksum(const void* bytes, std::size_t size, std::uint32_t sum) {
    const auto* at = static_cast<const std::uint8_t*>(bytes);
    for (std::size_t i = 0; i + 1 < size; i += 2)
        sum += static_cast<std::uint32_t>(at[i] << 8 | at[i + 1]);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return htons(static_cast<std::uint16_t>(~sum));
}

inline Packet syn(std::uint32_t number, const sockaddr_in& to) {
    Packet packet;
    packet.ip.version = 4;
    packet.ip.ihl = 5;
    packet.ip.tot_len = htons(sizeof(packet));
    packet.ip.ttl = 64;
    packet.ip.protocol = IPPROTO_TCP;
    packet.ip.saddr = htonl(0xc6336401U + number % 250);
    packet.ip.daddr = to.sin_addr.s_addr;
    packet.tcp.source = htons(static_cast<std::uint16_t>(1024 + number / 250));
    packet.tcp.dest = to.sin_port;
    packet.tcp.seq = htonl(number);
    packet.tcp.doff = sizeof(packet.tcp) / 4;
    packet.tcp.syn = 1;
    packet.tcp.window = htons(1024);
    std::uint32_t pseudo = IPPROTO_TCP + sizeof(packet.tcp);
    for (const std::uint32_t address : {ntohl(packet.ip.saddr), ntohl(packet.ip.daddr)})
        pseudo += (address >> 16) + (address & 0xffff);
    packet.tcp.check = checksum(&packet.tcp, sizeof(packet.tcp), pseudo);
    return packet;
}

} // namespace syn_wire

/// That many SYNs, each from another end, evenly over that time.
inline void flood(const std::string& host, std::uint16_t port, std::uint32_t syns, double seconds) {
    const UniqueFd raw(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
    must(bool(raw), "make a raw socket");
    const Address to = address_of(host, port);
    const auto& end = *reinterpret_cast<const sockaddr_in*>(&to.bytes);
    constexpr std::uint32_t kBurst = 20;
    for (std::uint32_t i = 0; i < syns; i++) {
        const syn_wire::Packet packet = syn_wire::syn(i, end);
        must(::sendto(raw.get(), &packet, sizeof(packet), 0, to.get(), to.size) == sizeof(packet),
             "send a SYN");
        if (i % kBurst == 0)
            ::poll(nullptr, 0, static_cast<int>(seconds * 1000 * kBurst / syns));
    }
}

} // namespace culprit::test
