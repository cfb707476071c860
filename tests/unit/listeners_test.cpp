// SPDX-License-Identifier: MIT
// Which of the three findings about listening sockets is said, of whom, and when none is.
#include <algorithm>

#include "detect/finding.h"
#include "detect/flows.h"
#include "support/catch.h"
#include "support/event_builder.h"
#include "support/fake_names.h"
#include "support/readable.h"

namespace culprit {

namespace {

using namespace test;

constexpr std::uint16_t kPort = 8080;

Window ten_seconds() {
    Window window;
    window.from_ns = kSecondNs;
    window.to_ns = 11 * kSecondNs;
    window.names = fake_names();
    window.counters[kNetns] = {};
    return window;
}

void count(Window& window, std::size_t index, std::uint64_t value) {
    window.counters[kNetns].growth[index] = value;
}

/// A listener that was looked at fifty times, its accept queue never full.
listen_total listener(std::uint32_t tgid = 42, const std::string& address = "10.0.0.1") {
    auto total = make<listen_total>();
    total.flow = tcp_flow(address, kPort, "0.0.0.0", 0);
    total.owner = process("server", tgid);
    total.since_ns = 5 + tgid;
    total.sockets = 1;
    total.looks = 50;
    total.limit = 128;
    total.somaxconn = 4096;
    total.syn_limit = 128;
    total.syncookies = 1;
    total.established = 1000;
    total.accepted = 1000;
    total.depth_sum = 100;
    total.depth = 20;
    return total;
}

/// The same with a queue that overflowed.
listen_total overflowing(std::uint32_t tgid = 42, const std::string& address = "10.0.0.1") {
    listen_total total = listener(tgid, address);
    total.depth = 129;
    total.looks_full = 45;
    total.depth_sum = 128 * 50;
    total.drops = 60;
    total.accepted = 640;
    return total;
}

void add(Window& window, const listen_total& total) {
    window.fold(bytes_of(total));
}

void add_overflows(Window& window, std::uint64_t drops) {
    count(window, counter("TcpExt.ListenOverflows"), drops);
    count(window, counter("TcpExt.ListenDrops"), drops);
}

void add_syn_repeats(Window& window, const std::string& to, int repeats,
                     std::uint32_t netns = kNetns) {
    for (int i = 0; i < repeats; i++) {
        auto again = make<retransmit_event>();
        again.flow = tcp_flow("10.0.0.9", static_cast<std::uint16_t>(30000 + i), to, kPort, netns);
        again.owner = process("client", 7);
        again.type = ABI_RETRANSMIT_SYN;
        again.segs = 1;
        window.fold(bytes_of(again));
    }
}

std::vector<Finding> loud(const Window& window) {
    auto all = test::readable_findings({window, std::span(&window, 1)});
    std::erase_if(all, [](const Finding& f) { return f.severity == Severity::kInfo; });
    return all;
}

bool tells(const Finding& finding, std::string_view words) {
    return std::ranges::any_of(finding.evidence, [&](const Evidence& e) {
        return e.text.find(words) != std::string::npos;
    });
}

} // namespace

TEST_CASE("a queue that is used, even deeply, without being full is healthy", "[listeners_test]") {
    Window window = ten_seconds();
    listen_total busy = listener();
    busy.depth = 128; // full means more than the limit
    busy.syn_depth = 60;
    add(window, busy);
    CHECK(loud(window).empty());
}

TEST_CASE("a full queue that drops is listen-overflow by its process, with wait and limit",
          "[listeners_test]") {
    Window window = ten_seconds();
    add(window, overflowing());
    add_overflows(window, 60);
    const auto findings = loud(window);
    REQUIRE(findings.size() == 1);
    const Finding& finding = findings[0];
    CHECK(finding.id == "listen-overflow");
    CHECK(finding.severity == Severity::kCritical);
    REQUIRE(finding.culprit);
    CHECK(finding.culprit->owner.tgid == 42);
    CHECK(finding.where.local == "10.0.0.1:8080");
    CHECK(finding.count == 60);
    CHECK(tells(finding, "accept queue 129 of 128, full at 45 of 50 looks (90 %)"));
    CHECK(tells(finding, "64.0 accepted"));
    CHECK(tells(finding, "waits 2s ")); // 128 waiting, 64 accepted per second
    CHECK(finding.title.find("too slowly") != std::string::npos);
    CHECK(finding.advice.back().text.find("listen() backlog") != std::string::npos);
}

TEST_CASE("a limit of somaxconn is told from one of listen()", "[listeners_test]") {
    Window window = ten_seconds();
    listen_total capped = overflowing();
    capped.limit = capped.somaxconn = 128;
    add(window, capped);
    add_overflows(window, 60);
    CHECK(loud(window).at(0).advice.back().text.find("capped by net.core.somaxconn") !=
          std::string::npos);
}

TEST_CASE("a stopped and a hung process are called so", "[listeners_test]") {
    Window window = ten_seconds();
    listen_total total = overflowing();
    total.accepted = 0;
    add(window, total);
    add_overflows(window, 60);
    CHECK(loud(window).at(0).title.find("accepts nothing") != std::string::npos);
    total.owner_looks = total.owner_stopped = 9;
    Window stopped = ten_seconds();
    add(stopped, total);
    add_overflows(stopped, 60);
    CHECK(loud(stopped).at(0).title.find("is stopped") != std::string::npos);
}

TEST_CASE("a queue that stays full without a drop is a warning, a moment is nothing",
          "[listeners_test]") {
    Window window = ten_seconds();
    listen_total total = overflowing();
    total.drops = 0;
    add(window, total);
    const auto findings = loud(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].severity == Severity::kWarning);
    total.looks_full = 1;
    Window moment = ten_seconds();
    add(moment, total);
    CHECK(loud(moment).empty());
}

