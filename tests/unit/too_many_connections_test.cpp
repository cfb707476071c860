// SPDX-License-Identifier: MIT
// Sockets against the limits they count for.
#include <algorithm>

#include "abi/socket.h"
#include "detect/finding.h"
#include "support/catch.h"
#include "support/event_builder.h"
#include "support/fake_names.h"

namespace culprit {

namespace {

using namespace test;

Window holding(std::uint64_t sockets, std::uint64_t files, std::uint64_t limit) {
    Window window;
    window.from_ns = kSecondNs;
    window.to_ns = 11 * kSecondNs;
    window.names = fake_names();
    auto total = make<socket_total>();
    total.flow = tcp_flow("10.0.0.1", 8080, "0.0.0.0", 0);
    total.owner = process("server", 42);
    total.role = ABI_ROLE_SERVER;
    total.state = 1; // ESTABLISHED
    total.keeper = ABI_KEEPER_PROCESS;
    total.sockets = total.at_begin = total.at_end = sockets;
    total.memory_bytes = 1 << 20;
    total.open_files = files;
    total.files_limit = limit;
    window.fold(bytes_of(total));
    return window;
}

std::vector<Finding> found(const Window& window) {
    return detect_too_many_connections({window, std::span(&window, 1)});
}

} // namespace

TEST_CASE("a process near its limit of files because of sockets is warned of",
          "[too_many_connections_test]") {
    const auto findings = found(holding(900, 950, 1024));
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].severity == Severity::kWarning);
    CHECK(findings[0].culprit->owner.tgid == 42);
    CHECK(findings[0].advice.back().command == "prlimit --pid 42 --nofile=4096");
    CHECK(found(holding(1000, 1023, 1024)).at(0).severity == Severity::kCritical);
}

TEST_CASE("a busy process far from its limit, and one whose files are no sockets, are healthy",
          "[too_many_connections_test]") {
    CHECK(found(holding(20000, 20100, 1 << 20)).empty());
    CHECK(found(holding(10, 1000, 1024)).empty());
    CHECK(found(holding(900, 0, 0)).empty());
}

TEST_CASE("more than the guide allows is information", "[too_many_connections_test]") {
    const auto findings = found(holding(60000, 60100, 1 << 20));
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].severity == Severity::kInfo);
}

TEST_CASE("TCP's memory near its end names who holds most", "[too_many_connections_test]") {
    Window window = holding(500, 510, 1 << 20);
    window.counters[kNetns].gauges.set(gauge("TCP.mem"), 9500);
    window.counters[kNetns].gauges.set(gauge("tcp_mem.high"), 10000);
    const auto findings = found(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].severity == Severity::kWarning);
    CHECK(findings[0].culprit->owner.tgid == 42);
    window.counters[kNetns].gauges.set(gauge("TCP.mem"), 5000);
    CHECK(found(window).empty());
}

TEST_CASE("files of the host that are no sockets are nobody's here",
          "[too_many_connections_test]") {
    Window window = holding(500, 510, 1 << 20);
    window.counters[kNetns].gauges.set(gauge("file-nr"), 950'000);
    window.counters[kNetns].gauges.set(gauge("file-max"), 1'000'000);
    const auto findings = found(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].severity == Severity::kWarning);
    CHECK_FALSE(findings[0].culprit);
    window = holding(600'000, 600'000, 1 << 20);
    window.counters[kNetns].gauges.set(gauge("file-nr"), 950'000);
    window.counters[kNetns].gauges.set(gauge("file-max"), 1'000'000);
    const auto named = found(window);
    REQUIRE(named.size() == 2); // more than the guide allows, too
    CHECK(named[1].severity == Severity::kWarning);
    CHECK(named[1].culprit->owner.tgid == 42);
}

} // namespace culprit
