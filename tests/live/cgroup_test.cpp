// SPDX-License-Identifier: MIT
// Are processes named that accept late, not at all, or late because of their CPU quota; and none
// that takes a burst at once?
#include "abi/cgroup.h"
#include "support/catch.h"
#include "support/cgroup.h"
#include "support/finding.h"
#include "support/listening.h"
#include "support/run.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr int kRoomy = 256;

struct Told {
    Json verdict;
    pid_t server = 0;
    int status = 0;
};

/// What diagnose says of a server while clients knock.
Told judge(const Listening::Work& work, int count, int pace_ms, bool stop = false) {
    const WiredNs ns;
    const Listening server(ns.b, "ct-server", ns.b.v4, work, 0, kRoomy);
    Culprit culprit = diagnose({"--for", "8s"});
    culprit.wait_until_watching();
    Child client(ns.a.path(), "ct-client",
                 [&](const Tell&) { return knock(ns.b.v4, server.port(), count, 1000, pace_ms); });
    if (stop)
        ::kill(server.pid(), SIGSTOP);
    CHECK(client.wait() == 0);
    const int status = culprit.wait();
    return {Json::parse(culprit.out()), server.pid(), status};
}

bool blamed(const Told& told, const std::string& id) {
    return find_finding(told.verdict, id, blames(told.server)).has_value();
}

/// Uses the CPU for a while per connection.
void burns(int listener) {
    for (;;) {
        const UniqueFd done(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
        timespec used{};
        for (const std::int64_t end =
                 [&] {
                     ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
                     return used.tv_sec * 1'000'000'000 + used.tv_nsec + 15'000'000;
                 }();
             used.tv_sec * 1'000'000'000 + used.tv_nsec < end;)
            ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    }
}

} // namespace

TEST_CASE("a process that accepts late is named, its queue does not overflow", "[cgroup_test]") {
    const Told told = judge(accepts_slowly, 120, 50);
    INFO(told.verdict.dump().substr(0, 8000));
    CHECK(told.status == 3);
    CHECK(blamed(told, "accept-delay"));
    CHECK_FALSE(blamed(told, "listen-overflow"));
    CHECK_FALSE(blamed(told, "app-hang"));
}

TEST_CASE("a stopped process is named before its queue overflows", "[cgroup_test]") {
    const Told told = judge(closes_at_once, 30, 200, true);
    INFO(told.verdict.dump().substr(0, 8000));
    CHECK(told.status == 3);
    const auto finding = find_finding(told.verdict, "app-hang", blames(told.server));
    REQUIRE(finding);
    CHECK((*finding)["title"].get<std::string>().find("is stopped") != std::string::npos);
    CHECK_FALSE(blamed(told, "accept-delay"));
}

TEST_CASE("bursts that are accepted at once are healthy", "[cgroup_test]") {
    const Told told = judge(closes_at_once, 150, 1);
    INFO(told.verdict.dump().substr(0, 8000));
    for (const char* id : {"accept-delay", "app-hang", "cpu-throttled", "listen-overflow"})
        CHECK_FALSE(blamed(told, id));
}

TEST_CASE("a CPU quota is named as the reason for late accepts", "[cgroup_test]") {
    const CpuCgroup cgroup(20000, 100000);
    const auto work = [&](int listener) {
        cgroup.join();
        burns(listener);
    };
    const Told told = judge(work, 120, 50);
    INFO(told.verdict.dump().substr(0, 8000));
    CHECK(told.status == 3);
    const auto finding = find_finding(told.verdict, "cpu-throttled", blames(told.server));
    REQUIRE(finding);
    CHECK((*finding)["severity"] != "info");
    CHECK((*finding)["where"]["reason"] == "CPU quota of " + cgroup.folder());
    CHECK_FALSE(blamed(told, "accept-delay"));
}

TEST_CASE("a process far from its quota is healthy", "[cgroup_test]") {
    const CpuCgroup cgroup(100000, 100000);
    const auto work = [&](int listener) {
        cgroup.join();
        closes_at_once(listener);
    };
    const Told told = judge(work, 100, 30);
    INFO(told.verdict.dump().substr(0, 8000));
    CHECK_FALSE(blamed(told, "cpu-throttled"));
}
