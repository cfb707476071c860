// SPDX-License-Identifier: MIT
// forwarding-disabled. Claim: others use this host as a router, and forwarding is off for the
// device their packets come by. Evidence: drops of unicast packets for other hosts, with attempts
// that repeat or sockets of this host that wait; the setting. Looks alike: strays and broadcasts of
// other networks, answers to forged addresses (no attempts that repeat: info at most), a router
// without a route (no-route).
#include <fmt/format.h>

#include "detect/routes.h"
#include "model/format.h"

namespace culprit {

namespace {

std::string setting_text(const RefusedPackets& packets, const std::string& device,
                         const Window& total) {
    const Routing* routing = routing_of(total, packets.drops.at.netns);
    if (!routing)
        return "";
    if (packets.drops.function().starts_with("ip6"))
        return fmt::format("net.ipv6.conf.all.forwarding = {}", routing->forwarding6);
    const auto it = routing->devices.find(packets.drops.main_device());
    std::string text = fmt::format("net.ipv4.ip_forward = {}", routing->all.forwarding);
    if (it != routing->devices.end())
        text += fmt::format(", net.ipv4.conf.{}.forwarding = {}", device, it->second.forwarding);
    return text;
}

} // namespace

std::vector<Finding> detect_forwarding_disabled(const Facts& facts) {
    std::vector<Finding> findings;
    const Names& names = facts.total.names;
    for (const RefusedPackets& packets : refused_packets(facts)) {
        if (packets.why != Refused::kForwardingOff)
            continue;
        const std::uint32_t netns = packets.drops.at.netns;
        const bool ipv6 = packets.drops.function().starts_with("ip6");
        const std::string dev = device(netns, packets.drops.main_device(), names);
        const std::string to = main_destination(packets.drops);
        auto finding = refused_packets_finding(
            "forwarding-disabled", packets,
            fmt::format("{} receives packets for {}, and forwarding is off", dev,
                        to.empty() ? "other hosts" : to),
            {{"switch forwarding on where this host is meant to be a router, otherwise correct the "
              "route of who sends here",
              fmt::format("{}sysctl -w net.{}=1", in_netns(netns, names),
                          ipv6 ? "ipv6.conf.all.forwarding" : "ipv4.ip_forward")}},
            facts.total);
        if (!finding)
            continue;
        if (const std::string setting = setting_text(packets, dev, facts.total); !setting.empty())
            finding->evidence.push_back({setting, std::nullopt, "", "rtnetlink"});
        findings.push_back(std::move(*finding));
    }
    return findings;
}

} // namespace culprit
