// SPDX-License-Identifier: MIT
// rtnetlink: RTM_GETNETCONF, RTM_GETROUTE asked for one type of route only (the kernel does the
// choosing, however many routes there are), RTM_GETRULE.
#include "kernel/routing.h"

#include <arpa/inet.h>
#include <linux/fib_rules.h>
#include <linux/netconf.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <algorithm>

#include <fmt/format.h>

#include "kernel/netlink.h"

namespace culprit {

namespace {

void keep(Routing& into, const Refusal& refusal) {
    into.more = into.more || into.refusals.size() >= kRefusalsMax;
    if (into.refusals.size() < kRefusalsMax)
        into.refusals.push_back(refusal);
}

Result<void> read_settings(const Netlink& netlink, std::uint8_t family, Routing& into) {
    NetlinkRequest request(RTM_GETNETCONF, NLM_F_DUMP);
    request.body(netconfmsg{family});
    return netlink.ask(request, [&](const nlmsghdr& message) {
        const Attributes attributes(message, sizeof(netconfmsg));
        const auto index = attributes.value<std::int32_t>(NETCONFA_IFINDEX);
        const DeviceRouting routing{attributes.value<std::uint32_t>(NETCONFA_FORWARDING),
                                    attributes.value<std::uint32_t>(NETCONFA_RP_FILTER)};
        if (family == AF_INET6 && index == NETCONFA_IFINDEX_ALL)
            into.forwarding6 = routing.forwarding;
        else if (family == AF_INET && index == NETCONFA_IFINDEX_ALL)
            into.all = routing;
        else if (family == AF_INET && index > 0)
            into.devices[static_cast<std::uint32_t>(index)] = routing;
    });
}

Refusal refusal_of(std::uint8_t family, std::uint8_t length, std::uint8_t type,
                   const Attributes& attributes, std::uint16_t destination) {
    Refusal refusal{.family = family, .length = length, .type = type};
    const auto prefix = attributes.payload(destination);
    std::memcpy(refusal.prefix.data(), prefix.data(),
                std::min(prefix.size(), refusal.prefix.size()));
    return refusal;
}

/// Kernels before 4.20 choose nothing and give all routes, which are sorted out here.
Result<void> read_refusals(const Netlink& netlink, std::uint8_t family, std::uint8_t type,
                           Routing& into) {
    NetlinkRequest request(RTM_GETROUTE, NLM_F_DUMP);
    rtmsg body{};
    body.rtm_family = family;
    body.rtm_type = type;
    request.body(body);
    return netlink.ask(request, [&](const nlmsghdr& message) {
        const auto route = netlink_body<rtmsg>(message);
        if (message.nlmsg_type != RTM_NEWROUTE || route.rtm_type != type)
            return;
        const Attributes attributes(message, sizeof(route));
        Refusal refusal = refusal_of(family, route.rtm_dst_len, type, attributes, RTA_DST);
        refusal.table = attributes.value<std::uint32_t>(RTA_TABLE, route.rtm_table);
        keep(into, refusal);
    });
}

std::uint8_t type_of_action(std::uint8_t action) {
    switch (action) {
    case FR_ACT_BLACKHOLE:
        return RTN_BLACKHOLE;
    case FR_ACT_UNREACHABLE:
        return RTN_UNREACHABLE;
    case FR_ACT_PROHIBIT:
        return RTN_PROHIBIT;
    default:
        return 0;
    }
}

Result<void> read_rules(const Netlink& netlink, std::uint8_t family, Routing& into) {
    NetlinkRequest request(RTM_GETRULE, NLM_F_DUMP);
    fib_rule_hdr body{};
    body.family = family;
    request.body(body);
    return netlink.ask(request, [&](const nlmsghdr& message) {
        const auto rule = netlink_body<fib_rule_hdr>(message);
        const std::uint8_t type = type_of_action(rule.action);
        if (message.nlmsg_type != RTM_NEWRULE || !type)
            return;
        const Attributes attributes(message, sizeof(rule));
        Refusal refusal = refusal_of(family, rule.dst_len, type, attributes, FRA_DST);
        refusal.rule = true;
        refusal.table = attributes.value<std::uint32_t>(FRA_PRIORITY);
        keep(into, refusal);
    });
}

Result<void> read_family(const Netlink& netlink, std::uint8_t family, Routing& into) {
    auto done = read_settings(netlink, family, into);
    for (const std::uint8_t type : {RTN_BLACKHOLE, RTN_UNREACHABLE, RTN_PROHIBIT})
        if (done)
            done = read_refusals(netlink, family, type, into);
    return done ? read_rules(netlink, family, into) : done;
}

} // namespace

Result<Routing> read_routing() {
    auto netlink = Netlink::open(NETLINK_ROUTE);
    if (!netlink)
        return std::unexpected(netlink.error());
    netlink->choose_by_body();
    Routing routing;
    if (auto done = read_family(*netlink, AF_INET, routing); !done)
        return std::unexpected(done.error());
    (void)read_family(*netlink, AF_INET6, routing); // IPv6 may be off
    return routing;
}

std::string refusal_text(const Refusal& refusal) {
    const char* type = refusal.type == RTN_BLACKHOLE  ? "blackhole"
                       : refusal.type == RTN_PROHIBIT ? "prohibit"
                                                      : "unreachable";
    char prefix[INET6_ADDRSTRLEN] = "";
    ::inet_ntop(refusal.family, refusal.prefix.data(), prefix, sizeof(prefix));
    return refusal.rule
               ? fmt::format("{} rule {} for {}/{}", type, refusal.table, prefix, refusal.length)
               : fmt::format("{} route {}/{} in table {}", type, prefix, refusal.length,
                             refusal.table);
}

} // namespace culprit
