// SPDX-License-Identifier: MIT
// TIME_WAIT and ports: who closes first or holds them, towards which limit; natural levels are
// silent.
#include <netinet/tcp.h>

#include <cerrno>

#include "detect/finding.h"
#include "support/catch.h"
#include "support/readable.h"
#include "support/socket_builder.h"

using namespace culprit;
using namespace culprit::test;

namespace {

const abi_flow kToService = tcp_flow("10.0.0.1", 0, "10.0.0.2", 80, kNetns, 0);
const abi_flow kOwnService = tcp_flow("10.0.0.1", 80, "0.0.0.0", 0, kNetns, 0);

socket_total time_wait(std::uint8_t role, std::uint64_t at_begin, std::uint64_t at_end) {
    auto total = total_of(TCP_TIME_WAIT, role, role == ABI_ROLE_CLIENT ? kToService : kOwnService,
                          at_begin, at_end);
    total.keeper = ABI_KEEPER_TIMER;
    return total;
}

socket_total held(std::uint32_t pid, std::uint64_t at_begin, std::uint64_t at_end) {
    auto total = total_of(TCP_ESTABLISHED, ABI_ROLE_CLIENT, kToService, at_begin, at_end);
    total.owner = process("holder", pid);
    return total;
}

void set_limits(Window& window, std::uint64_t buckets, std::uint64_t ports,
                std::uint64_t reuse = 2) {
    Gauges& gauges = window.counters[kNetns].gauges;
    gauges.set(gauge("tcp_max_tw_buckets"), buckets);
    gauges.set(gauge("ip_local_port_range.low"), 30000);
    gauges.set(gauge("ip_local_port_range.high"), 30000 + ports - 1);
    gauges.set(gauge("tcp_tw_reuse"), reuse);
}

/// That process came to TIME_WAIT so often.
void add_entries(Window& window, std::uint32_t pid, std::uint8_t role, std::uint64_t count,
                 std::uint32_t last_state = TCP_FIN_WAIT2) {
    auto closed = make<close_event>();
    closed.flow = role == ABI_ROLE_CLIENT ? tcp_flow("10.0.0.1", 30001, "10.0.0.2", 80)
                                          : tcp_flow("10.0.0.1", 80, "10.0.0.2", 30001);
    closed.owner = process("closer", pid);
    closed.role = role;
    closed.closer = ABI_CLOSER_LOCAL;
    closed.last_state = last_state;
    closed.service_port = 80;
    for (std::uint64_t i = 0; i < count; i++)
        window.fold(bytes_of(closed));
}

void add_failures(Window& window, std::uint32_t pid, int count) {
    auto attempt = make<connect_event>();
    attempt.flow = tcp_flow("10.0.0.1", 0, "10.0.0.2", 80);
    attempt.owner = process("victim", pid);
    attempt.result = ABI_RESULT_LOCAL;
    attempt.error = EADDRNOTAVAIL;
    for (int i = 0; i < count; i++)
        window.fold(bytes_of(attempt));
}

bool says(const Finding& finding, const std::string& text) {
    return std::ranges::any_of(finding.evidence, [&](const Evidence& evidence) {
        return evidence.text.find(text) != std::string::npos;
    });
}

} // namespace

