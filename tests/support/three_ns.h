// SPDX-License-Identifier: MIT
// A client and a server with a router between them: what passes between the two is forwarded.
#pragma once

#include "support/traffic.h"

namespace culprit::test {

class ThreeNs {
public:
    ThreeNs() : client((need_root(), "side-c")), router("side-r"), server("side-s") {
        std::random_device random;
        const unsigned net = random() & 0x3f;
        client.device = server.device = "to-r";
        router.device = kToServer;
        join(client, kToClient, fmt::format("198.18.{}", 64 + net), "fd00:c");
        join(server, kToServer, fmt::format("198.19.{}", 64 + net), "fd00:5");
        router.shell("ip link set lo up && sysctl -qw net.ipv4.ip_forward=1 "
                     "net.ipv6.conf.all.forwarding=1");
        for (const std::string& host : {server.v4, server.v6})
            must(eventually([&] { return reaches(host) == ECONNREFUSED; }),
                 "reach the server through the router");
    }

    static constexpr const char* kToClient = "to-c"; // the router's devices
    static constexpr const char* kToServer = "to-s";

    Side client, router, server;

private:
    int reaches(const std::string& host) const {
        int error = 0;
        client.in([&] { error = try_connect(host, 9, 0.2); });
        return error;
    }

    void join(Side& end, const char* device, const std::string& net, const std::string& net6) {
        end.v4 = net + ".1";
        end.v6 = net6 + "::1";
        router.shell(fmt::format("ip link add {0} type veth peer name {1} netns {2} && "
                                 "ip addr add {3}.2/24 dev {0} && "
                                 "ip addr add {4}::2/64 dev {0} nodad && ip link set {0} up",
                                 device, end.device, end.holder(), net, net6));
        end.shell(fmt::format("ip link set lo up && ip link set {0} up && "
                              "ip addr add {1}.1/24 dev {0} && ip addr add {2}::1/64 dev {0} nodad "
                              "&& ip route add default via {1}.2 && "
                              "ip -6 route add default via {2}::2",
                              end.device, net, net6));
    }
};

} // namespace culprit::test
