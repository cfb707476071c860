// SPDX-License-Identifier: MIT
// A scan against a service that is down, and whoever it comes from.
#include <algorithm>

#include "abi/reset.h"
#include "detect/finding.h"
#include "support/catch.h"
#include "support/event_builder.h"
#include "support/fake_names.h"

namespace culprit {

namespace {

using namespace test;

Window window_at(std::uint64_t second) {
    Window window;
    window.from_ns = second * kSecondNs;
    window.to_ns = (second + 1) * kSecondNs;
    window.names = fake_names();
    return window;
}

void refuse(Window& window, std::uint16_t port, std::uint32_t tgid = 7,
            std::uint32_t error = ECONNREFUSED) {
    auto attempt = make<connect_event>();
    attempt.flow = tcp_flow("10.0.0.1", 30000, "10.0.0.2", port);
    attempt.owner = process("scanner", tgid);
    attempt.result = error ? ABI_RESULT_ERROR : ABI_RESULT_OK;
    attempt.error = error;
    window.fold(bytes_of(attempt));
}

std::vector<Finding> scans(const std::vector<Window>& windows) {
    History history;
    for (const Window& window : windows)
        history.add(window);
    return detect_port_scan({history.total(), windows});
}

} // namespace

TEST_CASE("a process that tries many ports of a host is named", "[port_scan_test]") {
    Window window = window_at(1);
    for (std::uint16_t port = 1; port <= 100; port++)
        refuse(window, port);
    refuse(window, 8080, 7, 0);
    const auto findings = scans({window});
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].severity == Severity::kWarning);
    REQUIRE(findings[0].culprit);
    CHECK(findings[0].culprit->owner.tgid == 7);
    CHECK(findings[0].where.remote == "10.0.0.2");
    CHECK(findings[0].title.find("100 ports") != std::string::npos);
    const auto all = detect_all({window, std::span(&window, 1)});
    CHECK(std::ranges::none_of(all, [](const Finding& f) { return f.id == "conn-refused"; }));
}

TEST_CASE("a scan by many short-lived processes is one scan", "[port_scan_test]") {
    Window window = window_at(1);
    for (std::uint16_t port = 1; port <= 100; port++)
        refuse(window, port, 1000 + port);
    const auto findings = scans({window});
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].title.find("99 more") != std::string::npos);
}

TEST_CASE("one port that is closed, and many that answer, are no scan", "[port_scan_test]") {
    Window window = window_at(1);
    for (int i = 0; i < 100; i++)
        refuse(window, 8080);
    CHECK(scans({window}).empty());
    Window open = window_at(1);
    for (std::uint16_t port = 1; port <= 100; port++)
        refuse(open, port, 7, 0);
    CHECK(scans({open}).empty());
}

TEST_CASE("a remote source on many closed ports is information, late answers to clients are none",
          "[port_scan_test]") {
    for (const std::uint16_t first : {std::uint16_t{20}, std::uint16_t{40000}}) {
        std::vector<Window> windows;
        for (std::uint16_t second = 1; second <= 6; second++) {
            windows.push_back(window_at(second));
            for (int i = 0; i < 10; i++) {
                auto reset = make<reset_event>();
                reset.flow = tcp_flow("10.0.0.1", static_cast<std::uint16_t>(first + second),
                                      "203.0.113.7", 5555);
                reset.direction = ABI_SENT;
                windows.back().fold(bytes_of(reset));
            }
        }
        const auto findings = scans(windows);
        REQUIRE(findings.size() == (first == 20 ? 1 : 0));
        if (first == 20) {
            CHECK(findings[0].severity == Severity::kInfo);
            CHECK(findings[0].where.remote == "203.0.113.7");
        }
    }
}

TEST_CASE("a host with many services that is down is no scan", "[port_scan_test]") {
    Window silent = window_at(1);
    for (std::uint16_t port = 1; port <= 30; port++)
        refuse(silent, port, 7, ETIMEDOUT);
    CHECK(scans({silent}).empty());
    auto findings = detect_all({silent, std::span(&silent, 1)});
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "connect-timeout");
    CHECK(findings[0].where.remote == "10.0.0.2");
    CHECK(findings[0].title.find("30 ports") != std::string::npos);
    Window closed = window_at(1);
    for (int again = 0; again < 4; again++)
        for (std::uint16_t port = 1; port <= 30; port++)
            refuse(closed, port);
    CHECK(scans({closed}).empty());
    findings = detect_all({closed, std::span(&closed, 1)});
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "conn-refused");
    CHECK(findings[0].count == 120);
}

} // namespace culprit
