// SPDX-License-Identifier: MIT
// Reordering, duplication and dead peers: told from loss, and from healthy paths? No kernel, no
// clock.
#include "support/catch.h"
#include "support/flow_builder.h"

namespace culprit {

namespace {

using namespace test;

flow_total sent(std::uint64_t segs, std::uint64_t again, std::uint64_t spurious,
                std::uint64_t reordered) {
    flow_total row = client_row();
    set_rtt(row, 20'000, 20'000);
    row.segs_out = segs;
    row.retransmits = again;
    row.spurious = spurious;
    row.reordered = reordered;
    return row;
}

retransmit_event timeout(std::uint64_t attempts, std::uint64_t heard_ns,
                         std::uint16_t port = 40000) {
    auto again = make<retransmit_event>();
    again.flow = tcp_flow(kClientHost, port, kServerHost, kServicePort, kClientNetns);
    again.owner = process("backup", 60);
    again.type = ABI_RETRANSMIT_RTO;
    again.segs = 1;
    again.attempts = attempts;
    again.heard_ns = heard_ns;
    again.acked_bytes = 5000;
    again.life_segs_out = 100;
    return again;
}

flow_total silent_row(std::uint64_t second) {
    flow_total row = client_row();
    row.sending = kLooks;
    row.silent = 2;
    row.flows = 2;
    row.quiet_ns = second * kSecondNs;
    return row;
}

/// Two connections that send into the void from the third second on.
Run dead_peer() {
    Run run;
    for (const std::uint16_t port : {std::uint16_t{40000}, std::uint16_t{40001}}) {
        run.put(2, timeout(1, 3 * kSecondNs, port));
        run.put(3, timeout(3, 3 * kSecondNs, port));
        run.put(8, timeout(5, 3 * kSecondNs, port));
    }
    for (std::size_t second = 4; second < 10; second++)
        run.put(second, silent_row(second - 2));
    return run;
}

connect_event attempt(std::uint32_t result, std::uint32_t error) {
    auto event = make<connect_event>();
    event.flow = tcp_flow(kClientHost, 40000, kServerHost, 8080, kClientNetns);
    event.owner = process("backup", 60);
    event.result = result;
    event.error = error;
    event.syn_retransmits = result == ABI_RESULT_OK ? 0 : 2;
    event.latency_ns = 20 * kMs;
    return event;
}

} // namespace

TEST_CASE("segments out of order that were not lost are reordering", "[tcp_path_test]") {
    Run run;
    run.each([](auto) { return sent(1000, 2, 2, 50); });
    const auto findings = run.loud();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "reordering");
    CHECK_FALSE(findings[0].culprit);
    CHECK(findings[0].where.remote == kServerHost);
    CHECK(findings[0].affected.at(0).owner.tgid == 60);
}

TEST_CASE("a path with several lanes reorders now and then", "[tcp_path_test]") {
    Run run;
    run.each([](auto) { return sent(100'000, 5, 5, 10); });
    CHECK(run.all().empty());
}

TEST_CASE("lost segments are no reordering", "[tcp_path_test]") {
    Run run;
    run.each([](auto) { return sent(1000, 40, 1, 10); });
    CHECK(run.of("reordering").empty());
    CHECK(run.of("duplicate-packets").empty());
}

TEST_CASE("duplicates of what was sent once are the path's", "[tcp_path_test]") {
    Run run;
    run.each([](auto) { return sent(1000, 0, 60, 0); });
    const auto findings = run.loud();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "duplicate-packets");
    CHECK_FALSE(findings[0].culprit);
}

TEST_CASE("duplicates of what was sent again are the sender's haste", "[tcp_path_test]") {
    Run run;
    run.each([](auto) { return sent(1000, 60, 60, 0); });
    CHECK(run.all().empty());
}

TEST_CASE("a peer that stops answering is dead, and nothing else", "[tcp_path_test]") {
    Run run = dead_peer();
    for (std::size_t second = 5; second < 9; second++)
        run.put(second, attempt(ABI_RESULT_ERROR, ETIMEDOUT));
    run.at(9).counters[kClientNetns].growth[counter("Tcp.OutSegs")] = 100;
    const auto findings = run.loud();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "peer-dead");
    CHECK(findings[0].severity == Severity::kCritical);
    CHECK_FALSE(findings[0].culprit);
    CHECK(findings[0].where.remote == kServerHost);
    CHECK(findings[0].affected.at(0).owner.tgid == 60);
    CHECK(findings[0].title.find("2 established connections") != std::string::npos);
}

TEST_CASE("connections that a firewall forgot are told from a dead peer", "[tcp_path_test]") {
    Run run = dead_peer();
    run.put(8, attempt(ABI_RESULT_OK, 0));
    const auto findings = run.of("peer-dead");
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].title.find("others there go on") != std::string::npos);
}

TEST_CASE("a burst of losses that was survived is no dead peer", "[tcp_path_test]") {
    Run run;
    run.put(2, timeout(3, 3 * kSecondNs));
    run.put(4, timeout(4, 3 * kSecondNs));
    run.each([](auto) {
        flow_total row = client_row();
        row.sending = kLooks;
        row.segs_in = 20;
        return row;
    });
    CHECK(run.of("peer-dead").empty());
}

TEST_CASE("both ends of a dead path are one finding", "[tcp_path_test]") {
    Run run = dead_peer();
    auto back = timeout(5, 3 * kSecondNs);
    back.flow = tcp_flow(kServerHost, kServicePort, kClientHost, 40000, kServerNetns);
    back.owner = process("archiver", 50);
    run.put(8, back);
    flow_total row = server_row();
    row.silent = 1;
    row.sending = kLooks;
    run.put(9, row);
    CHECK(run.of("peer-dead").size() == 1);
}

TEST_CASE("a client of the Internet that goes away is normal life", "[tcp_path_test]") {
    const auto gone = [](const char* client, int connections) {
        Run run;
        for (std::uint16_t i = 0; i < connections; i++) {
            auto again = timeout(5, 3 * kSecondNs);
            again.flow = tcp_flow(kServerHost, kServicePort, client,
                                  static_cast<std::uint16_t>(40000 + i), kServerNetns);
            again.owner = process("archiver", 50);
            run.put(8, again);
        }
        flow_total row = server_row();
        row.flow = tcp_flow(kServerHost, kServicePort, client, 0, kServerNetns);
        row.silent = 1;
        row.sending = kLooks;
        run.put(9, row);
        return run.of("peer-dead").at(0).severity;
    };
    CHECK(gone("8.8.4.4", 1) == Severity::kInfo);
    CHECK(gone("8.8.4.4", 4) == Severity::kCritical);
    CHECK(gone(kClientHost, 1) == Severity::kCritical);
}

} // namespace culprit
