// SPDX-License-Identifier: MIT
// Do drop records name the packet, the reason and the place, and are the totals exact?
#include "abi/drop.h"
#include "support/catch.h"
#include "support/run.h"
#include "support/saved.h"
#include "support/traffic.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr std::uint16_t kPort = 4444;

auto for_reason(const std::string& reason) {
    return [=](const Json& e) { return e["kind"] == "drop" && e["reason"] == reason; };
}

/// Packets of that reason in that namespace.
std::uint64_t dropped(const Window& window, const std::string& reason, const Side& side) {
    std::uint64_t packets = 0;
    for (const auto& [total, info] : window.rows<drop_total>(ABI_DROP_TOTAL)) {
        const auto name = window.names.drop_reasons.find(total.reason);
        if (total.netns == side.inum() && name != window.names.drop_reasons.end() &&
            name->second == reason)
            packets += total.packets;
    }
    return packets;
}

} // namespace

TEST_CASE("a packet dropped by the firewall has its ends, device, reason and place",
          "[drop_test]") {
    const WiredNs ns;
    ns.b.nft("input", fmt::format("udp dport {} drop", kPort));
    Culprit culprit = watch({"drop", "--netns", ns.b.netns()});
    culprit.wait_until_watching();
    ns.a.in([&] { send_udp(ns.b.v4, kPort, 1, 100); });
    const Json event = culprit.await(for_reason("NETFILTER_DROP")).at(0);
    const std::string place = event["location"];
    INFO(event.dump());
    CHECK((place.starts_with("nft") || place.starts_with("nf_hook")));
    CHECK(event["local"].get<std::string>().starts_with(ns.a.v4 + ":"));
    CHECK(event["remote"] == end_text(ns.b.v4, kPort));
    CHECK(event["protocol"] == "udp");
    CHECK(event["device"] == ns.b.device);
    CHECK(event["netns"] == ns.b.inum());
    CHECK(event["bytes"] == 128);
}

TEST_CASE("a packet for a full socket is dropped for want of buffer", "[drop_test]") {
    const WiredNs ns;
    Child reader(ns.b.path(), "ct-lazy", [&](const Tell& tell) {
        const UniqueFd fd = make_socket(ns.b.v4, SOCK_DGRAM, kDeadlineSeconds);
        const int small = 4096;
        ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
        const Address at = address_of(ns.b.v4, 0);
        must(::bind(fd.get(), at.get(), at.size) == 0, "bind");
        tell(local_port(fd.get()));
        for (;;)
            ::pause();
        return 0;
    });
    const auto port = static_cast<std::uint16_t>(reader.number());
    Culprit culprit = watch({"drop", "--netns", ns.b.netns()});
    culprit.wait_until_watching();
    ns.a.in([&] { send_udp(ns.b.v4, port, 100, 1000); });
    const Json event = culprit.await(for_reason("SOCKET_RCVBUFF")).at(0);
    CHECK(event["remote"] == end_text(ns.b.v4, port));
    // owners are known for TCP sockets only
    CHECK((event["provenance"] == "unknown" || event["pid"] == reader.pid()));
}

TEST_CASE("a stack is there when asked for, and leads to the place", "[drop_test]") {
    const WiredNs ns;
    ns.b.nft("input", fmt::format("udp dport {} drop", kPort));
    Culprit culprit = watch({"drop_stack", "--netns", ns.b.netns()});
    culprit.wait_until_watching();
    ns.a.in([&] { send_udp(ns.b.v4, kPort, 1, 100); });
    const Json event = culprit.await(is("drop_stack")).at(0);
    INFO(event.dump());
    CHECK(event["remote"] == end_text(ns.b.v4, kPort));
    CHECK(event["reason"] == "NETFILTER_DROP");
    const auto frames = event["stack"].get<std::vector<std::string>>();
    const std::string place = event["location"];
    CHECK(std::ranges::find(frames, place) != frames.end());
    CHECK(std::ranges::any_of(
        frames, [](const std::string& f) { return f.starts_with("ip_local_deliver"); }));
}

TEST_CASE("nobody gets stacks who did not ask for them by name", "[drop_test]") {
    const WiredNs ns;
    ns.b.nft("input", fmt::format("udp dport {} drop", kPort));
    Culprit culprit = watch({"--netns", ns.b.netns()});
    culprit.wait_until_watching();
    ns.a.in([&] { send_udp(ns.b.v4, kPort, 1, 100); });
    culprit.await(for_reason("NETFILTER_DROP"));
    CHECK(culprit.events(is("drop_stack")).empty());
}

TEST_CASE("drop totals are exact", "[drop_test]") {
    constexpr std::size_t kCount = 5000;
    const WiredNs ns;
    const SaveFile save;
    ns.b.nft("input", fmt::format("udp dport {} counter drop", kPort));
    Culprit culprit = diagnose({"--for", "3s", "--save", save.path()});
    culprit.wait_until_watching();
    ns.a.in([&] { send_udp(ns.b.v4, kPort, kCount, 100); });
    const std::string rules = ns.b.output("nft list table inet t");
    culprit.wait();
    INFO(rules);
    const std::size_t at = rules.find("counter packets ");
    REQUIRE(at != std::string::npos);
    const std::uint64_t counted = std::stoull(rules.substr(at + 16));
    CHECK(counted > kCount / 2);
    CHECK(dropped(save.total(), "NETFILTER_DROP", ns.b) == counted);
}

TEST_CASE("drops of normal life are hidden unless asked for", "[drop_test]") {
    const WiredNs ns;
    const Server server(ns.b, "ct-echo", Serve::kEcho, ns.b.v4);
    Culprit usual = watch({"drop", "--netns", ns.b.netns()});
    Culprit all = watch({"drop", "--all", "--netns", ns.b.netns()});
    usual.wait_until_watching();
    all.wait_until_watching();
    ns.a.in([&] {
        short_connections(ns.b.v4, server.port(), 100);
        try_connect(ns.b.v4, 9, 1);
    });
    const Json event = all.await(for_reason("NO_SOCKET")).at(0);
    CHECK(event["remote"] == end_text(ns.b.v4, 9));
    CHECK(event["tcp_flags"] == "S");
    CHECK(usual.stop() == 0);
    CHECK(usual.out().find("\"kind\":\"drop\"") == std::string::npos);
    const std::vector<Json> lines = usual.lines();
    REQUIRE(lines.size() == 1);
    CHECK(lines[0]["kinds"]["drop"]["hidden"] >= 1);
}
