// SPDX-License-Identifier: MIT
// Names that a running kernel would give, the same on every host.
#pragma once

#include "kernel/names.h"
#include "support/event_builder.h"

namespace culprit::test {

inline constexpr std::uint64_t kTcpRcv = 0xffffffff81a00085;
inline constexpr std::uint64_t kNfHook = 0xffffffff819000b5;

inline const std::string kContainerId =
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

inline Names fake_names() {
    Names names;
    names.drop_reasons = {{2, "NOT_SPECIFIED"}, {3, "NO_SOCKET"}, {8, "NETFILTER_DROP"}};
    names.reset_reasons = {{2, "NO_SOCKET"}, {5, "NOT_SPECIFIED"}};
    names.symbols = {{kTcpRcv, "tcp_v4_rcv+0x85"}, {kNfHook, "nf_hook_slow+0xb5"}};
    names.devices = {{{kNetns, 1}, "lo"}, {{kNetns, 2}, "eth0"}};
    names.netns = {{4026532001, "blue"}};
    names.processes = {{{4242, 4242 * kSecondNs},
                        {.comm = "curl",
                         .exe = "/usr/bin/curl",
                         .cmdline = "curl https://192.0.2.7",
                         .cgroup = "/system.slice/docker-" + kContainerId + ".scope"}}};
    names.cgroups = {{77, "/system.slice/nginx.service"}};
    return names;
}

} // namespace culprit::test