TEST_CASE("a listener that drops for another reason than its queue is no overflow",
          "[listeners_test]") {
    Window window = ten_seconds();
    listen_total total = listener();
    total.drops = 30; // repeated SYNs
    add(window, total);
    CHECK(loud(window).empty());
}

TEST_CASE("no descriptors left is the finding, and the overflow its evidence", "[listeners_test]") {
    Window window = ten_seconds();
    listen_total total = overflowing();
    total.accepted = 0;
    total.owner_looks = 10;
    total.open_files = 64;
    total.files_limit = 64;
    add(window, total);
    add_overflows(window, 60);
    const auto findings = loud(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "fd-exhaustion");
    CHECK(tells(findings[0], "64 open files, its limit is 64"));
    CHECK(tells(findings[0], "accept queue 129 of 128"));
    total.files_limit = 1024;
    Window slow = ten_seconds();
    add(slow, total);
    add_overflows(slow, 60);
    CHECK(loud(slow).at(0).id == "listen-overflow");
}

TEST_CASE("a process at its limit whose queue is not full is healthy", "[listeners_test]") {
    Window window = ten_seconds();
    listen_total total = listener();
    total.open_files = total.files_limit = 64;
    add(window, total);
    CHECK(loud(window).empty());
}

TEST_CASE("cookies that hardly anybody answers are a flood without culprit", "[listeners_test]") {
    Window window = ten_seconds();
    listen_total total = listener();
    total.syn_depth = 129;
    total.looks_syn_full = 48;
    add(window, total);
    count(window, counter("TcpExt.SyncookiesSent"), 12296);
    count(window, counter("TcpExt.SyncookiesRecv"), 126);
    const auto findings = loud(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "syn-flood");
    CHECK(findings[0].severity == Severity::kWarning);
    CHECK_FALSE(findings[0].culprit);
    CHECK(findings[0].affected.at(0).owner.tgid == 42);
    CHECK(findings[0].title.find("cookies on") != std::string::npos);
}

TEST_CASE("without cookies the flood drops, with and without a counter of its own",
          "[listeners_test]") {
    for (const std::uint64_t full_drop : {std::uint64_t{12000}, std::uint64_t{0}}) {
        Window window = ten_seconds();
        listen_total total = listener();
        total.syncookies = 0;
        total.looks_syn_full = 48;
        total.drops = 12000;
        total.established = total.accepted = 3;
        add(window, total);
        count(window, counter("TcpExt.ListenDrops"), 12000);
        count(window, counter("TcpExt.TCPReqQFullDrop"), full_drop);
        const auto findings = loud(window);
        REQUIRE(findings.size() == 1);
        CHECK(findings[0].id == "syn-flood");
        CHECK(findings[0].severity == Severity::kCritical);
        CHECK(findings[0].title.find("cookies off") != std::string::npos);
    }
}

TEST_CASE("what a flooded listener answers is dropped without harm to it or its clients",
          "[listeners_test]") {
    Window window = ten_seconds();
    listen_total total = listener();
    total.looks_syn_full = 48;
    add(window, total);
    count(window, counter("TcpExt.SyncookiesSent"), 12296);
    auto dropped = make<drop_total>();
    dropped.reason = 2;
    dropped.location = kNfHook;
    dropped.netns = kNetns;
    dropped.packets = 5000;
    window.fold(bytes_of(dropped));
    auto sample = make<drop_event>();
    sample.flow = tcp_flow("10.0.0.1", kPort, "198.51.100.7", 1024);
    sample.owner = process("server", 42);
    sample.reason = 2;
    sample.location = kNfHook;
    sample.tcp_flags = 18; // SYN and ACK
    window.fold(bytes_of(sample));
    add_syn_repeats(window, "10.0.0.1", 10);
    const auto findings = loud(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "syn-flood");
}

