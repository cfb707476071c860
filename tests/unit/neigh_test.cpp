// SPDX-License-Identifier: MIT
// Do the findings about neighbours tell a fault from normal life? No kernel, no clock.
#include <algorithm>

#include "detect/drops.h"
#include "detect/finding.h"
#include "kernel/neigh_tables.h"
#include "model/format.h"
#include "model/window_json.h"
#include "support/catch.h"
#include "support/event_builder.h"
#include "support/fake_names.h"
#include "support/readable.h"

namespace culprit {

namespace {

using namespace test;

constexpr std::uint64_t kInvalidate = 0x7700;
constexpr std::uint32_t kNeighFailed = 40, kCreateFail = 41;

Window ten_seconds() {
    Window window;
    window.from_ns = kSecondNs;
    window.to_ns = 11 * kSecondNs;
    window.names = fake_names();
    window.names.drop_reasons[kNeighFailed] = "NEIGH_FAILED";
    window.names.drop_reasons[kCreateFail] = "NEIGH_CREATEFAIL";
    window.names.symbols[kInvalidate] = "neigh_invalidate+0x5";
    return window;
}

neigh_event neighbour(const std::string& host, std::uint32_t type) {
    auto event = make<neigh_event>();
    event.netns = kNetns;
    event.ifindex = 2;
    event.type = type;
    const abi_flow flow = tcp_flow(host, 0, host, 0);
    event.family = flow.family;
    std::ranges::copy(flow.remote, event.address);
    return event;
}

void add_failures(Window& window, const std::string& host, int count, bool known, bool gateway,
                  __u8 mac = 0) {
    auto event = neighbour(host, ABI_NEIGH_FAILED);
    if (known)
        event.owner = process("seeker", 42);
    event.packets = 2;
    event.routed = gateway ? 2 : 0;
    event.old_mac[5] = mac;
    for (int i = 0; i < count; i++)
        window.fold(bytes_of(event));
}

void add_changes(Window& window, __u8 from, __u8 to, int count,
                 std::uint32_t type = ABI_NEIGH_CHANGED) {
    auto event = neighbour("10.0.0.2", type);
    event.old_mac[5] = from;
    event.new_mac[5] = to;
    for (int i = 0; i < count; i++)
        window.fold(bytes_of(event));
}

void add_attempts(Window& window, const std::string& to, std::uint32_t error, int count) {
    for (int i = 0; i < count; i++) {
        auto attempt = make<connect_event>();
        attempt.flow = tcp_flow("10.0.0.1", static_cast<std::uint16_t>(30000 + i), to, 80);
        attempt.owner = process("seeker", 42);
        attempt.result = ABI_RESULT_ERROR;
        attempt.error = error;
        window.fold(bytes_of(attempt));
    }
}

void add_drops(Window& window, std::uint32_t reason, const std::string& to, std::uint64_t packets) {
    auto total = make<drop_total>();
    total.reason = reason;
    total.location = kInvalidate;
    total.netns = kNetns;
    total.ifindex = 2;
    total.protocol = IPPROTO_TCP;
    total.packets = packets;
    window.fold(bytes_of(total));
    auto sample = make<drop_event>();
    sample.flow = tcp_flow("10.0.0.1", 40000, to, 80);
    sample.owner = process("writer", 43);
    sample.reason = reason;
    sample.location = kInvalidate;
    sample.tcp_flags = 2;
    window.fold(bytes_of(sample));
}

void add_table(Window& window, std::uint64_t refused, std::uint64_t entries) {
    auto table = make<neigh_total>();
    table.family = AF_INET;
    table.refused = refused;
    table.forced = refused + 1;
    table.entries = entries;
    table.gc_thresh1 = 128;
    table.gc_thresh2 = 512;
    table.gc_thresh3 = 1024;
    window.fold(bytes_of(table));
}

std::vector<Finding> found(const Window& window) {
    return test::readable_findings({window, std::span(&window, 1)});
}

std::vector<std::string> loud(const Window& window) {
    std::vector<std::string> ids;
    for (const Finding& finding : found(window))
        if (finding.severity != Severity::kInfo)
            ids.push_back(finding.id);
    return ids;
}

using Ids = std::vector<std::string>;

} // namespace

TEST_CASE("an address that a process tries again and again is its fault", "[neigh_test]") {
    Window window = ten_seconds();
    add_failures(window, "10.0.0.77", 3, true, false);
    add_attempts(window, "10.0.0.77", EHOSTUNREACH, 3);
    add_drops(window, kNeighFailed, "10.0.0.77", 20);
    const auto findings = found(window);
    REQUIRE(findings.size() == 1);
    const Finding& finding = findings.front();
    CHECK(finding.id == "neigh-failure");
    CHECK(finding.severity == Severity::kCritical);
    CHECK(finding.where.remote == "10.0.0.77");
    CHECK(finding.where.device == "eth0");
    // two processes wait, so neither alone has it wrong
    CHECK(!finding.culprit);
    CHECK(finding.affected.size() == 2);
    CHECK(finding.count == 3);
}

TEST_CASE("the only process that wants an address nobody has is named for it", "[neigh_test]") {
    Window window = ten_seconds();
    add_failures(window, "10.0.0.77", 2, true, false);
    const auto findings = found(window);
    REQUIRE(findings.size() == 1);
    REQUIRE(findings.front().culprit);
    CHECK(findings.front().culprit->owner.tgid == 42);
    CHECK(findings.front().severity == Severity::kWarning);
}

TEST_CASE("one probe of an unused address, and a scan of many, are no faults", "[neigh_test]") {
    Window window = ten_seconds();
    add_failures(window, "10.0.0.77", 1, true, false);
    for (int i = 100; i < 200; i++)
        add_failures(window, "10.0.0." + std::to_string(i), 1, false, false);
    const auto findings = found(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings.front().severity == Severity::kInfo);
    CHECK(findings.front().title.find("100 other addresses") != std::string::npos);
}

TEST_CASE("a gateway that does not answer hurts what goes beyond it", "[neigh_test]") {
    Window window = ten_seconds();
    add_failures(window, "10.0.0.254", 2, true, true);
    add_drops(window, kNeighFailed, "203.0.113.5", 10);
    add_attempts(window, "203.0.113.5", ETIMEDOUT, 5);
    const auto findings = found(window);
    REQUIRE(findings.size() == 1); // no connect-timeout, no local-drop
    CHECK(findings.front().id == "neigh-failure");
    CHECK(findings.front().severity == Severity::kCritical);
    CHECK(findings.front().title.starts_with("the gateway 10.0.0.254"));
    CHECK(!findings.front().culprit);
}

TEST_CASE("a host that went away is no process's fault", "[neigh_test]") {
    Window window = ten_seconds();
    add_failures(window, "10.0.0.2", 1, true, false, 7);
    CHECK(loud(window).empty()); // a failover may be under way
    add_failures(window, "10.0.0.2", 1, true, false, 7);
    auto again = make<retransmit_event>();
    again.flow = tcp_flow("10.0.0.1", 40000, "10.0.0.2", 80);
    again.owner = process("seeker", 42);
    again.segs = 20;
    again.type = ABI_RETRANSMIT_RTO;
    again.life_segs_out = 100;
    again.life_retransmits = 20;
    window.fold(bytes_of(again));
    const auto findings = found(window);
    REQUIRE(findings.size() == 1); // no packet-loss
    CHECK(findings.front().severity == Severity::kCritical);
    CHECK(!findings.front().culprit);
    CHECK(findings.front().evidence.at(1).text.find("00:00:00:00:00:07") != std::string::npos);
}

TEST_CASE("many dead neighbours are a few findings and a number", "[neigh_test]") {
    Window window = ten_seconds();
    for (int i = 100; i < 150; i++)
        add_failures(window, "10.0.0." + std::to_string(i), 3, true, false);
    const auto findings = found(window);
    CHECK(findings.size() == 5);
    CHECK(findings.front().evidence.back().value == 50);
}

TEST_CASE("an address that moves back and forth is in two places", "[neigh_test]") {
    Window window = ten_seconds();
    add_changes(window, 1, 2, 4);
    add_changes(window, 2, 1, 3);
    CHECK(loud(window) == Ids{"duplicate-ip"});
    const auto findings = found(window);
    CHECK(findings.front().severity == Severity::kWarning);
    CHECK(findings.front().count == 7);
    CHECK(findings.front().title.find("00:00:00:00:00:01") != std::string::npos);
    CHECK(findings.front().title.find("00:00:00:00:00:02") != std::string::npos);
}

TEST_CASE("refused connections to a doubled address are explained by it", "[neigh_test]") {
    Window window = ten_seconds();
    add_attempts(window, "10.0.0.2", ECONNREFUSED, 20);
    CHECK(loud(window) == Ids{"conn-refused"});
    add_changes(window, 1, 2, 1);
    CHECK(loud(window) == Ids{"conn-refused"}); // a failover
    add_changes(window, 2, 1, 1);
    CHECK(loud(window) == Ids{"duplicate-ip"});
    const auto findings = found(window);
    CHECK(findings.front().severity == Severity::kCritical);
    REQUIRE(findings.front().affected.size() == 1);
    CHECK(findings.front().affected.front().owner.tgid == 42);
}

TEST_CASE("one change of an address is a failover", "[neigh_test]") {
    Window window = ten_seconds();
    add_changes(window, 1, 2, 1);
    CHECK(found(window).empty());
    add_changes(window, 2, 3, 1); // and it went on from there
    CHECK(found(window).empty());
}

TEST_CASE("a second answer alone is worth knowing, with trouble it is a fault", "[neigh_test]") {
    Window window = ten_seconds();
    add_changes(window, 1, 2, 1, ABI_NEIGH_REFUSED);
    REQUIRE(found(window).size() == 1);
    CHECK(found(window).front().severity == Severity::kInfo);
    add_attempts(window, "10.0.0.2", ECONNREFUSED, 20);
    CHECK(loud(window) == Ids{"duplicate-ip"});
}

TEST_CASE("a table that takes no entry is full, with its limit and a better one", "[neigh_test]") {
    Window window = ten_seconds();
    add_table(window, 12, 1024);
    const auto findings = found(window);
    REQUIRE(findings.size() == 1);
    const Finding& finding = findings.front();
    CHECK(finding.id == "neigh-table-full");
    CHECK(finding.severity == Severity::kWarning);
    CHECK(finding.title.find("1024 of 1024") != std::string::npos);
    CHECK(finding.advice.front().command.find("net.ipv4.neigh.default.gc_thresh3=4096") !=
          std::string::npos);
}

TEST_CASE("who cannot reach anybody new because of a full table is named", "[neigh_test]") {
    Window window = ten_seconds();
    add_table(window, 12, 1024);
    add_drops(window, kCreateFail, "10.0.0.9", 12);
    const auto findings = found(window);
    REQUIRE(findings.size() == 1); // no local-drop
    CHECK(findings.front().severity == Severity::kCritical);
    REQUIRE(findings.front().affected.size() == 1);
    CHECK(findings.front().affected.front().owner.tgid == 43);
}

TEST_CASE("a crowded table that makes room is worth knowing, another one is not", "[neigh_test]") {
    Window window = ten_seconds();
    add_table(window, 0, 1000);
    REQUIRE(found(window).size() == 1);
    CHECK(found(window).front().severity == Severity::kInfo);
    Window other = ten_seconds();
    add_table(other, 0, 500);
    CHECK(found(other).empty());
}

TEST_CASE("drops belong to the finding that tells of them", "[neigh_test]") {
    CHECK(drop_class("NEIGH_FAILED", "neigh_invalidate") == "neigh-failure");
    CHECK(drop_class("NEIGH_CREATEFAIL", "ip_finish_output2") == "neigh-table-full");
    CHECK(drop_class("-", "arp_error_report") == "neigh-failure");
    CHECK(drop_class("NOT_SPECIFIED", "neigh_invalidate") == "neigh-failure");
    CHECK(drop_class("NEIGH_DEAD", "__neigh_event_send") == "local-drop");
}

TEST_CASE("the kernel's counters of a table are read by their names", "[neigh_test]") {
    const auto counts = parse_neigh_stat(
        "entries  allocs res_failed forced_gc_runs unresolved_discards table_fulls\n"
        "0000000a 00000000 00000002 00000001 00000000 00000010\n"
        "0000000a 00000000 00000001 00000000 00000000 00000001\n");
    REQUIRE(counts);
    CHECK(counts->entries == 10);
    CHECK(counts->failed == 3);
    CHECK(counts->forced == 1);
    CHECK(counts->refused == 17);
    const auto older = parse_neigh_stat("entries res_failed\n00000001 00000001\n");
    REQUIRE(older);
    CHECK(older->refused == 0);
    CHECK(!parse_neigh_stat(""));
    CHECK(!parse_neigh_stat("entries\n"));
}

TEST_CASE("a link-layer address is text, and is kept when a window is saved", "[neigh_test]") {
    CHECK(mac({0x52, 0x54, 0, 0x12, 0x34, 0x56, 0, 0}) == "52:54:00:12:34:56");
    CHECK(mac({}) == "-");
    Window window = ten_seconds();
    add_changes(window, 1, 2, 1);
    const auto again = window_from_json(window_to_json(window));
    REQUIRE(again);
    CHECK(*again == window);
}

} // namespace culprit
