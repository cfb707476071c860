// SPDX-License-Identifier: MIT
// Is a full connection table named, and a busy one left alone?
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include <array>

#include "kernel/netlink.h"
#include "support/catch.h"
#include "support/finding.h"
#include "support/run.h"
#include "support/traffic.h"
#include "util/text.h"

using namespace culprit;
using namespace culprit::test;

namespace {

std::uint64_t number_in(const char* path) {
    std::string text = read_file(path).value_or("");
    while (!text.empty() && text.back() == '\n')
        text.pop_back();
    return to_number(text).value_or(0);
}

std::uint64_t limit() {
    return number_in("/proc/sys/net/netfilter/nf_conntrack_max");
}

std::uint64_t entries() {
    return number_in("/proc/sys/net/netfilter/nf_conntrack_count");
}

void put_direction(nlmsghdr* message, std::uint16_t type, std::uint32_t from, std::uint32_t to,
                   std::uint16_t port, std::uint16_t to_port) {
    nlattr* tuple = mnl_attr_nest_start(message, type);
    nlattr* ip = mnl_attr_nest_start(message, CTA_TUPLE_IP);
    mnl_attr_put_u32(message, CTA_IP_V4_SRC, htonl(from));
    mnl_attr_put_u32(message, CTA_IP_V4_DST, htonl(to));
    mnl_attr_nest_end(message, ip);
    nlattr* proto = mnl_attr_nest_start(message, CTA_TUPLE_PROTO);
    mnl_attr_put_u8(message, CTA_PROTO_NUM, IPPROTO_TCP);
    mnl_attr_put_u16(message, CTA_PROTO_SRC_PORT, htons(port));
    mnl_attr_put_u16(message, CTA_PROTO_DST_PORT, htons(to_port));
    mnl_attr_nest_end(message, proto);
    mnl_attr_nest_end(message, tuple);
}

/// An established connection between two strangers, which is not thrown out for a new one.
void put_entry(nlmsghdr* message, std::uint64_t number) {
    constexpr std::uint32_t kFrom = 0xc6330000, kTo = 0xcb007101; // test networks of RFC 5737
    const auto from = kFrom + static_cast<std::uint32_t>(number >> 14);
    const auto port = static_cast<std::uint16_t>(1024 + (number & 0x3fff));
    message->nlmsg_type = (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_NEW;
    message->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE;
    auto* body = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(nfgenmsg)));
    *body = {AF_INET, NFNETLINK_V0, 0};
    put_direction(message, CTA_TUPLE_ORIG, from, kTo, port, 80);
    put_direction(message, CTA_TUPLE_REPLY, kTo, from, 80, port);
    mnl_attr_put_u32(message, CTA_STATUS, htonl(IPS_ASSURED | IPS_SEEN_REPLY | IPS_CONFIRMED));
    mnl_attr_put_u32(message, CTA_TIMEOUT, htonl(600));
    nlattr* info = mnl_attr_nest_start(message, CTA_PROTOINFO);
    nlattr* tcp = mnl_attr_nest_start(message, CTA_PROTOINFO_TCP);
    mnl_attr_put_u8(message, CTA_PROTOINFO_TCP_STATE, TCP_CONNTRACK_ESTABLISHED);
    mnl_attr_nest_end(message, tcp);
    mnl_attr_nest_end(message, info);
}

/// Adds entries to the table of the namespace this thread is in.
void add_entries(std::uint64_t count) {
    mnl_socket* socket = mnl_socket_open(NETLINK_NETFILTER);
    must(socket && mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) == 0, "open netlink");
    std::vector<char> batch;
    alignas(nlmsghdr) std::array<char, 512> one{};
    for (std::uint64_t i = 0; i < count; i++) {
        nlmsghdr* message = mnl_nlmsg_put_header(one.data());
        put_entry(message, i);
        batch.insert(batch.end(), one.data(), one.data() + message->nlmsg_len);
        if (batch.size() > 60'000 || i + 1 == count) {
            must(mnl_socket_sendto(socket, batch.data(), batch.size()) > 0, "add entries");
            batch.clear();
        }
    }
    mnl_socket_close(socket);
}

constexpr std::uint64_t kLimitMax = 600'000; // more take too long to fill

/// Tracks all connections of that namespace.
void track(const Side& side) {
    side.nft("input", "ct state invalid drop");
}

} // namespace

TEST_CASE("a full connection table is named, with count, limit and who suffers",
          "[conntrack_test]") {
    const WiredNs ns;
    if (limit() == 0 || limit() > kLimitMax)
        skip("the limit of the connection table cannot be reached here");
    const Server echo(ns.b, "ct-echo", Serve::kEcho, ns.b.v4);
    track(ns.b);
    ns.b.in([] { add_entries(limit() + 100); });
    Culprit culprit = diagnose({"--for", "5s"});
    culprit.wait_until_watching();
    Child client(ns.a.path(), "ct-shut-out", [&](const Tell&) {
        for (int i = 0; i < 6; i++)
            try_connect(ns.b.v4, echo.port(), 0.5);
        return 0;
    });
    client.wait();
    CHECK(culprit.wait() == 3);
    const Json verdict = Json::parse(culprit.out());
    INFO(verdict["findings"].dump(1).substr(0, 6000));
    const auto finding = find_finding(verdict, "conntrack-full", about(ns.b.inum()));
    REQUIRE(finding);
    CHECK((*finding)["severity"] == "critical");
    CHECK((*finding)["culprit"].is_null());
    CHECK(hurts(client.pid())(*finding));
    CHECK((*finding)["title"].get<std::string>().find(fmt::format("of {}", limit())) !=
          std::string::npos);
    CHECK_FALSE(find_finding(verdict, "firewall-drop", about(ns.b.inum())));
    CHECK_FALSE(find_finding(verdict, "connect-timeout", hurts(client.pid())));
    for (const Json& row : verdict["reconciliation"])
        if (row["counter"] == "Conntrack.drop" && row["netns"] == ns.b.inum())
            CHECK(row["unexplained"] == 0);
}

TEST_CASE("a connection table in use is healthy", "[conntrack_test]") {
    const WiredNs ns;
    const Server echo(ns.b, "ct-echo", Serve::kEcho, ns.b.v4);
    track(ns.b);
    Culprit culprit = diagnose({"--for", "4s", "--netns", ns.b.netns()});
    culprit.wait_until_watching();
    ns.a.in([&] { short_connections(ns.b.v4, echo.port(), 300); });
    std::uint64_t seen = 0;
    ns.b.in([&] { seen = entries(); });
    CHECK(seen > 0);
    CHECK(culprit.wait() == 0);
}
