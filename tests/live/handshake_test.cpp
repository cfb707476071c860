// SPDX-License-Identifier: MIT
// Are handshakes that a far path loses told from paths in order, by direction?
#include "support/catch.h"
#include "support/finding.h"
#include "support/listening.h"
#include "support/run.h"
#include "support/tun_wire.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr unsigned kSyn = 2, kAck = 16;

struct Told {
    Json verdict;
    pid_t client = 0;
    int status = 0;
};

/// What diagnose says while a client connects over a wire that forgets that.
Told over(const LossyWire::Forgets& forgets) {
    if (!LossyWire::possible())
        skip("no TUN devices here");
    const TwoNs ns(TwoNs::Wire::kNone);
    const LossyWire wire(ns, forgets);
    const Server server(ns.b, "ct-server", Serve::kEcho, ns.b.v4);
    Culprit culprit = diagnose({"--for", "9s"});
    culprit.wait_until_watching();
    Child client(ns.a.path(), "ct-client",
                 [&](const Tell&) { return knock(ns.b.v4, server.port(), 150, 2500, 30); });
    CHECK(client.wait() == 0);
    const int status = culprit.wait();
    return {Json::parse(culprit.out()), client.pid(), status};
}

/// Every second one of these.
LossyWire::Forgets every_second(unsigned flags, bool from_a) {
    return [=, count = 0U](const Carried& packet) mutable {
        return packet.from_a == from_a && (packet.tcp_flags() & (kSyn | kAck)) == flags &&
               ++count % 2 == 0;
    };
}

bool tells_hurt(const Told& told, const std::string& id) {
    return find_finding(told.verdict, id, hurts(told.client)).has_value();
}

} // namespace

TEST_CASE("SYNs that a path loses are syn-loss of the client that sends them", "[handshake_test]") {
    const Told told = over(every_second(kSyn, true));
    INFO(told.verdict.dump().substr(0, 8000));
    CHECK(told.status == 3);
    const auto finding = find_finding(told.verdict, "syn-loss", hurts(told.client));
    REQUIRE(finding);
    CHECK((*finding)["confidence"] > 0.9); // the server is on this host, too
    CHECK_FALSE(tells_hurt(told, "connect-timeout"));
    CHECK_FALSE(tells_hurt(told, "packet-loss"));
    CHECK_FALSE(tells_hurt(told, "synack-loss"));
}

TEST_CASE("answers that a path loses are synack-loss", "[handshake_test]") {
    const Told told = over(every_second(kSyn | kAck, false));
    INFO(told.verdict.dump().substr(0, 8000));
    CHECK(told.status == 3);
    CHECK(tells_hurt(told, "synack-loss"));
    CHECK_FALSE(tells_hurt(told, "syn-loss"));
    CHECK_FALSE(tells_hurt(told, "connect-timeout"));
}

TEST_CASE("a path that loses nothing is no finding", "[handshake_test]") {
    const Told told = over([](const Carried&) { return false; });
    INFO(told.verdict.dump().substr(0, 8000));
    for (const char* id : {"syn-loss", "synack-loss", "connect-timeout"})
        CHECK_FALSE(tells_hurt(told, id));
}
