// SPDX-License-Identifier: MIT
// Three hosts on one switch: namespaces whose devices are ports of a bridge in a fourth one, and
// neighbours that are learnt as on a real link, only faster.
#pragma once

#include <linux/if_ether.h>
#include <netpacket/packet.h>

#include <array>

#include "support/traffic.h"

namespace culprit::test {

class SwitchedNs {
public:
    SwitchedNs() : a((need_root(), "side-a")), b("side-b"), c("side-c"), x_switch("side-switch") {
        std::random_device random;
        // 198.18.0.0/15 is for tests of networks (RFC 2544)
        x_net = fmt::format("198.{}.{}.", 18 + (random() & 1), random() & 255);
        x_switch.shell("ip link add br0 type bridge && ip link set br0 up");
        unsigned last = 0;
        for (Side* side : {&a, &b, &c}) {
            last++;
            side->device = "eth0";
            side->v4 = address(last);
            x_switch.shell(fmt::format("ip link add p{0} type veth peer name eth0 netns {1} && "
                                       "ip link set p{0} master br0 up",
                                       last, side->holder()));
            side->shell(fmt::format(
                "ip link set lo up && ip link set eth0 address 02:00:00:00:00:{0:02x} up && "
                "ip addr add {1}/24 dev eth0 && cd /proc/sys/net/ipv4/neigh/eth0 && "
                "echo 200 > retrans_time_ms && echo 500 > base_reachable_time_ms && "
                "echo 1 > delay_first_probe_time",
                last, side->v4));
        }
    }

    /// Of the link's subnet; 1 to 3 are a, b and c.
    std::string address(unsigned last) const { return fmt::format("{}{}", x_net, last); }

    Side a, b, c;

private:
    Side x_switch;
    std::string x_net;
};

/// Tells all hosts on the link, as one that came up would, that the address is at that side's
/// device (a gratuitous ARP reply, RFC 5227).
inline void announce(const Side& side, unsigned char last_of_mac, const std::string& host) {
    side.in([&] {
        const UniqueFd fd(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ARP)));
        must(bool(fd), "make a packet socket");
        std::array<unsigned char, 28> arp = {0, 1, 8, 0, 6, 4, 0, 2, 2, 0, 0, 0, 0, last_of_mac};
        must(inet_pton(AF_INET, host.c_str(), &arp[14]) == 1, "read the address");
        std::copy_n(&arp[8], 6, &arp[18]);
        std::copy_n(&arp[14], 4, &arp[24]);
        sockaddr_ll to{};
        to.sll_family = AF_PACKET;
        to.sll_protocol = htons(ETH_P_ARP);
        to.sll_ifindex = static_cast<int>(::if_nametoindex(side.device.c_str()));
        to.sll_halen = 6;
        std::fill_n(to.sll_addr, 6, static_cast<unsigned char>(0xff));
        must(::sendto(fd.get(), arp.data(), arp.size(), 0, reinterpret_cast<const sockaddr*>(&to),
                      sizeof(to)) == static_cast<ssize_t>(arp.size()),
             "send ARP");
    });
}

} // namespace culprit::test
