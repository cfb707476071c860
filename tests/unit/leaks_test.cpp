// SPDX-License-Identifier: MIT
// Leaked, half closed and orphaned sockets: named with their process and peer; lagging ones are
// healthy.
#include <netinet/tcp.h>

#include "detect/finding.h"
#include "detect/thresholds.h"
#include "support/catch.h"
#include "support/socket_builder.h"

using namespace culprit;
using namespace culprit::test;

namespace {

const abi_flow kServed = tcp_flow("10.0.0.1", 80, "0.0.0.0", 0, kNetns, 0);
const abi_flow kPeer = tcp_flow("10.0.0.2", 0, "10.0.0.1", 80, kNetns + 1, 0);

socket_total close_wait(std::uint64_t at_begin, std::uint64_t at_end, std::uint64_t aged) {
    auto total = total_of(TCP_CLOSE_WAIT, ABI_ROLE_SERVER, kServed, at_begin, at_end);
    total.owner = process("leaks", 42);
    total.aged = aged;
    total.oldest_ns = 9 * kSecondNs;
    return total;
}

socket_total fin_wait2(std::uint64_t count) {
    auto total = total_of(TCP_FIN_WAIT2, ABI_ROLE_CLIENT, kPeer, 0, count);
    total.keeper = ABI_KEEPER_TIMER;
    total.aged = count;
    return total;
}

/// The process closed these after its peers did.
void add_left(Window& window, int count) {
    for (int i = 0; i < count; i++) {
        auto closed = make<close_event>();
        closed.flow = tcp_flow("10.0.0.1", 80, "10.0.0.2", 50000);
        closed.owner = process("leaks", 42);
        closed.role = ABI_ROLE_SERVER;
        closed.closer = ABI_CLOSER_REMOTE;
        closed.last_state = TCP_LAST_ACK;
        closed.service_port = 80;
        window.fold(bytes_of(closed));
    }
}

} // namespace

TEST_CASE("a process that never closes what its peers closed leaks", "[leaks_test]") {
    const auto findings = found(window_of({close_wait(0, 100, 100)}));
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "close-wait-leak");
    CHECK(findings[0].severity == Severity::kWarning);
    CHECK(findings[0].culprit->owner.tgid == 42);
    CHECK(findings[0].where.local == "10.0.0.1:80");
    CHECK(findings[0].count == 100);
}

TEST_CASE("the guide's mark makes a leak critical, and no owner makes nobody up", "[leaks_test]") {
    auto many = close_wait(2000, 2000, 2000);
    many.owner = abi_owner{};
    const auto findings = found(window_of({many}));
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].severity == Severity::kCritical);
    CHECK(findings[0].culprit->owner.tgid == 0);
    CHECK(findings[0].title.find("unknown process") != std::string::npos);
}

TEST_CASE("a process that closes late, a few sockets and fresh ones are no leak", "[leaks_test]") {
    Window late = window_of({close_wait(200, 200, 50)});
    add_left(late, 300);
    CHECK(found(late).empty());
    CHECK(found(window_of({close_wait(0, 19, 19)})).empty());
    CHECK(found(window_of({close_wait(0, 500, 0)})).empty());
}

TEST_CASE("a leak that grows is one although the process closes others", "[leaks_test]") {
    Window window = window_of({close_wait(100, 300, 250)});
    add_left(window, 300);
    REQUIRE(found(window).size() == 1);
}

TEST_CASE("connections that wait for accept() are no leak", "[leaks_test]") {
    auto queued = close_wait(0, 500, 500);
    queued.keeper = ABI_KEEPER_QUEUE;
    CHECK(found(window_of({queued})).empty());
}

TEST_CASE("peers that do not close are told by address; their leak here is the finding instead",
          "[leaks_test]") {
    const auto findings = found(window_of({fin_wait2(100)}));
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "fin-wait2-growth");
    CHECK(findings[0].severity == Severity::kInfo);
    CHECK(findings[0].where.remote == "10.0.0.1:80");
    const auto joined = found(window_of({fin_wait2(100), close_wait(0, 100, 100)}));
    REQUIRE(joined.size() == 1);
    CHECK(joined[0].id == "close-wait-leak");
    CHECK(found(window_of({fin_wait2(2000)}))[0].severity == Severity::kWarning);
    CHECK(found(window_of({fin_wait2(threshold::kFinWait2Min - 1)})).empty());
}

TEST_CASE("orphans with unsent data towards one peer are reported without a culprit",
          "[leaks_test]") {
    auto orphans = total_of(TCP_FIN_WAIT1, ABI_ROLE_CLIENT, kPeer, 0, 40);
    orphans.keeper = ABI_KEEPER_ORPHAN;
    orphans.aged = 40;
    orphans.unsent_bytes = 400'000;
    const auto findings = found(window_of({orphans}));
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "orphans");
    CHECK_FALSE(findings[0].culprit);
    CHECK(findings[0].title.find("10.0.0.1") != std::string::npos);
    auto closing = orphans;
    closing.unsent_bytes = 0; // only the FIN is on its way
    CHECK(found(window_of({closing})).empty());
    orphans.aged = 0;
    CHECK(found(window_of({orphans})).empty());
}

TEST_CASE("few orphans are critical when the host is near its limit of them", "[leaks_test]") {
    auto orphans = total_of(TCP_LAST_ACK, ABI_ROLE_CLIENT, kPeer, 0, 3);
    orphans.keeper = ABI_KEEPER_ORPHAN;
    orphans.aged = 3;
    orphans.unsent_bytes = 3000;
    Window window = window_of({orphans});
    window.counters[kPeer.netns].gauges.set(gauge("TCP.orphan"), 900);
    window.counters[kPeer.netns].gauges.set(gauge("tcp_max_orphans"), 1000);
    const auto findings = found(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].severity == Severity::kCritical);
}
