// SPDX-License-Identifier: MIT
// Do detectors say what their Windows show, and stay silent on healthy ones? No kernel, no clock.
#include <algorithm>

#include "detect/benign.h"
#include "detect/finding.h"
#include "detect/flows.h"
#include "model/window_json.h"
#include "support/catch.h"
#include "support/event_builder.h"
#include "support/fake_names.h"
#include "support/readable.h"

namespace culprit {

namespace {

using namespace test;

Window ten_seconds() {
    Window window;
    window.from_ns = kSecondNs;
    window.to_ns = 11 * kSecondNs;
    window.names = fake_names();
    return window;
}

void set_counter(Window& window, std::size_t index, std::uint64_t value) {
    window.counters[kNetns].growth[index] = value;
}

void add_retransmits(Window& window, std::uint32_t type, int count, std::uint16_t port = 40000) {
    for (int i = 0; i < count; i++) {
        auto again = make<retransmit_event>();
        again.flow = tcp_flow("10.0.0.1", port, "10.0.0.2", 80);
        again.owner = process("sender", 42);
        again.type = type;
        again.segs = 1;
        again.life_segs_out = 1000;
        window.fold(bytes_of(again));
    }
}

void add_drops(Window& window, std::uint32_t reason, std::uint64_t location, std::uint64_t packets,
               std::uint8_t flags) {
    auto total = make<drop_total>();
    total.reason = reason;
    total.location = location;
    total.netns = kNetns;
    total.ifindex = 2;
    total.protocol = IPPROTO_TCP;
    total.packets = packets;
    window.fold(bytes_of(total));
    auto sample = make<drop_event>();
    sample.flow = tcp_flow("10.0.0.1", 40000, "10.0.0.2", 80);
    sample.reason = reason;
    sample.location = location;
    sample.tcp_flags = flags;
    window.fold(bytes_of(sample));
}

std::vector<Finding> loud(const Window& window) {
    auto all = test::readable_findings({window, std::span(&window, 1)});
    std::erase_if(all, [](const Finding& f) { return f.severity == Severity::kInfo; });
    return all;
}

void add_connects(Window& window, std::uint32_t result, std::uint32_t error, int count) {
    for (int i = 0; i < count; i++) {
        auto attempt = make<connect_event>();
        attempt.flow = tcp_flow("10.0.0.1", static_cast<std::uint16_t>(30000 + i), "10.0.0.2", 80);
        attempt.owner = process("client", 7);
        attempt.result = result;
        attempt.error = error;
        window.fold(bytes_of(attempt));
    }
}

void add_closes(Window& window, std::uint8_t ending, std::uint8_t had_data, int count) {
    for (int i = 0; i < count; i++) {
        auto closed = make<close_event>();
        closed.flow = tcp_flow("10.0.0.1", 80, "10.0.0.2", static_cast<std::uint16_t>(30000 + i));
        closed.owner = process("server", 9, ABI_OWNER_LISTENER);
        closed.role = ABI_ROLE_SERVER;
        closed.ending = ending;
        closed.service_port = 80;
        closed.last_state = ending == ABI_ENDING_FIN ? 9 : 1; // LAST_ACK, ESTABLISHED
        closed.had_data = had_data;
        window.fold(bytes_of(closed));
    }
}

constexpr std::uint32_t kNetfilterDrop = 8;

} // namespace

TEST_CASE("three percent of real loss is packet-loss with the sender affected and nobody blamed",
          "[detect_test]") {
    Window window = ten_seconds();
    add_retransmits(window, ABI_RETRANSMIT_FAST, 30);
    set_counter(window, counter("Tcp.OutSegs"), 1000);
    const auto findings = loud(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "packet-loss");
    CHECK(findings[0].severity == Severity::kCritical);
    CHECK_FALSE(findings[0].culprit);
    REQUIRE(findings[0].affected.size() == 1);
    CHECK(findings[0].affected[0].owner.tgid == 42);
}

TEST_CASE("retransmissions that receivers call duplicates are no loss", "[detect_test]") {
    Window window = ten_seconds();
    add_retransmits(window, ABI_RETRANSMIT_FAST, 300);
    set_counter(window, counter("Tcp.OutSegs"), 1000);
    set_counter(window, counter("TcpExt.TCPDSACKRecvSegs"), 300);
    CHECK(loud(window).empty());
}

TEST_CASE("one lost segment in a thousand is an ordinary path", "[detect_test]") {
    Window window = ten_seconds();
    add_retransmits(window, ABI_RETRANSMIT_FAST, 20);
    set_counter(window, counter("Tcp.OutSegs"), 20000);
    CHECK(loud(window).empty());
}

TEST_CASE("loss of more connections than a window has rows is not lost", "[detect_test]") {
    Window window = ten_seconds();
    for (std::uint32_t i = 0; i < 10'000; i++)
        add_retransmits(window, ABI_RETRANSMIT_FAST, 1, static_cast<std::uint16_t>(20'000 + i));
    set_counter(window, counter("Tcp.OutSegs"), 600'000);
    set_counter(window, counter("Tcp.RetransSegs"), 10'000);
    const auto findings = loud(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "packet-loss");
    CHECK(findings[0].count == 10'000);
}

TEST_CASE("loss whose packets were dropped here is told by the drop, and not packet-loss too",
          "[detect_test]") {
    Window window = ten_seconds();
    add_retransmits(window, ABI_RETRANSMIT_FAST, 30);
    set_counter(window, counter("Tcp.OutSegs"), 1000);
    add_drops(window, kNetfilterDrop, kNfHook, 30, 16);
    const auto findings = loud(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "firewall-drop");
    CHECK(findings[0].where.reason == "NETFILTER_DROP");
    CHECK(findings[0].where.kernel == "nf_hook_slow+0xb5");
    CHECK(findings[0].where.device == "eth0");
    REQUIRE(findings[0].affected.size() == 1);
    CHECK(findings[0].affected[0].owner.tgid == 42);
}

TEST_CASE("a firewall that drops what nobody waits for is worth a remark at most",
          "[detect_test]") {
    Window window = ten_seconds();
    add_drops(window, kNetfilterDrop, kNfHook, 5000, 2);
    const auto all = test::readable_findings({window, std::span(&window, 1)});
    REQUIRE(all.size() == 1);
    CHECK(all[0].severity == Severity::kInfo);
}

TEST_CASE("normal life drops are no finding however many, and the same reason elsewhere is",
          "[detect_test]") {
    Window window = ten_seconds();
    add_retransmits(window, ABI_RETRANSMIT_FAST, 30);
    set_counter(window, counter("Tcp.OutSegs"), 100000);
    add_drops(window, 2, kTcpRcv, 100000, 16);
    CHECK(loud(window).empty());
    CHECK(!benign_drop("NOT_SPECIFIED", "tcp_v4_rcv+0x85").empty());
    CHECK(!benign_drop("NOT_SPECIFIED", "skb_rbtree_purge+0x4d").empty());
    CHECK(benign_drop("NOT_SPECIFIED", "ip_error+0x10").empty());
    CHECK(!benign_drop("-", "tcp_v4_rcv.isra.0+0x85").empty());
}

TEST_CASE("steady refusals are conn-refused, blamed on the client; a few are not",
          "[detect_test]") {
    Window window = ten_seconds();
    add_connects(window, ABI_RESULT_ERROR, ECONNREFUSED, 100);
    const auto findings = loud(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "conn-refused");
    REQUIRE(findings[0].culprit);
    CHECK(findings[0].culprit->owner.tgid == 7);
    Window few = ten_seconds();
    add_connects(few, ABI_RESULT_ERROR, ECONNREFUSED, 4);
    CHECK(loud(few).empty());
    Window mostly_fine = ten_seconds();
    add_connects(mostly_fine, ABI_RESULT_ERROR, ECONNREFUSED, 20);
    add_connects(mostly_fine, ABI_RESULT_OK, 0, 100);
    CHECK(loud(mostly_fine).empty());
}

TEST_CASE("connects without answer are connect-timeout unless their SYNs were dropped here",
          "[detect_test]") {
    Window window = ten_seconds();
    add_connects(window, ABI_RESULT_ERROR, ETIMEDOUT, 5);
    add_retransmits(window, ABI_RETRANSMIT_SYN, 6);
    const auto findings = loud(window);
    REQUIRE_FALSE(findings.empty());
    CHECK(
        std::ranges::all_of(findings, [](const Finding& f) { return f.id == "connect-timeout"; }));
    add_drops(window, kNetfilterDrop, kNfHook, 10, 2);
    const auto explained = loud(window);
    REQUIRE(explained.size() == 1);
    CHECK(explained[0].id == "firewall-drop");
}

TEST_CASE("a process that gives up connecting at once is healthy", "[detect_test]") {
    Window window = ten_seconds();
    add_connects(window, ABI_RESULT_ABANDONED, 0, 50);
    CHECK(loud(window).empty());
}

TEST_CASE("connections with data that end by reset are rst-storm; health checks are not",
          "[detect_test]") {
    Window window = ten_seconds();
    add_closes(window, ABI_ENDING_RESET_SENT, 1, 60);
    add_closes(window, ABI_ENDING_FIN, 1, 40);
    const auto findings = loud(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "rst-storm");
    REQUIRE(findings[0].culprit);
    CHECK(findings[0].culprit->owner.tgid == 9);
    Window checks = ten_seconds();
    add_closes(checks, ABI_ENDING_RESET_RECEIVED, 0, 500);
    CHECK(loud(checks).empty());
}

TEST_CASE("counters that the records explain leave nothing, and a lost record leaves its remainder",
          "[detect_test]") {
    Window window = ten_seconds();
    add_retransmits(window, ABI_RETRANSMIT_FAST, 30);
    set_counter(window, counter("Tcp.RetransSegs"), 33);
    set_counter(window, counter("TcpExt.TCPRetransFail"), 2);
    const auto rows = reconcile({window, {}});
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].counter == "Tcp.RetransSegs");
    CHECK(rows[0].explained == 32);
    CHECK(rows[0].unexplained() == 1);
}

TEST_CASE("lost records or a signal that is off turn a healthy verdict into an incomplete one",
          "[detect_test]") {
    VerdictInput input{.facts = {ten_seconds(), {}}};
    CHECK(judge(input).outcome == Outcome::kHealthy);
    input.facts.total.lost[ABI_DROP] = {.ring_full = 1, .seen = 5};
    CHECK(judge(input).outcome == Outcome::kIncomplete);
    input.facts.total.lost.clear();
    input.status.push_back({"drop", State::kOff, {}, {}, {"this kernel has no hook kfree_skb"}});
    const Verdict verdict = judge(input);
    CHECK(verdict.outcome == Outcome::kIncomplete);
    const auto& network = verdict.layers[2];
    CHECK(network.status == LayerStatus::kUnknown);
    REQUIRE_FALSE(network.not_checked.empty());
    CHECK(network.not_checked[0].find("no hook kfree_skb") != std::string::npos);
}

TEST_CASE("a replayed window gives the very same findings", "[detect_test]") {
    Window window = ten_seconds();
    add_retransmits(window, ABI_RETRANSMIT_FAST, 30);
    set_counter(window, counter("Tcp.OutSegs"), 1000);
    add_drops(window, kNetfilterDrop, kNfHook, 30, 16);
    const auto again = window_from_json(window_to_json(window));
    REQUIRE(again);
    const auto a = loud(window), b = loud(*again);
    REQUIRE(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); i++) {
        CHECK(a[i].title == b[i].title);
        CHECK(a[i].count == b[i].count);
    }
}

TEST_CASE("a number outside a field's names is refused before a detector can trip over it",
          "[detect_test]") {
    Window window = ten_seconds();
    add_retransmits(window, ABI_RETRANSMIT_FAST, 30);
    std::string text = window_to_json(window);
    const std::size_t at = text.find("\"type\":1,");
    REQUIRE(at != std::string::npos);
    text.replace(at, 9, "\"type\":4000000000");
    CHECK_FALSE(window_from_json(text));
}

TEST_CASE("more different conversations than a window holds are said, not hidden",
          "[detect_test]") {
    Window window = ten_seconds();
    for (std::uint32_t port = 1; port <= Table::kRowsMax + 10; port++)
        add_retransmits(window, ABI_RETRANSMIT_FAST, 1, static_cast<std::uint16_t>(port));
    CHECK(window.lost[ABI_RETRANSMIT].folded == 10);
    VerdictInput input{.facts = {window, {}}};
    CHECK_FALSE(judge(input).incomplete.empty());
}

TEST_CASE("resets after both sides began to close are an untidy goodbye, no storm",
          "[detect_test]") {
    Window window = ten_seconds();
    for (int i = 0; i < 500; i++) {
        auto closed = make<close_event>();
        closed.flow = tcp_flow("10.0.0.1", 443, "10.0.0.2", static_cast<std::uint16_t>(30000 + i));
        closed.owner = process("server", 9, ABI_OWNER_LISTENER);
        closed.service_port = 443;
        closed.had_data = 1;
        closed.ending = ABI_ENDING_RESET_RECEIVED;
        closed.last_state = 9; // LAST_ACK
        window.fold(bytes_of(closed));
    }
    CHECK(loud(window).empty());
}

} // namespace culprit
