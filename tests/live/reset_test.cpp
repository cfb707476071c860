// SPDX-License-Identifier: MIT
// Do reset records tell who reset which connection, and do they add up?
#include "support/catch.h"
#include "support/run.h"
#include "support/traffic.h"

using namespace culprit;
using namespace culprit::test;

TEST_CASE("a closed port resets without a socket, and the client is told", "[reset_test]") {
    constexpr std::uint16_t kNobody = 9;
    const WiredNs ns;
    const BothEnds ends("reset", ns);
    Child client(ns.a.path(), "ct-client",
                 [&](const Tell&) { return try_connect(ns.b.v4, kNobody, 5); });
    const Json received = ends.a(), sent = ends.b();
    CHECK(client.wait() == ECONNREFUSED);
    CHECK(sent["direction"] == "sent");
    CHECK(sent["pid"].is_null());
    CHECK(sent["tcp_state"].is_null());
    CHECK(sent["local"] == end_text(ns.b.v4, kNobody));
    CHECK(sent["remote"].get<std::string>().starts_with(ns.a.v4 + ":"));
    if (sent["reason_known"] == 1)
        CHECK(sent["reason"] == "NO_SOCKET");
    CHECK(received["direction"] == "received");
    CHECK(received["local"] == sent["remote"]);
    CHECK(received["remote"] == sent["local"]);
    CHECK(received["pid"] == client.pid());
    CHECK(received["tcp_state"] == "SYN_SENT");
}

TEST_CASE("a process that aborts owns the reset it sends", "[reset_test]") {
    const WiredNs ns;
    const Server server(ns.b, "ct-server", Serve::kEcho, ns.b.v4);
    const BothEnds ends("reset", ns);
    Child client(ns.a.path(), "ct-aborts", [&](const Tell&) {
        const UniqueFd fd = connect_to(ns.b.v4, server.port());
        send_bytes(fd.get(), 100);
        receive_bytes(fd.get(), 100);
        reset_on_close(fd.get());
        return 0;
    });
    const Json sent = ends.a(), received = ends.b();
    CHECK(client.wait() == 0);
    CHECK(sent["direction"] == "sent");
    CHECK(sent["pid"] == client.pid());
    CHECK(sent["comm"] == "ct-aborts");
    CHECK(sent["remote"] == end_text(ns.b.v4, server.port()));
    CHECK(received["direction"] == "received");
    CHECK(received["pid"] == server.pid());
    CHECK(received["tcp_state"] == "ESTABLISHED");
    CHECK(received["remote"] == sent["local"]);
}

TEST_CASE("resets sent add up to what the kernel counts", "[reset_test]") {
    constexpr int kEach = 40;
    const WiredNs ns;
    const Server server(ns.b, "ct-resets", Serve::kReset, ns.b.v4);
    Culprit culprit = watch({"reset", "--netns", ns.b.netns()});
    culprit.wait_until_watching();
    const Counters before = ns.b.counters();
    Child client(ns.a.path(), "ct-client", [&](const Tell&) {
        for (int i = 0; i < kEach; i++) {
            try_connect(ns.b.v4, 9, 1);
            try_connect(ns.b.v6, 9, 1);
            const UniqueFd fd = connect_to(ns.b.v4, server.port());
            send_bytes(fd.get(), 100);
            char byte = 0;
            while (::recv(fd.get(), &byte, 1, 0) > 0) {
            }
        }
        return 0;
    });
    REQUIRE(client.wait() == 0);
    const auto sent = [](const Json& e) {
        return e["kind"] == "reset" && e["direction"] == "sent";
    };
    const std::uint64_t expected = growth(ns.b.counters(), before)[counter("Tcp.OutRsts")];
    CHECK(expected >= 3 * kEach);
    culprit.await(sent, expected);
    CHECK(culprit.stop() == 0);
    CHECK(culprit.events(sent).size() == expected);
    const auto by_server = [&](const Json& e) { return sent(e) && e["pid"] == server.pid(); };
    CHECK(culprit.events(by_server).size() == kEach);
}
