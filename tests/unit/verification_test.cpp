// SPDX-License-Identifier: MIT
// Is "fixed" said only with proof, and is the same fault recognized on another day?
#include <string>

#include "detect/traffic.h"
#include "detect/verification.h"
#include "present/present.h"
#include "support/catch.h"
#include "support/event_builder.h"
#include "support/fake_names.h"

namespace culprit {

namespace {

using namespace test;

constexpr const char* kService = "10.0.0.2:80";

Window ten_seconds() {
    Window window;
    window.from_ns = kSecondNs;
    window.to_ns = 11 * kSecondNs;
    window.names = fake_names();
    window.counters[kNetns]; // it was read
    return window;
}

void add_attempts(Window& window, std::uint32_t result, int count) {
    for (int i = 0; i < count; i++) {
        auto attempt = make<connect_event>();
        attempt.flow = tcp_flow("10.0.0.1", 40000, "10.0.0.2", 80);
        attempt.owner = process("client", 42);
        attempt.result = result;
        window.fold(bytes_of(attempt));
    }
}

Finding fault(const std::string& id = "firewall-drop") {
    Finding finding{.id = id, .layer = Layer::kNetwork, .severity = Severity::kCritical};
    finding.title = id + " hurts client (pid 42)";
    finding.where = {.remote = kService, .netns = kNetns};
    finding.culprit = Party{process("client", 42), kNetns};
    finding.count = 100;
    finding.rate_per_s = 10;
    finding.traffic = {.scope = TrafficScope::kEnd, .tries_per_s = 5, .connections_per_s = 5};
    return finding;
}

Earlier earlier(const Finding& finding) {
    return {.from = "2026-01-31T23:59:50.000Z",
            .to = "2026-01-31T23:59:59.000Z",
            .length_ns = 9 * kSecondNs,
            .findings = {sighting_of(finding, fake_names())}};
}

struct After {
    Verdict verdict;
    Facts facts;
};

/// A run that looked at everything.
After after(const Window& window, std::vector<Finding> findings = {}) {
    After out{.facts = {.total = window, .windows = {}}};
    for (Finding& finding : findings)
        finding.traffic = traffic_at(finding.where, out.facts);
    out.verdict.findings = std::move(findings);
    out.verdict.names = window.names;
    out.verdict.layers.push_back({Layer::kNetwork, LayerStatus::kClear, {"all"}, {}});
    return out;
}

Verification compare(const Finding& before, const After& now, const View& view = {}) {
    return verify(earlier(before), now.verdict, now.facts, view);
}

Repair repair(const Finding& before, const After& now, const View& view = {}) {
    return compare(before, now, view).findings.at(0).repair;
}

} // namespace

TEST_CASE("a fault that does not show while its service works is fixed", "[verification_test]") {
    Window window = ten_seconds();
    add_attempts(window, ABI_RESULT_OK, 3);
    const Verification v = compare(fault(), after(window));
    CHECK(v.findings.at(0).repair == Repair::kFixed);
    CHECK(v.findings.at(0).load_per_s > 0);
    CHECK_FALSE(v.any_left);
    CHECK_FALSE(v.any_open);
}

TEST_CASE("without connections to the service nothing is proven", "[verification_test]") {
    const Verification v = compare(fault(), after(ten_seconds()));
    CHECK(v.findings.at(0).repair == Repair::kNotExercised);
    CHECK(v.any_open);
    CHECK_FALSE(v.any_left);
    Window window = ten_seconds();
    add_attempts(window, ABI_RESULT_ABANDONED, 2);
    const Verified failed = compare(fault(), after(window)).findings.at(0);
    CHECK(failed.repair == Repair::kNotExercised);
    CHECK(failed.why.find("nothing came about") != std::string::npos);
}

TEST_CASE("a name server that answers is proof, one that is only asked is none",
          "[verification_test]") {
    Finding silent = fault("dns-timeout");
    silent.where.remote = "10.0.0.2:53";
    Window window = ten_seconds();
    auto asked = make<dns_total>();
    asked.flow = tcp_flow("0.0.0.0", 0, "10.0.0.2", 53, kNetns, 0);
    asked.flow.protocol = IPPROTO_UDP;
    asked.counts.questions = 3;
    window.fold(bytes_of(asked));
    CHECK(repair(silent, after(window)) == Repair::kNotExercised);
    asked.counts.answers = 50;
    window.fold(bytes_of(asked));
    CHECK(repair(silent, after(window)) == Repair::kFixed);
}

TEST_CASE("a layer that could not be looked at proves nothing", "[verification_test]") {
    Window window = ten_seconds();
    add_attempts(window, ABI_RESULT_OK, 3);
    After now = after(window);
    now.verdict.layers.front().status = LayerStatus::kUnknown;
    CHECK(repair(fault(), now) == Repair::kNotChecked);
}

TEST_CASE("what is still there is compared by severity and by rate", "[verification_test]") {
    Window window = ten_seconds();
    add_attempts(window, ABI_RESULT_OK, 50);
    Finding now = fault();
    CHECK(repair(fault(), after(window, {now})) == Repair::kUnchanged);
    now.severity = Severity::kWarning;
    CHECK(repair(fault(), after(window, {now})) == Repair::kImproved);
    now = fault();
    now.rate_per_s = 1;
    CHECK(repair(fault(), after(window, {now})) == Repair::kImproved);
    now.rate_per_s = 100;
    const Verification v = compare(fault(), after(window, {now}));
    CHECK(v.findings.at(0).repair == Repair::kWorse);
    CHECK(v.any_left);
    CHECK(v.fresh.empty());
}

TEST_CASE("a tenth of the faults at a tenth of the load is no improvement", "[verification_test]") {
    Window window = ten_seconds();
    add_attempts(window, ABI_RESULT_OK, 5); // counted as a try and as a connection
    Finding now = fault();
    now.rate_per_s = 1;
    CHECK(repair(fault(), after(window, {now})) == Repair::kUnchanged);
}

TEST_CASE("a restarted process and a namespace made anew are the same", "[verification_test]") {
    Finding before = fault();
    before.where.netns = 4026532001;
    Earlier then = earlier(before);
    REQUIRE(then.findings.at(0).netns_name == "blue");
    Window window = ten_seconds();
    window.names.netns = {{4026532777, "blue"}};
    Finding again = fault();
    again.where.netns = 4026532777;
    again.culprit = Party{process("client", 4711), again.where.netns};
    const After now = after(window, {again});
    const Verification v = verify(then, now.verdict, now.facts, {});
    CHECK(v.findings.at(0).after == std::optional<std::size_t>(0));
    CHECK(v.fresh.empty());
}

TEST_CASE("another port is another service, unless the kernel chose both", "[verification_test]") {
    Window window = ten_seconds();
    add_attempts(window, ABI_RESULT_OK, 3);
    Finding other = fault();
    other.where.remote = "10.0.0.2:81";
    const Verification v = compare(fault(), after(window, {other}));
    CHECK(v.findings.at(0).repair == Repair::kFixed);
    CHECK(v.fresh.size() == 1);
    CHECK(v.any_left);
    Finding before = fault();
    before.where = {.local = "10.0.0.1:40000", .netns = kNetns};
    other.where = {.local = "10.0.0.1:51234", .netns = kNetns};
    CHECK(compare(before, after(window, {other})).fresh.empty());
}

TEST_CASE("the same trouble under another name is not fixed", "[verification_test]") {
    Window window = ten_seconds();
    add_attempts(window, ABI_RESULT_OK, 3);
    const Verified one = compare(fault(), after(window, {fault("conn-refused")})).findings.at(0);
    CHECK(one.repair == Repair::kUnchanged);
    CHECK(one.why.find("conn-refused") != std::string::npos);
}

TEST_CASE("a namespace has to carry as much as before, within reason", "[verification_test]") {
    Finding before = fault("conntrack-full");
    before.where = {.netns = kNetns};
    before.traffic = {.scope = TrafficScope::kNetns, .packets_per_s = 1000};
    Window window = ten_seconds();
    window.counters[kNetns].growth[counter("Tcp.InSegs")] = 500; // in ten seconds
    CHECK(repair(before, after(window)) == Repair::kNotExercised);
    window.counters[kNetns].growth[counter("Tcp.InSegs")] = 5000;
    CHECK(repair(before, after(window)) == Repair::kFixed);
    CHECK(repair(before, after(window), {.partial = true}) == Repair::kNotExercised);
    window.counters.clear();
    CHECK(repair(before, after(window)) == Repair::kNotExercised);
}

TEST_CASE("the narrowest place with traffic is what counts", "[verification_test]") {
    Window window = ten_seconds();
    window.counters[kNetns].growth[counter("Tcp.OutSegs")] = 10;
    const Where where{.remote = kService, .device = "eth0", .netns = kNetns};
    CHECK(traffic_at(where, {.total = window}).scope == TrafficScope::kNetns);
    auto link = make<link_total>();
    link.netns = kNetns;
    link.ifindex = 2;
    link.rx_packets = 100;
    window.fold(bytes_of(link));
    CHECK(traffic_at(where, {.total = window}).scope == TrafficScope::kDevice);
    add_attempts(window, ABI_RESULT_ERROR, 1);
    const Traffic traffic = traffic_at(where, {.total = window});
    CHECK(traffic.scope == TrafficScope::kEnd);
    CHECK_FALSE(traffic.works());
    CHECK(traffic_at({}, {.total = window}).scope == TrafficScope::kHost);
}

TEST_CASE("a verdict's JSON gives back what is compared, hostile names included",
          "[verification_test]") {
    Verdict verdict;
    verdict.from_ns = kSecondNs;
    verdict.to_ns = 11 * kSecondNs;
    verdict.wall_offset_ns = 1'700'000'000'000'000'000;
    verdict.names = fake_names();
    verdict.names.netns[kNetns] = "bl\x1bue";
    verdict.findings.push_back(fault());
    verdict.findings.back().where.device = "ev\\il\n";
    const auto read = earlier_from_json(verdict_json(verdict));
    REQUIRE(read);
    CHECK(read->length_ns == 10 * kSecondNs);
    const Sighting& sighting = read->findings.at(0);
    CHECK(sighting.id == "firewall-drop");
    CHECK(sighting.comm == "client");
    CHECK(sighting.netns_name == "bl\x1bue");
    CHECK(sighting.where.device == "ev\\il\n");
    CHECK(sighting.where.remote == kService);
    CHECK(sighting.severity == Severity::kCritical);
    CHECK(sighting.traffic.scope == TrafficScope::kEnd);
    CHECK(sighting.traffic.connections_per_s == 5);
}

TEST_CASE("what is no verdict is one line of error", "[verification_test]") {
    Verdict verdict;
    verdict.from_ns = kSecondNs;
    verdict.to_ns = 11 * kSecondNs;
    verdict.findings.push_back(fault());
    const std::string good = verdict_json(verdict);
    const auto with = [&](const std::string& from, const std::string& to) {
        std::string text = good;
        text.replace(text.find(from), from.size(), to);
        return text;
    };
    const std::string bad[] = {
        "",
        "{}",
        "[]",
        "null",
        "\x1b[2J",
        good.substr(0, good.size() / 2),
        std::string(1'000'000, '['),
        with("culprit.diagnosis/1", "culprit.diagnosis/2"),
        with("\"critical\"", "\"\x1b[2Jgrave\""),
        with("\"critical\"", "7"),
        with("\"count\": 100", "\"count\": -1"),
        with("\"rate_per_s\": 10.0", "\"rate_per_s\": 1e999"),
        with("\"remote\": \"10.0.0.2:80\"", "\"remote\": \"" + std::string(10'000, 'x') + "\""),
        with("1970-01-01T00:00:11", "9999-01-01T00:00:11"),
        with("1970-01-01T00:00:11", "1970-01-01T00:00:01")};
    for (const std::string& text : bad) {
        CAPTURE(text.substr(0, 100));
        const auto read = earlier_from_json(text);
        REQUIRE_FALSE(read);
        CHECK(read.error().what.size() < 300);
        CHECK(read.error().what.find_first_of("\x1b\n") == std::string::npos);
    }
}

TEST_CASE("the verification is in text and JSON", "[verification_test]") {
    Window window = ten_seconds();
    add_attempts(window, ABI_RESULT_OK, 3);
    After now = after(window, {fault("conn-refused")});
    Earlier then = earlier(fault());
    then.findings.push_back(sighting_of(fault("conn-refused"), window.names));
    now.verdict.verification = verify(then, now.verdict, now.facts, {});
    const std::string text = verdict_text(now.verdict, {});
    CHECK(text.find("  fixed          firewall-drop hurts client (pid 42)\n") != std::string::npos);
    CHECK(text.find("before: critical, 100 times, 10 per second") != std::string::npos);
    const std::string json = verdict_json(now.verdict);
    CHECK(json.find("\"outcome\": \"fixed\"") != std::string::npos);
    CHECK(json.find("\"new\": []") != std::string::npos);
}

} // namespace culprit
