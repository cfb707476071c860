// SPDX-License-Identifier: MIT
// Is trouble with name resolution told with process and server, and normal life left alone?
#include <algorithm>

#include "detect/finding.h"
#include "support/catch.h"
#include "support/event_builder.h"
#include "support/fake_names.h"

namespace culprit {

namespace {

using namespace test;

constexpr std::uint16_t kA = 1, kPtr = 12;
constexpr std::uint64_t kDropPlace = 0xffffffff81300000;
constexpr std::uint32_t kNoSocket = 3, kNetfilterDrop = 8;
constexpr std::size_t kSlot450Ms = 19, kSlot2S = 21, kSlot1Ms = 10;

Window ten_seconds() {
    Window window;
    window.from_ns = kSecondNs;
    window.to_ns = 11 * kSecondNs;
    window.names = fake_names();
    return window;
}

/// What a process asked one server; answered without error in about a millisecond.
dns_total asked(std::uint64_t questions, std::uint64_t answers,
                const std::string& server = "10.0.0.53", std::uint32_t pid = 7,
                std::uint16_t type = kA) {
    auto total = make<dns_total>();
    total.flow = tcp_flow("0.0.0.0", 0, server, 53, kNetns, 0);
    total.flow.protocol = IPPROTO_UDP;
    total.owner = process("client", pid);
    total.type = type;
    total.counts.questions = questions;
    total.counts.answers = total.counts.no_error = answers;
    total.counts.slots[kSlot1Ms] = answers;
    total.counts.latency_ns = answers * 900'000;
    return total;
}

dns_total with_latency(std::uint64_t answers, std::size_t slot, std::uint64_t ns) {
    dns_total total = asked(answers, answers);
    total.counts.slots[kSlot1Ms] = 0;
    total.counts.slots[slot] = answers;
    total.counts.latency_ns = answers * ns;
    total.counts.latency_max_ns = ns;
    return total;
}

/// Questions that this host drops, over the whole run.
void add_drops(Window& window, std::uint32_t reason, unsigned count, std::uint16_t port = 53) {
    window.names.drop_reasons[reason] = reason == kNoSocket ? "NO_SOCKET" : "NETFILTER_DROP";
    window.names.symbols[kDropPlace] =
        reason == kNoSocket ? "__udp4_lib_rcv+0x7a0" : "nft_do_chain+0x3e8";
    auto total = make<drop_total>();
    total.reason = reason;
    total.location = kDropPlace;
    total.netns = kNetns;
    total.protocol = IPPROTO_UDP;
    total.ethertype = 0x0800;
    total.packets = count;
    window.fold(bytes_of(total));
    for (unsigned i = 0; i < count; i++) {
        auto drop = make<drop_event>(kSecondNs + i * 10 * kSecondNs / count);
        drop.flow = tcp_flow("10.0.0.1", 40000, "10.0.0.53", port);
        drop.flow.protocol = IPPROTO_UDP;
        drop.owner = process("client", 7);
        drop.reason = reason;
        drop.location = kDropPlace;
        window.fold(bytes_of(drop));
    }
}

std::vector<Finding> found(const Window& window) {
    auto all = detect_all({.total = window, .windows = {}});
    std::erase_if(all, [](const Finding& f) { return !f.id.starts_with("dns-"); });
    return all;
}

std::vector<Finding> found(const dns_total& total) {
    Window window = ten_seconds();
    window.fold(bytes_of(total));
    return found(window);
}

/// An answer to a question for that name, dots between its labels.
void add_answer(Window& window, std::string_view name, std::uint8_t rcode) {
    auto event = make<dns_event>();
    const dns_total total = asked(1, 1);
    event.flow = total.flow;
    event.owner = total.owner;
    event.type = kA;
    event.rcode = rcode;
    std::size_t length_at = 0, at = 1;
    for (const char c : name) {
        if (c != '.') {
            event.name[at++] = static_cast<__u8>(c);
            event.name[length_at]++;
        } else {
            length_at = at++;
        }
        event.name_hash = event.name_hash * 31 + static_cast<__u8>(c);
    }
    window.fold(bytes_of(event));
}

} // namespace

TEST_CASE("healthy name resolution is silent", "[resolution_test]") {
    dns_total healthy = asked(1000, 999);
    healthy.counts.silent = 1;
    healthy.counts.no_error = 940;
    healthy.counts.nxdomain = 50;
    healthy.counts.servfail = 9;
    healthy.counts.slots[kSlot1Ms] = 900;
    healthy.counts.slots[kSlot450Ms] = 99; // names that nobody had asked for
    CHECK(found(healthy).empty());
}

TEST_CASE("a server that answers late as a rule is slow", "[resolution_test]") {
    const auto findings = found(with_latency(20, kSlot450Ms, 450'000'000));
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "dns-slow");
    CHECK(findings[0].severity == Severity::kWarning);
    CHECK(findings[0].title ==
          "client (pid 7) waits 450ms for the answers of name server 10.0.0.53:53");
    REQUIRE(findings[0].affected.size() == 1);
    CHECK_FALSE(findings[0].culprit);
    CHECK(found(with_latency(20, kSlot2S, 2'000'000'000))[0].severity == Severity::kCritical);
    CHECK(found(with_latency(4, kSlot2S, 2'000'000'000)).empty());
}

TEST_CASE("a server of this host is to blame by its process", "[resolution_test]") {
    Window window = ten_seconds();
    window.fold(bytes_of(with_latency(20, kSlot450Ms, 450'000'000)));
    auto server = make<dns_total>();
    server.flow = tcp_flow("10.0.0.53", 53, "0.0.0.0", 0, kNetns, 0);
    server.owner = process("unbound", 53);
    server.role = DNS_SERVER;
    server.counts.questions = 20;
    window.fold(bytes_of(server));
    const auto findings = found(window);
    REQUIRE(findings.size() == 1);
    REQUIRE(findings[0].culprit);
    CHECK(findings[0].culprit->owner.tgid == 53);
}

TEST_CASE("what a resolver hands on is told of the resolver's own server", "[resolution_test]") {
    Window window = ten_seconds();
    window.fold(bytes_of(with_latency(20, kSlot450Ms, 450'000'000)));
    auto server = make<dns_total>();
    server.flow = tcp_flow("10.0.0.53", 53, "0.0.0.0", 0, kNetns, 0);
    server.owner = process("unbound", 53);
    server.role = DNS_SERVER;
    window.fold(bytes_of(server));
    dns_total upstream = with_latency(20, kSlot450Ms, 440'000'000);
    upstream.owner = process("unbound", 53);
    upstream.flow = tcp_flow("0.0.0.0", 0, "192.0.2.8", 53, kNetns, 0);
    window.fold(bytes_of(upstream));
    const auto findings = found(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].where.remote == "192.0.2.8:53");
    CHECK(findings[0].affected.size() == 2);
}

TEST_CASE("silence is a timeout, one lost packet of many is none", "[resolution_test]") {
    dns_total silent = asked(4, 0);
    silent.counts.silent = 4;
    const auto findings = found(silent);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "dns-timeout");
    CHECK(findings[0].severity == Severity::kCritical);
    dns_total lossy = asked(100, 90);
    lossy.counts.silent = 10;
    CHECK(found(lossy).at(0).severity == Severity::kWarning);
    lossy.counts.silent = 2;
    CHECK(found(lossy).empty());
}

TEST_CASE("silence is the firewall's finding where a packet was dropped", "[resolution_test]") {
    Window window = ten_seconds();
    dns_total silent = asked(4, 0);
    silent.counts.silent = 4;
    window.fold(bytes_of(silent));
    add_drops(window, kNetfilterDrop, 1);
    CHECK(found(window).at(0).id == "dns-timeout"); // too little for a finding of its own
    add_drops(window, kNetfilterDrop, 40);
    for (int i = 0; i < 4; i++) {
        auto event = make<dns_event>();
        event.flow = tcp_flow("10.0.0.1", 40000, "10.0.0.53", 53);
        event.flow.protocol = IPPROTO_UDP;
        event.owner = process("client", 7);
        event.outcome = DNS_NO_ANSWER;
        window.fold(bytes_of(event));
    }
    CHECK(found(window).empty());
    const auto all = detect_all({.total = window, .windows = {}});
    REQUIRE(all.size() == 1);
    CHECK(all[0].id == "firewall-drop");
    CHECK(all[0].severity == Severity::kCritical);
    CHECK(all[0].affected.at(0).owner.tgid == 7);
}

TEST_CASE("a path that loses TCP's packets too is told as that", "[resolution_test]") {
    Window window = ten_seconds();
    window.counters[kNetns].growth[counter("Tcp.OutSegs")] = 1000;
    for (int i = 0; i < 60; i++) {
        auto again = make<retransmit_event>();
        again.flow = tcp_flow("10.0.0.1", 40000, "10.0.0.2", 80);
        again.owner = process("sender", 42);
        again.type = ABI_RETRANSMIT_FAST;
        again.segs = 1;
        again.life_segs_out = 1000;
        window.fold(bytes_of(again));
    }
    dns_total asks = asked(100, 90);
    asks.counts.silent = 10;
    Window silent = window;
    window.fold(bytes_of(asks));
    CHECK(found(window).empty());
    asks.counts.silent = 60; // no loss of that size
    asks.counts.answers = 40;
    silent.fold(bytes_of(asks));
    CHECK(found(silent).at(0).id == "dns-timeout");
}

TEST_CASE("a closed port of this host is told once", "[resolution_test]") {
    Window window = ten_seconds();
    dns_total failed = asked(40, 0);
    failed.counts.failed = 40;
    window.fold(bytes_of(failed));
    add_drops(window, kNoSocket, 40);
    const auto ids = [](const Window& seen) {
        std::vector<std::string> out;
        for (const Finding& finding : detect_all({.total = seen, .windows = {}}))
            out.push_back(finding.id);
        return out;
    };
    CHECK(ids(window) == std::vector<std::string>{"dns-unreachable"});
    Window other = ten_seconds();
    other.fold(bytes_of(failed));
    add_drops(other, kNoSocket, 40, 5353);
    CHECK(ids(other) == std::vector<std::string>{"dns-unreachable", "udp-port-unreachable"});
}

TEST_CASE("an error at the socket is an unreachable server", "[resolution_test]") {
    Window window = ten_seconds();
    dns_total failed = asked(6, 0);
    failed.counts.failed = 6;
    window.fold(bytes_of(failed));
    auto event = make<dns_event>();
    event.flow = failed.flow;
    event.owner = failed.owner;
    event.outcome = DNS_FAILED;
    event.error = ECONNREFUSED;
    event.name[0] = DNS_NO_NAME;
    window.fold(bytes_of(event));
    const auto findings = found(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "dns-unreachable");
    CHECK(findings[0].title ==
          "client (pid 7) cannot reach name server 10.0.0.53:53: ECONNREFUSED");
}

TEST_CASE("codes are told by name", "[resolution_test]") {
    const auto only = [](__u64 dns_counts::*count, std::uint64_t number) {
        dns_total total = asked(100, 100);
        total.counts.no_error = 100 - number;
        total.counts.*count = number;
        return found(total);
    };
    CHECK(only(&dns_counts::servfail, 100).at(0).id == "dns-servfail");
    CHECK(only(&dns_counts::servfail, 100).at(0).severity == Severity::kCritical);
    CHECK(only(&dns_counts::servfail, 10).empty());
    CHECK(only(&dns_counts::refused, 60).at(0).id == "dns-refused");
    CHECK(only(&dns_counts::truncated, 60).at(0).id == "dns-truncated");
    CHECK(only(&dns_counts::nxdomain, 60).at(0).id == "dns-nxdomain");
    CHECK(only(&dns_counts::nxdomain, 40).empty());
}

TEST_CASE("reverse lookups of addresses without a name are normal", "[resolution_test]") {
    dns_total reverse = asked(100, 100, "10.0.0.53", 7, kPtr);
    reverse.counts.no_error = 0;
    reverse.counts.nxdomain = 100;
    CHECK(found(reverse).empty());
}

TEST_CASE("a search list that makes most questions is told, not the names", "[resolution_test]") {
    Window window = ten_seconds();
    dns_total total = asked(200, 200);
    total.counts.no_error = 40;
    total.counts.nxdomain = 160;
    window.fold(bytes_of(total));
    for (int i = 0; i < 10; i++) {
        add_answer(window, "db.example.", 0);
        for (const char* suffix : {"a.cluster.", "svc.cluster.", "cluster.", "corp."})
            add_answer(window, std::string("db.example.") + suffix, 3);
    }
    const auto findings = found(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "dns-search-amplification");
    CHECK(findings[0].culprit->owner.tgid == 7);
}

TEST_CASE("one search domain is within reason", "[resolution_test]") {
    Window window = ten_seconds();
    dns_total total = asked(80, 80);
    total.counts.no_error = total.counts.nxdomain = 40;
    total.counts.no_error = 41;
    total.counts.nxdomain = 39;
    window.fold(bytes_of(total));
    for (int i = 0; i < 40; i++) {
        add_answer(window, "db.example.", 0);
        add_answer(window, "db.example.corp.", 3);
    }
    CHECK(found(window).empty());
}

} // namespace culprit
