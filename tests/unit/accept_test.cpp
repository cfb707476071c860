// SPDX-License-Identifier: MIT
// Accept queues that do not overflow: late, standing, or in order; and whose quota it is.
#include <algorithm>

#include "abi/cgroup.h"
#include "detect/finding.h"
#include "support/catch.h"
#include "support/event_builder.h"
#include "support/fake_names.h"

namespace culprit {

namespace {

using namespace test;

/// One second of a listener: how many waited at each of five looks, came and were accepted.
struct Second {
    std::uint64_t depth = 0, came = 10, accepted = 10;
};

listen_total listener(const Second& second) {
    auto total = make<listen_total>();
    total.flow = tcp_flow("10.0.0.1", 8080, "0.0.0.0", 0);
    total.owner = process("server", 42);
    total.since_ns = 5;
    total.sockets = 1;
    total.looks = 5;
    total.limit = 128;
    total.depth = second.depth;
    total.depth_sum = 5 * second.depth;
    total.established = second.came;
    total.accepted = second.accepted;
    total.owner_looks = second.depth > 0;
    return total;
}

std::vector<Window> course(const std::vector<Second>& seconds, bool stopped = false) {
    std::vector<Window> windows;
    for (std::size_t i = 0; i < seconds.size(); i++) {
        Window window;
        window.from_ns = (i + 1) * kSecondNs;
        window.to_ns = (i + 2) * kSecondNs;
        window.names = fake_names();
        listen_total total = listener(seconds[i]);
        total.owner_stopped = stopped && total.owner_looks;
        window.fold(bytes_of(total));
        windows.push_back(std::move(window));
    }
    return windows;
}

void throttle(std::vector<Window>& windows, std::uint64_t throttled, std::uint32_t tgid = 42) {
    for (Window& window : windows) {
        auto total = make<cgroup_total>();
        total.owner = process("server", tgid);
        total.cgroup = 99;
        total.quota_us = 20000;
        total.period_us = 100000;
        total.periods = 10;
        total.throttled = throttled;
        total.throttled_ns = throttled * 50'000'000;
        total.version = 2;
        std::string_view("/sys/fs/cgroup/web.slice").copy(total.path, sizeof(total.path));
        window.fold(bytes_of(total));
    }
}

std::vector<Finding> all_of(const std::vector<Window>& windows) {
    History history;
    for (const Window& window : windows)
        history.add(window);
    return detect_all({history.total(), windows});
}

std::vector<Finding> loud(const std::vector<Window>& windows) {
    auto all = all_of(windows);
    std::erase_if(all, [](const Finding& f) { return f.severity == Severity::kInfo; });
    return all;
}

} // namespace

TEST_CASE("connections that wait long in most seconds are accept-delay", "[accept_test]") {
    const auto findings = loud(course(std::vector<Second>(6, {5, 10, 10})));
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "accept-delay");
    CHECK(findings[0].severity == Severity::kWarning);
    REQUIRE(findings[0].culprit);
    CHECK(findings[0].culprit->owner.tgid == 42);
    CHECK(findings[0].title.find("500ms") != std::string::npos); // 5 wait, 10 accepted per second
}

TEST_CASE("a burst accepted at once and a busy, prompt server are healthy", "[accept_test]") {
    CHECK(loud(course({{}, {}, {60, 100, 100}, {}, {}, {}})).empty());
    CHECK(loud(course(std::vector<Second>(6, {3, 2000, 2000}))).empty());
    CHECK(loud(course(std::vector<Second>(6, {0, 1, 1}))).empty());
}

TEST_CASE("a process that accepts nothing while connections wait hangs", "[accept_test]") {
    const auto findings = loud(course({{}, {}, {2, 2, 0}, {4, 2, 0}, {6, 2, 0}, {8, 2, 0}}));
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "app-hang");
    CHECK(findings[0].severity == Severity::kCritical);
    CHECK(findings[0].title.find("hangs") != std::string::npos);
    const auto stopped = loud(course(std::vector<Second>(6, {1, 0, 0}), true));
    REQUIRE(stopped.size() == 1);
    CHECK(stopped[0].title.find("is stopped") != std::string::npos);
    CHECK(stopped[0].advice.at(0).command == "kill -CONT 42");
}

TEST_CASE("one forgotten connection of an idle service, or a pause, is no hang", "[accept_test]") {
    CHECK(loud(course(std::vector<Second>(6, {1, 0, 0}))).empty());
    CHECK(loud(course({{}, {}, {4, 4, 0}, {0, 10, 14}, {}, {}})).empty());
}

TEST_CASE("a quota explains late accepts, and names cgroup and proposal", "[accept_test]") {
    auto windows = course(std::vector<Second>(6, {5, 10, 10}));
    throttle(windows, 9);
    const auto findings = loud(windows);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "cpu-throttled");
    CHECK(findings[0].severity == Severity::kCritical);
    CHECK(findings[0].culprit->owner.tgid == 42);
    CHECK(findings[0].where.reason == "CPU quota of /sys/fs/cgroup/web.slice");
    CHECK(findings[0].advice.at(0).command ==
          "echo 40000 100000 > /sys/fs/cgroup/web.slice/cpu.max");
}

TEST_CASE("a quota that nobody waits for is information, one hardly reached nothing",
          "[accept_test]") {
    auto idle = course(std::vector<Second>(6));
    throttle(idle, 9);
    const auto findings = all_of(idle);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "cpu-throttled");
    CHECK(findings[0].severity == Severity::kInfo);
    auto rare = course(std::vector<Second>(6, {5, 10, 10}));
    throttle(rare, 1);
    CHECK(loud(rare).at(0).id == "accept-delay");
}

TEST_CASE("another process's quota explains nothing", "[accept_test]") {
    auto windows = course(std::vector<Second>(6, {5, 10, 10}));
    throttle(windows, 9, 43);
    CHECK(loud(windows).at(0).id == "accept-delay");
}

TEST_CASE("a quota is told once for all of its cgroup", "[accept_test]") {
    auto windows = course(std::vector<Second>(6, {5, 10, 10}));
    for (const std::uint32_t tgid : {41u, 42u, 43u})
        throttle(windows, 9, tgid);
    const auto findings = all_of(windows);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].culprit->owner.tgid == 42); // that clients wait for
    CHECK(findings[0].title.find("2 more of its cgroup") != std::string::npos);
    CHECK(findings[0].affected.size() == 2);
}

TEST_CASE("one late answer of a batch job hurts nobody", "[accept_test]") {
    const auto batch = [](std::uint64_t answers) {
        auto windows = course(std::vector<Second>(6));
        throttle(windows, 9);
        auto flow = make<flow_total>();
        flow.owner = process("server", 42);
        flow.role = ABI_ROLE_SERVER;
        flow.flow = tcp_flow("10.0.0.1", 9100, "10.0.0.2", 0);
        flow.flows = flow.looks = 1;
        flow.answers = answers;
        flow.answer_ns = answers * 300'000'000;
        flow.answer_max_ns = 300'000'000;
        flow.answer_slots[19] = answers;
        windows[2].fold(bytes_of(flow));
        return loud(windows).size();
    };
    CHECK(batch(1) == 0);
    CHECK(batch(10) == 1);
}

} // namespace culprit
