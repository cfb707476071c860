// SPDX-License-Identifier: MIT
// Are the kernel's answers about programs, filters and backlogs read, damaged ones too?
#include "kernel/device_programs.h"

#include <linux/gen_stats.h>
#include <linux/if_link.h>
#include <linux/pkt_cls.h>
#include <linux/rtnetlink.h>

#include "signals/softnet_stat.h"
#include "support/catch.h"

using namespace culprit;

namespace {

NetlinkRequest filter(const char* kind, std::uint16_t actions, std::uint32_t program) {
    tcmsg body{};
    body.tcm_ifindex = 7;
    body.tcm_handle = 1;
    body.tcm_info = 5U << 16;
    NetlinkRequest message(RTM_NEWTFILTER, 0);
    message.body(body).text(TCA_KIND, kind);
    nlattr* options = mnl_attr_nest_start(message.head(), TCA_OPTIONS);
    if (program)
        message.attribute(TCA_BPF_ID, program);
    if (actions) {
        nlattr* list = mnl_attr_nest_start(message.head(), actions);
        for (std::uint16_t order = 1; order <= 2; order++) {
            nlattr* one = mnl_attr_nest_start(message.head(), order);
            nlattr* stats = mnl_attr_nest_start(message.head(), TCA_ACT_STATS);
            gnet_stats_queue queue{};
            queue.drops = 10U * order;
            message.attribute(TCA_STATS_QUEUE, queue);
            mnl_attr_nest_end(message.head(), stats);
            mnl_attr_nest_end(message.head(), one);
        }
        mnl_attr_nest_end(message.head(), list);
    }
    mnl_attr_nest_end(message.head(), options);
    return message;
}

NetlinkRequest link_with_xdp(std::uint8_t attached) {
    ifinfomsg body{};
    body.ifi_index = 7;
    NetlinkRequest message(RTM_NEWLINK, 0);
    message.body(body);
    nlattr* xdp = mnl_attr_nest_start(message.head(), IFLA_XDP);
    message.attribute(IFLA_XDP_ATTACHED, attached)
        .attribute(IFLA_XDP_PROG_ID, std::uint32_t{41})
        .attribute(IFLA_XDP_DRV_PROG_ID, std::uint32_t{42})
        .attribute(IFLA_XDP_SKB_PROG_ID, std::uint32_t{43});
    mnl_attr_nest_end(message.head(), xdp);
    return message;
}

} // namespace

TEST_CASE("a filter is read with what its actions dropped", "[device_programs_test]") {
    NetlinkRequest message = filter("u32", TCA_U32_ACT, 0);
    DeviceProgram found;
    REQUIRE(parse_filter(*message.head(), found));
    CHECK(found.ifindex == 7);
    CHECK(found.filter == "u32");
    CHECK(found.priority == 5);
    CHECK(found.handle == 1);
    CHECK(found.drops == 30);
    CHECK(found.program == 0);
}

TEST_CASE("a filter with a program has its id, and one that only sorts is left out",
          "[device_programs_test]") {
    DeviceProgram found;
    CHECK(parse_filter(*filter("bpf", 0, 99).head(), found));
    CHECK(found.program == 99);
    CHECK_FALSE(parse_filter(*filter("u32", 0, 0).head(), found));
    CHECK_FALSE(parse_filter(*filter("unheard-of", TCA_U32_ACT, 0).head(), found));
}

TEST_CASE("XDP programs are read with their modes", "[device_programs_test]") {
    DevicePrograms one, several, none;
    parse_link_programs(*link_with_xdp(XDP_ATTACHED_SKB).head(), one);
    REQUIRE(one.programs.size() == 1);
    CHECK(one.programs[0].program == 41);
    CHECK(one.programs[0].mode == ABI_PROGRAM_GENERIC);
    parse_link_programs(*link_with_xdp(XDP_ATTACHED_MULTI).head(), several);
    REQUIRE(several.programs.size() == 2);
    CHECK(several.programs[1].program == 43);
    parse_link_programs(*link_with_xdp(XDP_ATTACHED_NONE).head(), none);
    CHECK(none.programs.empty());
}

TEST_CASE("messages cut anywhere are not read beyond their end", "[device_programs_test]") {
    for (NetlinkRequest message : {filter("u32", TCA_U32_ACT, 0), link_with_xdp(4)}) {
        const std::uint32_t whole = message.head()->nlmsg_len;
        for (std::uint32_t size = NLMSG_HDRLEN; size < whole; size += NLMSG_ALIGNTO) {
            message.head()->nlmsg_len = size;
            DeviceProgram filter_of;
            DevicePrograms programs;
            parse_filter(*message.head(), filter_of);
            parse_link_programs(*message.head(), programs);
            CHECK(filter_of.drops == 0);
        }
    }
}

TEST_CASE("backlog lines of old and new kernels are read", "[device_programs_test]") {
    const auto old = parse_softnet("0000000a 00000002 00000001 0 0 0 0 0 0 0 00000003\nshort 1\n");
    REQUIRE(old.size() == 1);
    CHECK(old[0].cpu == 0);
    CHECK(old[0].processed == 10);
    CHECK(old[0].flow_limit == 3);
    const auto now = parse_softnet("0a 02 01 0 0 0 0 0 0 0 03 04 07 0 0\n");
    REQUIRE(now.size() == 1);
    CHECK(now[0].cpu == 7);
    CHECK(now[0].backlog == 4);
}
