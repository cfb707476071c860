// SPDX-License-Identifier: MIT
// Do connect and close records tell what became of real connections, and whose they were?
#include "support/catch.h"
#include "support/run.h"
#include "support/traffic.h"

using namespace culprit;
using namespace culprit::test;

namespace {

/// A client process that talks to the server once.
int talk(const Tell& tell, const std::string& host, std::uint16_t port, std::size_t bytes) {
    UniqueFd fd = connect_to(host, port);
    tell(local_port(fd.get()));
    send_bytes(fd.get(), bytes);
    receive_bytes(fd.get(), bytes);
    close_gracefully(std::move(fd));
    return 0;
}

/// One connection, answered and closed, while culprit watches.
struct Talked {
    pid_t client = 0;
    std::uint16_t port = 0; // the client's
    Json event;             // of that kind
};

Talked talk_once(Culprit& culprit, const char* kind, const WiredNs& ns, const std::string& to,
                 std::uint16_t server) {
    Child client(ns.a.path(), "ct-client",
                 [&](const Tell& tell) { return talk(tell, to, server, 10); });
    Talked talked{client.pid(), static_cast<std::uint16_t>(client.number()), {}};
    talked.event = culprit.await(is(kind)).at(0);
    CHECK(client.wait() == 0);
    return talked;
}

/// One answered connection to that address, as the client's namespace shows it.
Json answered_connect(const WiredNs& ns, const std::string& host, const std::string& to) {
    const Server server(ns.b, "ct-server", Serve::kEcho, host);
    Culprit culprit = watch({"connect", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    const auto [client, port, event] = talk_once(culprit, "connect", ns, to, server.port());
    CHECK(event["pid"] == client);
    CHECK(event["comm"] == "ct-client");
    CHECK(event["provenance"] == "creator");
    CHECK(event["result"] == "ok");
    CHECK(event["latency_ns"] > 0);
    CHECK(event["netns"] == ns.a.inum());
    const std::string shown = to.starts_with("::ffff:") ? to.substr(7) : to;
    CHECK(event["remote"] == end_text(shown, server.port()));
    CHECK(event["local"].get<std::string>().ends_with(fmt::format(":{}", port)));
    CHECK(culprit.stop() == 0);
    return event;
}

} // namespace

TEST_CASE("an answered IPv4 connection has its process, latency and both ends",
          "[connection_test]") {
    const WiredNs ns;
    const Json event = answered_connect(ns, ns.b.v4, ns.b.v4);
    CHECK(event["local"].get<std::string>().starts_with(ns.a.v4 + ":"));
    CHECK_FALSE(event.contains("v4_mapped"));
}

TEST_CASE("an answered IPv6 connection has its process, latency and both ends",
          "[connection_test]") {
    const WiredNs ns;
    const Json event = answered_connect(ns, ns.b.v6, ns.b.v6);
    CHECK(event["local"].get<std::string>().starts_with("[" + ns.a.v6 + "]:"));
    CHECK_FALSE(event.contains("v4_mapped"));
}

TEST_CASE("an IPv6 socket that talks IPv4 shows IPv4 ends and says so", "[connection_test]") {
    const WiredNs ns;
    const Json event = answered_connect(ns, ns.b.v4, "::ffff:" + ns.b.v4);
    CHECK(event["local"].get<std::string>().starts_with(ns.a.v4 + ":"));
    CHECK(event["v4_mapped"] == true);
}

TEST_CASE("a refused connection says ECONNREFUSED", "[connection_test]") {
    const WiredNs ns;
    Culprit culprit = watch({"connect", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    constexpr std::uint16_t kNobody = 9;
    Child client(ns.a.path(), "ct-refused",
                 [&](const Tell&) { return try_connect(ns.b.v4, kNobody, 5); });
    const Json event = culprit.await(is("connect")).at(0);
    CHECK(client.wait() == ECONNREFUSED);
    CHECK(event["result"] == "error");
    CHECK(event["error"] == "ECONNREFUSED");
    CHECK(event["pid"] == client.pid());
    CHECK(event["comm"] == "ct-refused");
    CHECK(event["remote"] == end_text(ns.b.v4, kNobody));
}

TEST_CASE("a connection given up without an answer is abandoned, with its repeated SYNs",
          "[connection_test]") {
    const WiredNs ns;
    ns.b.nft("input", "tcp flags syn drop");
    Culprit culprit = watch({"connect", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    Child client(ns.a.path(), "ct-patient",
                 [&](const Tell&) { return try_connect(ns.b.v4, 80, 1.6); });
    const Json event = culprit.await(is("connect")).at(0);
    CHECK(client.wait() == EINPROGRESS);
    CHECK(event["result"] == "abandoned");
    CHECK(event["error"].is_null());
    CHECK(event["syn_retransmits"] >= 1);
    CHECK(event["latency_ns"] >= 1'000'000'000);
    CHECK(event["pid"] == client.pid());
}

TEST_CASE("both ends of a graceful close have role, closer, bytes and owner", "[connection_test]") {
    constexpr std::size_t kBytes = 5000;
    const WiredNs ns;
    const BothEnds ends("close", ns);
    const Server server(ns.b, "ct-server", Serve::kEcho, ns.b.v4);
    Child client(ns.a.path(), "ct-client",
                 [&](const Tell& tell) { return talk(tell, ns.b.v4, server.port(), kBytes); });
    const auto port = static_cast<std::uint16_t>(client.number());
    CHECK(client.wait() == 0);
    const Json left = ends.a(), right = ends.b();
    CHECK(left["role"] == "client");
    CHECK(left["closer"] == "local");
    CHECK(left["pid"] == client.pid());
    CHECK(left["provenance"] == "creator");
    CHECK(left["handshake_ns"] > 0);
    CHECK(right["role"] == "server");
    CHECK(right["closer"] == "remote");
    CHECK(right["pid"] == server.pid());
    CHECK(right["comm"] == "ct-server");
    CHECK(right["provenance"] == "reader");
    CHECK(left["local"] == end_text(ns.a.v4, port));
    CHECK(left["local"] == right["remote"]);
    CHECK(left["remote"] == right["local"]);
    for (const Json& end : {left, right}) {
        CHECK(end["ending"] == "fin");
        CHECK(end["service_port"] == server.port());
        CHECK(end["had_data"] == 1);
        CHECK(end["established_ns"] > 0);
        // SYN and FIN have a number in the sequence too
        CHECK(end["bytes_sent"] >= kBytes);
        CHECK(end["bytes_sent"] <= kBytes + 2);
        CHECK(end["bytes_received"] >= kBytes);
        CHECK(end["bytes_received"] <= kBytes + 1);
    }
}

TEST_CASE("a reset ends the sender's side as sent and the other as received", "[connection_test]") {
    const WiredNs ns;
    const BothEnds ends("close", ns);
    const Server server(ns.b, "ct-server", Serve::kEcho, ns.b.v4);
    Child client(ns.a.path(), "ct-resetter", [&](const Tell&) {
        const UniqueFd fd = connect_to(ns.b.v4, server.port());
        send_bytes(fd.get(), 100);
        receive_bytes(fd.get(), 100);
        reset_on_close(fd.get());
        return 0;
    });
    CHECK(client.wait() == 0);
    const Json left = ends.a(), right = ends.b();
    CHECK(left["ending"] == "reset-sent");
    CHECK(left["closer"] == "local");
    CHECK(left["pid"] == client.pid());
    CHECK(right["ending"] == "reset-received");
    CHECK(right["closer"] == "remote");
    CHECK(right["error"] == "ECONNRESET");
    CHECK(right["pid"] == server.pid());
}

TEST_CASE("a server older than culprit owns the connections it accepts later",
          "[connection_test]") {
    const WiredNs ns;
    const Server server(ns.b, "ct-old-server", Serve::kEcho, ns.b.v4);
    Culprit culprit = watch({"close", "--netns", ns.b.netns()});
    culprit.wait_until_watching();
    const Json event = talk_once(culprit, "close", ns, ns.b.v4, server.port()).event;
    CHECK(event["pid"] == server.pid());
    CHECK(event["comm"] == "ct-old-server");
    CHECK(event["provenance"] == "reader");
    CHECK(event["role"] == "server");
}

TEST_CASE("a connection older than culprit is owned by the process that holds it",
          "[connection_test]") {
    const WiredNs ns;
    const Server server(ns.b, "ct-server", Serve::kEcho, ns.b.v4);
    const Word word;
    Child client(ns.a.path(), "ct-old-client", [&](const Tell& tell) {
        UniqueFd fd = connect_to(ns.b.v4, server.port());
        tell(local_port(fd.get()));
        word.await();
        close_gracefully(std::move(fd));
        return 0;
    });
    client.number();
    Culprit culprit = watch({"close", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    word.give();
    const Json event = culprit.await(is("close")).at(0);
    CHECK(client.wait() == 0);
    CHECK(event["pid"] == client.pid());
    CHECK(event["comm"] == "ct-old-client");
    CHECK(event["provenance"] == "writer");
    CHECK(event["role"] == "unknown");
}
