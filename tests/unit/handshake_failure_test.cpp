// SPDX-License-Identifier: MIT
// Are connections that end after a ClientHello told, and short exchanges of other kinds left alone?
#include <algorithm>

#include "detect/finding.h"
#include "support/catch.h"
#include "support/event_builder.h"
#include "support/fake_names.h"

namespace culprit {

namespace {

using namespace test;

constexpr std::uint16_t kPort = 443;

struct Ended {
    std::uint64_t asked = 260, answered = 7;
    bool server_closes = true;
    std::uint8_t ending = ABI_ENDING_FIN;
    std::uint64_t lived_ns = 5'000'000;
    int count = 50;
};

/// As the kernel counts: a SYN and a FIN each way.
void add_ended(Window& window, const Ended& of, bool serves) {
    for (int i = 0; i < of.count; i++) {
        auto closed = make<close_event>();
        const auto port = static_cast<std::uint16_t>(40000 + i);
        closed.flow = serves ? tcp_flow("10.0.0.2", kPort, "10.0.0.1", port, kNetns + 1)
                             : tcp_flow("10.0.0.1", port, "10.0.0.2", kPort);
        closed.owner = serves ? process("web", 9) : process("client", 7);
        closed.role = serves ? ABI_ROLE_SERVER : ABI_ROLE_CLIENT;
        closed.closer = of.server_closes == serves ? ABI_CLOSER_LOCAL : ABI_CLOSER_REMOTE;
        closed.ending = of.ending;
        closed.service_port = kPort;
        closed.bytes_sent = (serves ? of.answered : of.asked) + 2;
        closed.bytes_received = (serves ? of.asked : of.answered) + 1;
        closed.had_data = of.asked + of.answered > 0;
        closed.established_ns = of.lived_ns;
        window.fold(bytes_of(closed));
    }
}

std::vector<Finding> found(const std::vector<Ended>& all, bool client = true, bool server = true) {
    Window window;
    window.from_ns = kSecondNs;
    window.to_ns = 11 * kSecondNs;
    window.names = fake_names();
    for (const Ended& one : all) {
        if (client)
            add_ended(window, one, false);
        if (server)
            add_ended(window, one, true);
    }
    auto findings = detect_all({.total = window, .windows = {}});
    std::erase_if(findings, [](const Finding& f) { return f.id != "handshake-failure"; });
    return findings;
}

} // namespace

TEST_CASE("a server that hangs up after the first bytes is told once for both ends",
          "[handshake_failure_test]") {
    const auto findings = found({{}});
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].severity == Severity::kWarning);
    CHECK(findings[0].confidence <= 0.5);
    CHECK_FALSE(findings[0].culprit);
    CHECK(findings[0].where.local == "10.0.0.2:443");
    CHECK(findings[0].where.netns == kNetns + 1);
    CHECK(findings[0].affected.size() == 2);
    CHECK(findings[0].title ==
          "10.0.0.2:443 hangs up on client (pid 7) right after the first bytes");
    CHECK(findings[0].count == 50);
}

TEST_CASE("one end is enough", "[handshake_failure_test]") {
    const auto client = found({{}}, true, false);
    REQUIRE(client.size() == 1);
    CHECK(client[0].where.remote == "10.0.0.2:443");
    CHECK(client[0].where.netns == kNetns);
    REQUIRE(found({{.answered = 0}}, false, true).size() == 1);
}

TEST_CASE("short exchanges of other kinds are healthy", "[handshake_failure_test]") {
    CHECK(found({{.asked = 0, .answered = 0}}).empty());                           // port probes
    CHECK(found({{.asked = 0, .answered = 0, .server_closes = false}}).empty());   // health checks
    CHECK(found({{.asked = 140, .answered = 160}}).empty());                       // HTTP
    CHECK(found({{.asked = 14, .answered = 7}}).empty());                          // redis PING
    CHECK(found({{.asked = 14, .answered = 7, .server_closes = false}}).empty());  // the same
    CHECK(found({{.asked = 0, .answered = 40}}).empty());                          // SMTP banner
    CHECK(found({{.asked = 300, .answered = 0, .server_closes = false}}).empty()); // a log line
    CHECK(found({{.asked = 300, .answered = 3}}).empty());                         // a short word
    CHECK(found({{.lived_ns = 60 * kSecondNs}}).empty());
    CHECK(found({{.ending = ABI_ENDING_RESET_RECEIVED}}).empty()); // rst-storm
}

TEST_CASE("a few of many are strangers", "[handshake_failure_test]") {
    CHECK(found({{.count = 9}}).empty());
    CHECK(found({{.count = 40}, {.answered = 4000, .server_closes = false, .count = 100}}).empty());
}

} // namespace culprit
