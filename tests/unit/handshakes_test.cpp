// SPDX-License-Identifier: MIT
// Lost handshakes against outages, dead destinations, loss of everything and local causes.
#include <algorithm>

#include "detect/finding.h"
#include "support/catch.h"
#include "support/event_builder.h"
#include "support/fake_names.h"

namespace culprit {

namespace {

using namespace test;

constexpr std::uint16_t kPort = 8080;
constexpr std::uint32_t kServerNetns = kNetns + 1;

/// A run of some seconds, each with its own window.
struct Course {
    std::vector<Window> windows;

    explicit Course(std::size_t seconds) : windows(seconds) {
        for (std::size_t i = 0; i < seconds; i++) {
            windows[i].from_ns = (i + 1) * kSecondNs;
            windows[i].to_ns = (i + 2) * kSecondNs;
            windows[i].names = fake_names();
            windows[i].counters[kNetns].growth[counter("Tcp.OutSegs")] = 1000;
        }
    }
    Facts facts() const {
        History history;
        for (const Window& window : windows)
            history.add(window);
        return {history.total(), windows};
    }
    std::vector<Finding> loud() const {
        auto all = detect_all(facts());
        std::erase_if(all, [](const Finding& f) { return f.severity == Severity::kInfo; });
        return all;
    }
};

abi_flow attempt_flow(std::size_t number) {
    return tcp_flow("10.0.0.1", static_cast<std::uint16_t>(30000 + number), "10.0.0.2", kPort);
}

void connects(Window& window, std::size_t count, std::uint32_t result = ABI_RESULT_OK) {
    for (std::size_t i = 0; i < count; i++) {
        auto attempt = make<connect_event>(window.from_ns);
        attempt.flow = attempt_flow(i);
        attempt.owner = process("client", 7);
        attempt.result = result;
        attempt.syn_retransmits = result != ABI_RESULT_OK;
        window.fold(bytes_of(attempt));
    }
}

void repeats(Window& window, std::size_t second, std::size_t count,
             std::uint32_t type = ABI_RETRANSMIT_SYN) {
    for (std::size_t i = 0; i < count; i++) {
        auto again = make<retransmit_event>(window.from_ns);
        again.flow = attempt_flow(1000 + 100 * second + i);
        again.owner = process("client", 7);
        again.type = type;
        again.segs = 1;
        window.fold(bytes_of(again));
    }
}

void server_repeats(Window& window, std::size_t second, std::size_t count, std::uint32_t netns,
                    const std::string& client = "10.0.0.1") {
    for (std::size_t i = 0; i < count; i++) {
        auto again = make<retransmit_event>(window.from_ns);
        again.flow = tcp_flow("10.0.0.2", kPort, client,
                              static_cast<std::uint16_t>(31000 + 100 * second + i), netns);
        again.owner = process("server", 42);
        again.type = ABI_RETRANSMIT_SYNACK;
        again.segs = 1;
        window.fold(bytes_of(again));
    }
}

void listens(Window& window, std::uint32_t netns) {
    auto total = make<listen_total>(window.from_ns);
    total.flow = tcp_flow("10.0.0.2", kPort, "0.0.0.0", 0, netns);
    total.owner = process("server", 42);
    total.since_ns = 5;
    total.sockets = 1;
    total.looks = 5;
    total.limit = 128;
    total.established = total.accepted = 10;
    window.fold(bytes_of(total));
}

/// Half of the SYNs are lost, second by second.
Course lossy() {
    Course course(6);
    for (std::size_t i = 0; i < course.windows.size(); i++) {
        connects(course.windows[i], 10);
        repeats(course.windows[i], i, 10);
    }
    return course;
}

} // namespace

TEST_CASE("SYNs lost among answered ones are syn-loss, and nothing else", "[handshakes_test]") {
    const auto findings = lossy().loud();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "syn-loss");
    CHECK(findings[0].severity == Severity::kCritical);
    CHECK(findings[0].where.remote == "10.0.0.2:8080");
    CHECK(findings[0].affected.at(0).owner.tgid == 7);
    CHECK(findings[0].confidence < 0.9); // the answers may be lost as well
}

