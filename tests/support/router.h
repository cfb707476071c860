// SPDX-License-Identifier: MIT
// A client and a server with a router between them: three network namespaces joined by two veth
// pairs. What passes between client and server is forwarded.
#pragma once

#include <optional>

#include "support/run.h"
#include "support/traffic.h"

namespace culprit::test {

class RoutedNs {
public:
    RoutedNs() : client((need_root(), "side-c")), router("side-r"), server("side-s") {
        std::random_device random;
        const std::uint32_t nets = 0xc6120000U + ((random() & 0x3fffU) << 3); // as in two_ns.h
        client.device = "to-r";
        server.device = "to-r";
        router.device = kToServer;
        router.v4 = join(client, kToClient, nets);
        join(server, kToServer, nets + 4);
        router.shell("ip link set lo up && sysctl -qw net.ipv4.ip_forward=1");
        const bool answered = eventually([&] {
            int error = 0;
            client.in([&] { error = try_connect(server.v4, 9, 0.2); });
            return error == ECONNREFUSED;
        });
        must(answered, "reach the server through the router");
    }

    static constexpr const char* kToClient = "to-c"; // the router's devices
    static constexpr const char* kToServer = "to-s";

    Side client, router, server;

private:
    /// The router's address on that link.
    std::string join(Side& end, const char* device, std::uint32_t net) {
        const auto v4 = [&](unsigned last) {
            return fmt::format("{}.{}.{}.{}", net >> 24, net >> 16 & 255, net >> 8 & 255,
                               (net & 255) + last);
        };
        end.v4 = v4(1);
        router.shell(fmt::format("ip link add {} type veth peer name {} netns {} && "
                                 "ip addr add {}/30 dev {} && ip link set {} up",
                                 device, end.device, end.holder(), v4(2), device, device));
        end.shell(fmt::format("ip link set lo up && ip link set {0} up && "
                              "ip addr add {1}/30 dev {0} && ip route add default via {2}",
                              end.device, end.v4, v4(2)));
        return v4(2);
    }
};

/// A finding that is more than a remark, about one of the three.
inline std::optional<Json> loud_finding(const Json& verdict, const RoutedNs& ns) {
    for (const Json& finding : verdict["findings"])
        for (const Side* side : {&ns.client, &ns.router, &ns.server})
            if (finding["severity"] != "info" && finding["where"]["netns"] == side->inum())
                return finding;
    return std::nullopt;
}

} // namespace culprit::test