TEST_CASE("an overflow that also moves cookies is an overflow", "[listeners_test]") {
    Window window = ten_seconds();
    listen_total total = overflowing();
    total.looks_syn_full = 10;
    add(window, total);
    add_overflows(window, 60);
    count(window, counter("TcpExt.SyncookiesSent"), 3);
    count(window, counter("TcpExt.SyncookiesRecv"), 16);
    const auto findings = loud(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "listen-overflow");
}

TEST_CASE("a burst of real clients that fills the SYN queue is no flood", "[listeners_test]") {
    Window window = ten_seconds();
    listen_total total = listener();
    total.looks_syn_full = 10;
    add(window, total);
    count(window, counter("TcpExt.SyncookiesSent"), 1000);
    count(window, counter("TcpExt.SyncookiesRecv"), 990);
    CHECK(loud(window).empty());
}

TEST_CASE("repeated SYNs to an overflowing listener of this host are its victims, no finding",
          "[listeners_test]") {
    constexpr std::uint32_t kElsewhere = 4026532001;
    Window alone = ten_seconds();
    add_syn_repeats(alone, "10.0.0.1", 20, kElsewhere);
    REQUIRE(loud(alone).size() == 1);
    CHECK(loud(alone)[0].id == "connect-timeout");
    Window window = ten_seconds();
    add(window, overflowing());
    add_overflows(window, 60);
    add_syn_repeats(window, "10.0.0.1", 20, kElsewhere);
    const auto findings = loud(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "listen-overflow");
    REQUIRE(findings[0].affected.size() == 1);
    CHECK(findings[0].affected[0].owner.tgid == 7);
    CHECK(tells(findings[0], "20 SYNs"));
}

TEST_CASE("a listener on every address explains what goes to addresses of its namespace only",
          "[listeners_test]") {
    Window window = ten_seconds();
    window.names.addresses[kNetns] = {"127.0.0.1", "10.0.0.1"};
    add(window, overflowing(42, "0.0.0.0"));
    add_overflows(window, 60);
    add_syn_repeats(window, "127.0.0.1", 10);
    add_syn_repeats(window, "10.0.0.1", 10, 4026532001);
    REQUIRE(loud(window).size() == 1);
    CHECK(loud(window)[0].where.local == "*:8080");
    CHECK(tells(loud(window)[0], "20 SYNs"));
    add_syn_repeats(window, "192.0.2.77", 20); // some other host's port of the same number
    const auto findings = loud(window);
    REQUIRE(findings.size() == 2);
    CHECK(std::ranges::count(findings, "connect-timeout", &Finding::id) == 1);
}

TEST_CASE("of two sockets on one address the one that drops is named, rates are of both",
          "[listeners_test]") {
    Window window = ten_seconds();
    listen_total idle = listener(41), full = overflowing(42);
    for (listen_total* total : {&idle, &full}) {
        total->sockets = 2;
        total->established = total->accepted = 0;
    }
    add(window, idle);
    add(window, full);
    auto group = make<listen_total>();
    group.flow = full.flow;
    group.scope = ABI_LISTEN_GROUP;
    group.sockets = 2;
    group.established = 500;
    group.accepted = 480;
    add(window, group);
    group.flow.netns = 4026532001; // the same address in another namespace is another group
    add(window, group);
    add_overflows(window, 60);
    const auto findings = loud(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].culprit->owner.tgid == 42);
    CHECK(tells(findings[0], "48.0 accepted by all sockets of this address together"));
    CHECK_FALSE(tells(findings[0], "waits"));
}

TEST_CASE("listeners explain the namespace's drops and overflows", "[listeners_test]") {
    Window window = ten_seconds();
    add(window, overflowing());
    add_overflows(window, 60);
    const auto rows = reconcile({window, {}});
    REQUIRE(rows.size() == 2);
    for (const Reconciled& row : rows) {
        CHECK(row.kernel == 60);
        CHECK(row.unexplained() == 0);
        CHECK(row.note.empty());
    }
    count(window, counter("TcpExt.ListenDrops"), 55);
    CHECK(reconcile({window, {}})[0].unexplained() == 0); // the socket's own count has others too
    count(window, counter("TcpExt.ListenDrops"), 70);
    const auto behind = reconcile({window, {}});
    CHECK(behind[0].unexplained() == 10);
    CHECK_FALSE(behind[0].note.empty());
}

} // namespace culprit