TEST_CASE("a server on this host that never saw the SYNs makes it certain", "[handshakes_test]") {
    Course course = lossy();
    for (Window& window : course.windows)
        listens(window, kServerNetns);
    const auto findings = course.loud();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "syn-loss");
    CHECK(findings[0].confidence > 0.9);
}

TEST_CASE("a server on this host that repeats its answers is synack-loss", "[handshakes_test]") {
    Course course = lossy();
    for (std::size_t i = 0; i < course.windows.size(); i++) {
        listens(course.windows[i], kServerNetns);
        server_repeats(course.windows[i], i, 10, kServerNetns);
    }
    const auto findings = course.loud();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "synack-loss");
    CHECK(findings[0].where.remote == "10.0.0.2:8080");
}

TEST_CASE("a server alone tells of lost answers only where its clients do connect",
          "[handshakes_test]") {
    Course course(6);
    for (std::size_t i = 0; i < course.windows.size(); i++) {
        listens(course.windows[i], kNetns);
        server_repeats(course.windows[i], i, 5, kNetns, "203.0.113.9");
    }
    CHECK(course.loud().empty()); // spoofed, or a scan
    auto data = make<retransmit_event>();
    data.flow = tcp_flow("10.0.0.2", kPort, "203.0.113.9", 1234);
    data.type = ABI_RETRANSMIT_FAST;
    data.segs = 1;
    data.acked_segs = 20;
    course.windows[0].fold(bytes_of(data));
    const auto findings = course.loud();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "synack-loss");
    CHECK(findings[0].affected.at(0).owner.tgid == 42);
}

TEST_CASE("a client that connected and says nothing yet has lost nothing", "[handshakes_test]") {
    Course course(6);
    for (std::size_t i = 0; i < course.windows.size(); i++) {
        listens(course.windows[i], kNetns);
        for (std::uint16_t port = 0; port < 5; port++) {
            auto again = make<retransmit_event>(course.windows[i].from_ns);
            again.flow = tcp_flow("10.0.0.2", kPort, "203.0.113.9",
                                  static_cast<std::uint16_t>(31000 + 100 * i + port));
            again.owner = process("server", 42);
            again.type = ABI_RETRANSMIT_SYNACK;
            again.segs = again.acked_segs = 1;
            course.windows[i].fold(bytes_of(again));
        }
    }
    CHECK(course.loud().empty());
}

TEST_CASE("a destination that never answers is connect-timeout", "[handshakes_test]") {
    Course course(6);
    for (std::size_t i = 0; i < course.windows.size(); i++) {
        connects(course.windows[i], 5, ABI_RESULT_ABANDONED);
        repeats(course.windows[i], i, 5);
    }
    const auto findings = course.loud();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "connect-timeout");
}

TEST_CASE("a destination that dies in the middle of the run is connect-timeout",
          "[handshakes_test]") {
    Course course(8);
    for (std::size_t i = 0; i < 8; i++)
        if (i < 3) {
            connects(course.windows[i], 10);
        } else {
            repeats(course.windows[i], i, 10);
        }
    const auto findings = course.loud();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "connect-timeout");
}

TEST_CASE("loss of everything is packet-loss alone", "[handshakes_test]") {
    Course course = lossy();
    for (std::size_t i = 0; i < course.windows.size(); i++)
        for (std::size_t k = 0; k < 300; k++) {
            auto again = make<retransmit_event>();
            again.flow = tcp_flow("10.0.0.1", 999, "10.0.0.2", kPort);
            again.owner = process("client", 7);
            again.type = ABI_RETRANSMIT_FAST;
            again.segs = 1;
            again.life_segs_out = 1000;
            again.life_retransmits = 300;
            course.windows[i].fold(bytes_of(again));
        }
    const auto findings = course.loud();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "packet-loss");
}

TEST_CASE("a SYN lost now and then is an ordinary path", "[handshakes_test]") {
    Course course(6);
    for (std::size_t i = 0; i < course.windows.size(); i++) {
        connects(course.windows[i], 500);
        repeats(course.windows[i], i, 2);
    }
    CHECK(course.loud().empty());
}

} // namespace culprit