TEST_CASE("the closer of many connections is worth knowing while no limit is near",
          "[timewait_test]") {
    Window window = window_of({time_wait(ABI_ROLE_CLIENT, 1000, 20'000)});
    set_limits(window, 1'000'000, 65'000);
    add_entries(window, 42, ABI_ROLE_CLIENT, 900);
    add_entries(window, 43, ABI_ROLE_CLIENT, 100);
    window.counters[kNetns].gauges.set(gauge("ip_local_port_range.low"), 1); // many more
    const auto findings = found(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "time-wait-growth");
    CHECK(findings[0].culprit->owner.tgid == 42);
    CHECK(findings[0].where.remote == "10.0.0.2:80");
    CHECK(findings[0].count == 20'000);
    CHECK(says(findings[0], "900 of 1000"));
    CHECK(says(findings[0], "1000 were there before"));
}

TEST_CASE("a natural level of TIME_WAIT is silent, far from limits", "[timewait_test]") {
    Window window = window_of({time_wait(ABI_ROLE_CLIENT, 4000, 4500)});
    set_limits(window, 131'072, 28'232);
    add_entries(window, 42, ABI_ROLE_CLIENT, 750);
    CHECK(found(window).empty());
}

TEST_CASE("most of a limit in use is a warning", "[timewait_test]") {
    Window window = window_of({time_wait(ABI_ROLE_SERVER, 750, 800)});
    set_limits(window, 1000, 28'232);
    add_entries(window, 42, ABI_ROLE_SERVER, 100);
    const auto findings = found(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].severity == Severity::kWarning);
    CHECK(findings[0].culprit->owner.tgid == 42);
    CHECK(findings[0].where.local == "10.0.0.1:80");
    CHECK(says(findings[0], "800 of 1000 TIME_WAIT sockets there may be"));
}

TEST_CASE("a limit that is well begun and soon reached is a warning with the time left",
          "[timewait_test]") {
    Window window = window_of({time_wait(ABI_ROLE_CLIENT, 0, 10'000)});
    set_limits(window, 1'000'000, 28'232);
    add_entries(window, 42, ABI_ROLE_CLIENT, 10'000);
    const auto findings = found(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].severity == Severity::kWarning);
    CHECK(says(findings[0], "10000 of 28232 local ports to 10.0.0.2:80"));
    CHECK(says(findings[0], "in 18 s at 1000 more per second"));
}

TEST_CASE("a rate that levels off below the limit is no warning", "[timewait_test]") {
    Window window = window_of({time_wait(ABI_ROLE_CLIENT, 9000, 12'000)});
    set_limits(window, 1'000'000, 28'232);
    add_entries(window, 42, ABI_ROLE_CLIENT, 3000); // 300 per second: 18000 of them
    const auto findings = found(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].severity == Severity::kInfo);
    CHECK(says(findings[0], "levels off at about 18000"));
}

TEST_CASE("a burst that is over leads nowhere", "[timewait_test]") {
    Window total = window_of({time_wait(ABI_ROLE_CLIENT, 0, 10'000)});
    set_limits(total, 1'000'000, 28'232);
    std::vector<Window> course;
    for (const std::uint64_t tw : {0, 10'000, 10'000, 10'000}) {
        course.push_back(window_of({}));
        course.back().to_ns += course.size() * kSecondNs;
        course.back().counters[kNetns].gauges.set(gauge("TCP.tw"), tw);
    }
    auto findings = test::readable_findings({total, course});
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].severity == Severity::kInfo);
    course.back().counters[kNetns].gauges.set(gauge("TCP.tw"), 12'000);
    findings = test::readable_findings({total, course});
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].severity == Severity::kWarning);
}

TEST_CASE("ports that may be used again are not used up", "[timewait_test]") {
    Window window = window_of({time_wait(ABI_ROLE_CLIENT, 0, 9000)});
    set_limits(window, 1'000'000, 10'000, 1);
    const auto findings = found(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].severity == Severity::kInfo);
}

TEST_CASE("TIME_WAIT older than the run has the listener as owner, or none", "[timewait_test]") {
    auto served = time_wait(ABI_ROLE_SERVER, 20'000, 20'000);
    served.owner = process("listener", 9, ABI_OWNER_LISTENER);
    auto findings = found(window_of({served}));
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].culprit->owner.tgid == 9);
    findings = found(window_of({time_wait(ABI_ROLE_CLIENT, 20'000, 20'000)}));
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].culprit->owner.tgid == 0);
}

TEST_CASE("connections that were reset or closed by the peer are no entries", "[timewait_test]") {
    Window window = window_of({time_wait(ABI_ROLE_CLIENT, 0, 20'000)});
    add_entries(window, 42, ABI_ROLE_CLIENT, 100);
    add_entries(window, 43, ABI_ROLE_CLIENT, 5000, TCP_LAST_ACK);
    const auto findings = found(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].culprit->owner.tgid == 42);
}

TEST_CASE("a full table is tw-overflow, and not growth too", "[timewait_test]") {
    Window window = window_of({time_wait(ABI_ROLE_CLIENT, 0, 1000)});
    set_limits(window, 1000, 28'232);
    add_entries(window, 42, ABI_ROLE_CLIENT, 1500);
    window.counters[kNetns].growth[counter("TcpExt.TCPTimeWaitOverflow")] = 500;
    const auto findings = found(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "tw-overflow");
    CHECK(findings[0].culprit->owner.tgid == 42);
    CHECK(findings[0].count == 500);
    REQUIRE(findings[0].advice.size() == 2);
    CHECK(findings[0].advice[1].command.ends_with("tcp_max_tw_buckets=4000"));
}

TEST_CASE("who holds the ports is to blame, and who finds none suffers", "[timewait_test]") {
    Window window = window_of({held(42, 90, 95), held(43, 5, 5)});
    set_limits(window, 1000, 100);
    add_failures(window, 7, 20);
    const auto findings = found(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "port-exhaustion");
    CHECK(findings[0].severity == Severity::kCritical);
    CHECK(findings[0].culprit->owner.tgid == 42);
    REQUIRE(findings[0].affected.size() == 1);
    CHECK(findings[0].affected[0].owner.tgid == 7);
    CHECK(says(findings[0], "100 of 100 local ports"));
    CHECK(says(findings[0], "holds 95 of the 100 open ones"));
}

TEST_CASE("ports used up by TIME_WAIT are the closer's doing, told once", "[timewait_test]") {
    Window window = window_of({time_wait(ABI_ROLE_CLIENT, 50, 100)});
    set_limits(window, 100'000, 100);
    add_entries(window, 42, ABI_ROLE_CLIENT, 60);
    add_failures(window, 7, 20);
    const auto findings = found(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "port-exhaustion");
    CHECK(findings[0].culprit->owner.tgid == 42);
}

TEST_CASE("connects that find no port without a census blame nobody", "[timewait_test]") {
    Window window = window_of({});
    add_failures(window, 7, 20);
    const auto findings = found(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].culprit->owner.tgid == 0);
    CHECK(findings[0].title == "no local port is left to 10.0.0.2:80");
}

TEST_CASE("a pool near the range is a warning when it grows, and silent when it does not",
          "[timewait_test]") {
    Window growing = window_of({held(42, 0, 80)}), steady = window_of({held(42, 80, 80)});
    set_limits(growing, 1000, 100);
    set_limits(steady, 1000, 100);
    const auto findings = found(growing);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].severity == Severity::kWarning);
    CHECK(findings[0].culprit->owner.tgid == 42);
    CHECK(found(steady).empty());
}

TEST_CASE("TIME_WAIT of the sockets is held against the kernel's number", "[timewait_test]") {
    Window window = window_of({time_wait(ABI_ROLE_CLIENT, 0, 90)});
    window.counters[kNetns].gauges.set(gauge("TCP.tw"), 92);
    const auto rows = reconcile({window, {}});
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].counter == "sockstat TCP.tw");
    CHECK(rows[0].explained == 90);
    CHECK(rows[0].unexplained() == 2);
    CHECK_FALSE(rows[0].note.empty());
}
