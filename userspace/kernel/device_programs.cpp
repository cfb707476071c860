// SPDX-License-Identifier: MIT
// RTM_GETLINK tells of XDP, RTM_GETTFILTER of filters where RTM_GETQDISC has a place for them, and
// bpf(2) of TCX.
#include "kernel/device_programs.h"

#include <linux/gen_stats.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <array>
#include <set>

#include "kernel/bpf_programs.h"

namespace culprit {

namespace {

struct XdpMode {
    std::uint8_t attached;
    std::uint16_t id; // attribute where several are attached
    std::uint32_t mode;
};
constexpr XdpMode kXdpModes[] = {
    {XDP_ATTACHED_DRV, IFLA_XDP_DRV_PROG_ID, ABI_PROGRAM_NATIVE},
    {XDP_ATTACHED_SKB, IFLA_XDP_SKB_PROG_ID, ABI_PROGRAM_GENERIC},
    {XDP_ATTACHED_HW, IFLA_XDP_HW_PROG_ID, ABI_PROGRAM_OFFLOAD},
};

/// Where a classifier keeps its actions.
struct Classifier {
    std::string_view kind;
    std::uint16_t actions;
};
constexpr Classifier kClassifiers[] = {
    {"bpf", TCA_BPF_ACT},       {"u32", TCA_U32_ACT},      {"matchall", TCA_MATCHALL_ACT},
    {"flower", TCA_FLOWER_ACT}, {"basic", TCA_BASIC_ACT},  {"fw", TCA_FW_ACT},
    {"flow", TCA_FLOW_ACT},     {"route", TCA_ROUTE4_ACT}, {"cgroup", TCA_CGROUP_ACT},
};

/// A list of actions: what all of them dropped.
std::uint64_t dropped_by(const Attributes& actions) {
    std::uint64_t drops = 0;
    for (const nlattr* one : actions.list())
        drops +=
            Attributes(*one).nested(TCA_ACT_STATS).value<gnet_stats_queue>(TCA_STATS_QUEUE).drops;
    return drops;
}

void keep(DevicePrograms& into, DeviceProgram program) {
    if (into.programs.size() < kDeviceProgramsMax)
        into.programs.push_back(std::move(program));
}

/// Devices with a place for filters on the way in or out.
Result<std::set<int>> filtered_devices(const Netlink& netlink) {
    std::set<int> devices;
    NetlinkRequest request(RTM_GETQDISC, NLM_F_DUMP);
    request.body(tcmsg{});
    const auto done = netlink.ask(request, [&](const nlmsghdr& message) {
        const std::string_view kind = Attributes(message, sizeof(tcmsg)).text(TCA_KIND);
        if (kind == "clsact" || kind == "ingress")
            devices.insert(netlink_body<tcmsg>(message).tcm_ifindex);
    });
    if (!done)
        return std::unexpected(done.error().in("qdiscs"));
    return devices;
}

struct Side {
    std::uint32_t minor;
    std::uint32_t where;
    int tcx;
};
constexpr Side kSides[] = {
    {TC_H_MIN_INGRESS, ABI_PROGRAM_TC_INGRESS, kAttachTcxIngress},
    {TC_H_MIN_EGRESS, ABI_PROGRAM_TC_EGRESS, kAttachTcxEgress},
};

/// A device may be gone by now, or have no such side: no error.
void read_filters(const Netlink& netlink, int ifindex, const Side& side, DevicePrograms& into) {
    NetlinkRequest request(RTM_GETTFILTER, NLM_F_DUMP);
    tcmsg body{};
    body.tcm_ifindex = ifindex;
    body.tcm_parent = TC_H_MAKE(TC_H_CLSACT, side.minor);
    request.body(body);
    (void)netlink.ask(request, [&](const nlmsghdr& message) {
        DeviceProgram filter{.where = side.where};
        if (parse_filter(message, filter))
            keep(into, std::move(filter));
    });
}

} // namespace

void parse_link_programs(const nlmsghdr& message, DevicePrograms& into) {
    const auto ifindex = static_cast<std::uint32_t>(netlink_body<ifinfomsg>(message).ifi_index);
    const Attributes link(message, sizeof(ifinfomsg));
    const Attributes xdp = link.nested(IFLA_XDP);
    const auto attached = xdp.value<std::uint8_t>(IFLA_XDP_ATTACHED);
    for (const XdpMode& mode : kXdpModes) {
        auto id = attached == XDP_ATTACHED_MULTI ? xdp.value<std::uint32_t>(mode.id)
                  : attached == mode.attached    ? xdp.value<std::uint32_t>(IFLA_XDP_PROG_ID)
                                                 : 0;
        if (id)
            keep(into,
                 {.ifindex = ifindex, .where = ABI_PROGRAM_XDP, .mode = mode.mode, .program = id});
    }
    const auto stats = link.value<rtnl_link_stats64>(IFLA_STATS64);
    if (link.nested(IFLA_LINKINFO).text(IFLA_INFO_KIND) == "tun" &&
        into.tuns.size() < kDeviceProgramsMax)
        into.tuns.push_back(
            {ifindex, std::string(link.text(IFLA_IFNAME)), stats.tx_packets, stats.tx_dropped});
}

bool parse_filter(const nlmsghdr& message, DeviceProgram& into) {
    const auto body = netlink_body<tcmsg>(message);
    const Attributes filter(message, sizeof(body));
    const std::string_view kind = filter.text(TCA_KIND);
    const auto classifier = std::ranges::find(kClassifiers, kind, &Classifier::kind);
    if (classifier == std::end(kClassifiers))
        return false;
    const Attributes options = filter.nested(TCA_OPTIONS);
    into.ifindex = static_cast<std::uint32_t>(body.tcm_ifindex);
    into.mode = ABI_PROGRAM_FILTER;
    into.priority = body.tcm_info >> 16;
    into.handle = body.tcm_handle;
    into.filter = kind;
    into.program = kind == "bpf" ? options.value<std::uint32_t>(TCA_BPF_ID) : 0;
    into.drops = dropped_by(options.nested(classifier->actions));
    return into.program || options.has(classifier->actions);
}

Result<DevicePrograms> read_device_programs() {
    const auto netlink = Netlink::open(NETLINK_ROUTE);
    if (!netlink)
        return std::unexpected(netlink.error());
    DevicePrograms found;
    std::vector<int> devices;
    NetlinkRequest request(RTM_GETLINK, NLM_F_DUMP);
    request.body(ifinfomsg{});
    const auto done = netlink->ask(request, [&](const nlmsghdr& message) {
        devices.push_back(netlink_body<ifinfomsg>(message).ifi_index);
        parse_link_programs(message, found);
    });
    if (!done)
        return std::unexpected(done.error().in("devices"));
    const auto filtered = filtered_devices(*netlink);
    if (!filtered)
        return std::unexpected(filtered.error());
    for (const Side& side : kSides) {
        for (const int ifindex : *filtered)
            read_filters(*netlink, ifindex, side, found);
        for (const int ifindex : devices)
            for (const std::uint32_t id : attached_programs(ifindex, side.tcx))
                keep(found, {.ifindex = static_cast<std::uint32_t>(ifindex),
                             .where = side.where,
                             .program = id});
    }
    return found;
}

} // namespace culprit
