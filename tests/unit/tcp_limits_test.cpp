// SPDX-License-Identifier: MIT
// Whose window or buffer sets the pace, and when is that a fault? No kernel, no clock.
#include "support/catch.h"
#include "support/flow_builder.h"

namespace culprit {

namespace {

using namespace test;

/// A reader that has not read for so many seconds.
flow_total closed_reader(std::uint64_t seconds) {
    flow_total row = server_row();
    row.closed_window = kLooks;
    row.closed_window_ns = seconds * kSecondNs;
    row.rcv_wnd = 0;
    row.unread = kLooks * 200'000;
    return row;
}

flow_total waiting_sender(std::uint64_t seconds) {
    flow_total row = client_row();
    set_zero_window(row, seconds);
    return row;
}

/// Reads that much in a second, from a window that is nearly full all the time.
flow_total slow_reader(flow_total row, std::uint64_t bytes) {
    row.closed_window = 2;
    row.closed_window_ns = 400 * kMs;
    row.rcv_wnd = kLooks * 5'000;
    row.unread = kLooks * 190'000;
    row.bytes_received = bytes;
    return row;
}

flow_total pushed_back(flow_total row) {
    set_window_limited(row, 190'000);
    row.zero_window = 2;
    row.zero_window_ns = 400 * kMs;
    return row;
}

receiver_total stopped(const flow_total& row) {
    auto receiver = make<receiver_total>();
    receiver.flow = row.flow;
    receiver.owner = row.owner;
    receiver.stopped = 1;
    return receiver;
}

/// Both ends of a connection over a path of 40 ms whose window is small.
Run small_window(std::uint64_t rcvbuf_locked) {
    Run run;
    run.each([&](auto) {
        flow_total row = client_row();
        set_window_limited(row, 18'000);
        set_rtt(row, 40'000, 40'000);
        return row;
    });
    run.each([&](auto) {
        flow_total row = server_row();
        row.rcvbuf_locked = rcvbuf_locked;
        row.rcvbuf = kLooks * 36'000;
        row.rcv_wnd = kLooks * 18'000;
        row.bytes_received = 450'000;
        return row;
    });
    return run;
}

/// A sender whose buffer is all in flight, over a path of 40 ms.
flow_total full_sndbuf(std::uint64_t locked) {
    flow_total row = client_row();
    set_rtt(row, 40'000, 40'000);
    row.sending = row.app_limited = kLooks;
    row.busy_ns = kSecondNs;
    row.in_flight = kLooks * 66'000;
    row.sndbuf = kLooks * 131'072;
    row.sndbuf_locked = locked;
    row.cwnd = kLooks * 136'000;
    row.snd_wnd = kLooks * 347'000;
    return row;
}

} // namespace

TEST_CASE("a process that does not read is named once, with who waits for it",
          "[tcp_limits_test]") {
    Run run;
    run.each([](auto second) { return closed_reader(second); });
    run.each([](auto second) { return waiting_sender(second); });
    const auto findings = run.loud();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "zero-window");
    CHECK(findings[0].severity == Severity::kCritical);
    REQUIRE(findings[0].culprit);
    CHECK(findings[0].culprit->owner.tgid == 50);
    REQUIRE(findings[0].affected.size() == 1);
    CHECK(findings[0].affected[0].owner.tgid == 60);
    CHECK(findings[0].where.local == "10.0.0.2:9000");
    CHECK(findings[0].where.netns == kServerNetns);
    CHECK(findings[0].title.find("does not read") != std::string::npos);
}

TEST_CASE("a stopped reader hangs, and its closed window is what comes of it",
          "[tcp_limits_test]") {
    Run run;
    run.each([](auto second) { return closed_reader(second); });
    run.each([](auto second) { return waiting_sender(second); });
    run.put(9, stopped(server_row()));
    const auto findings = run.loud();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "app-hang");
    CHECK(findings[0].title.find("is stopped") != std::string::npos);
    CHECK(findings[0].severity == Severity::kCritical);
    CHECK(findings[0].affected.at(0).owner.tgid == 60);
    CHECK(findings[0].evidence.back().text.find("window closed") != std::string::npos);
}

TEST_CASE("a reader elsewhere is named by its address, and nobody here is blamed",
          "[tcp_limits_test]") {
    Run run;
    run.each([](auto second) { return waiting_sender(second); });
    const auto findings = run.of("zero-window");
    REQUIRE(findings.size() == 1);
    CHECK_FALSE(findings[0].culprit);
    CHECK(findings[0].where.remote == "10.0.0.2:9000");
    CHECK(findings[0].severity == Severity::kCritical);
    REQUIRE(findings[0].affected.size() == 1);
    CHECK(findings[0].affected[0].owner.tgid == 60);
}

TEST_CASE("a paused player elsewhere is its user's business", "[tcp_limits_test]") {
    Run run;
    run.each([](auto second) {
        flow_total row = server_row();
        set_zero_window(row, second);
        return row;
    });
    const auto findings = run.all();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "zero-window");
    CHECK(findings[0].severity == Severity::kInfo);
}

TEST_CASE("a full buffer whose sender is done hurts nobody", "[tcp_limits_test]") {
    Run run;
    run.each([](auto second) { return closed_reader(second); });
    run.each([](auto) { return client_row(); });
    CHECK(run.all().empty());
}

TEST_CASE("probes of a closed window are no packet loss", "[tcp_limits_test]") {
    Run run;
    run.each([](auto second) { return waiting_sender(second); });
    for (std::size_t second = 0; second < 10; second++) {
        auto again = make<retransmit_event>();
        again.flow = tcp_flow(kClientHost, 40000, kServerHost, kServicePort, kClientNetns);
        again.owner = process("backup", 60);
        again.type = ABI_RETRANSMIT_RTO;
        again.segs = 5;
        run.put(second, again);
    }
    run.at(9).counters[kClientNetns].growth[counter("Tcp.OutSegs")] = 500;
    CHECK(run.of("packet-loss").empty());
}

TEST_CASE("a server that reads what clients send seconds later is told", "[tcp_limits_test]") {
    Run run;
    run.each([](auto) { return slow_reader(server_row(), 100'000); });
    run.each([](auto) { return pushed_back(client_row()); });
    const auto findings = run.loud();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "receiver-limited");
    REQUIRE(findings[0].culprit);
    CHECK(findings[0].culprit->owner.tgid == 50);
    CHECK(findings[0].affected.at(0).owner.tgid == 60);
}

TEST_CASE("a player that reads at its own rate is healthy", "[tcp_limits_test]") {
    Run run;
    run.each([](auto) { return slow_reader(client_row(process("player", 70)), 600'000); });
    run.each([](auto) { return pushed_back(server_row(process("media", 80))); });
    CHECK(run.loud().empty());
    const auto findings = run.of("receiver-limited");
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].culprit->owner.tgid == 70);
}

TEST_CASE("a server that reads at a steady pace with little delay is healthy",
          "[tcp_limits_test]") {
    Run run;
    run.each([](auto) { return slow_reader(server_row(), 1'000'000); });
    run.each([](auto) { return pushed_back(client_row()); });
    CHECK(run.loud().empty());
}

TEST_CASE("a receive buffer that a process made too small for its path is named",
          "[tcp_limits_test]") {
    const auto findings = small_window(1).loud();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "bdp-limited");
    REQUIRE(findings[0].culprit);
    CHECK(findings[0].culprit->owner.tgid == 50);
    CHECK(findings[0].affected.at(0).owner.tgid == 60);
    CHECK(findings[0].title.find("SO_RCVBUF") != std::string::npos);
    CHECK(findings[0].title.find("450 KB/s") != std::string::npos);
}

TEST_CASE("a small limit of the host is told without a process to blame", "[tcp_limits_test]") {
    Run run = small_window(0);
    run.at(9).counters[kServerNetns].gauges.set(gauge("tcp_rmem.max"), 36'000);
    const auto findings = run.loud();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "bdp-limited");
    CHECK_FALSE(findings[0].culprit);
    CHECK(findings[0].title.find("tcp_rmem") != std::string::npos);
}

TEST_CASE("a window that the kernel may still enlarge is worth knowing only", "[tcp_limits_test]") {
    Run run = small_window(0);
    run.at(9).counters[kServerNetns].gauges.set(gauge("tcp_rmem.max"), 6 << 20);
    CHECK(run.loud().empty());
    CHECK(run.of("bdp-limited").size() == 1);
}

TEST_CASE("a bulk transfer at machine speed is not limited by its window", "[tcp_limits_test]") {
    Run run;
    run.each([&](auto) {
        flow_total row = client_row();
        set_window_limited(row, 3'000'000);
        set_rtt(row, 300, 30);
        return row;
    });
    run.each([&](auto) { return server_row(); });
    CHECK(run.all().empty());
}

TEST_CASE("a send buffer that a process made too small for its path is named",
          "[tcp_limits_test]") {
    Run run;
    run.each([](auto) { return full_sndbuf(1); });
    const auto findings = run.loud();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "sndbuf-limited");
    REQUIRE(findings[0].culprit);
    CHECK(findings[0].culprit->owner.tgid == 60);
    CHECK(findings[0].title.find("SO_SNDBUF") != std::string::npos);
}

TEST_CASE("who has little to send is not limited by his buffer", "[tcp_limits_test]") {
    Run run;
    run.each([](auto) {
        flow_total row = full_sndbuf(1);
        row.in_flight = kLooks * 3'000;
        return row;
    });
    run.each([](auto) {
        flow_total row = full_sndbuf(0);
        row.flow.remote_port = 9001;
        return row;
    });
    CHECK(run.all().empty());
}

TEST_CASE("a small window of congestion is no small buffer", "[tcp_limits_test]") {
    Run run;
    run.each([](auto) {
        flow_total row = full_sndbuf(1);
        row.cwnd = row.in_flight;
        return row;
    });
    CHECK(run.all().empty());
}

TEST_CASE("one of many connections that stands still is seen", "[tcp_limits_test]") {
    Run run;
    run.each([](auto second) {
        flow_total row = closed_reader(second);
        row.flows = 100;
        row.bytes_received = 1'000'000; // the others'
        return row;
    });
    CHECK(run.of("zero-window").at(0).severity == Severity::kCritical);
}

TEST_CASE("who passes on what the next one does not take is not told of", "[tcp_limits_test]") {
    Run run;
    const abi_owner proxy = process("proxy", 80), backend = process("backend", 81);
    const auto of_proxy = [&](flow_total row) {
        row.owner = proxy;
        row.flow.netns = kServerNetns;
        return row;
    };
    const auto beyond = [](flow_total row) {
        row.flow.local_port = row.flow.local_port ? std::uint16_t{7000} : std::uint16_t{0};
        row.flow.remote_port = row.flow.remote_port ? std::uint16_t{7000} : std::uint16_t{0};
        return row;
    };
    run.each([&](auto second) {
        flow_total row = of_proxy(closed_reader(second));
        row.closed_window *= 2; // of more connections
        return row;
    });
    run.each([](auto second) { return waiting_sender(second); });
    run.each([&](auto second) { return of_proxy(beyond(waiting_sender(second))); });
    run.each([&](auto second) {
        flow_total row = beyond(closed_reader(second));
        row.owner = backend;
        return row;
    });
    const auto findings = run.loud();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].culprit->owner.tgid == 81);
    CHECK(findings[0].affected.at(0).owner.tgid == 80);
}

TEST_CASE("a client that reads again and again in large pieces is healthy", "[tcp_limits_test]") {
    const auto client = [](std::uint64_t seconds) {
        flow_total row = closed_reader(seconds);
        const flow_total end = client_row(process("player", 70));
        row.flow = end.flow;
        row.owner = end.owner;
        row.role = end.role;
        return row;
    };
    Run player;
    player.each([&](auto second) { return client(second % 4); });
    CHECK(player.loud().empty());
    CHECK(player.of("zero-window").size() == 1);
    Run hung;
    hung.each([&](auto second) { return client(second); });
    CHECK(hung.loud().at(0).id == "zero-window");
}

TEST_CASE("a backup that is written to a disk hurts nobody", "[tcp_limits_test]") {
    const auto fast = [](std::uint64_t answers) {
        Run run;
        run.each([&](auto) {
            flow_total row = slow_reader(server_row(), 1'500'000);
            row.unread = kLooks * 4'000'000;
            row.rcv_wnd = kLooks * 100'000;
            row.answers = answers;
            return row;
        });
        run.each([](auto) {
            flow_total row = pushed_back(client_row());
            row.not_sent = kLooks * 2'000'000;
            return row;
        });
        return run.of("receiver-limited").at(0).severity;
    };
    CHECK(fast(0) == Severity::kInfo);
    CHECK(fast(10) == Severity::kWarning); // somebody waits for them
}

TEST_CASE("a buffer set to no less than the kernel would give is no mistake", "[tcp_limits_test]") {
    Run run = small_window(1);
    run.at(9).counters[kServerNetns].gauges.set(gauge("tcp_rmem.max"), 30'000);
    CHECK(run.loud().empty());
    CHECK(run.of("bdp-limited").size() == 1);
    Run sender;
    sender.each([](auto) { return full_sndbuf(1); });
    sender.at(9).counters[kClientNetns].gauges.set(gauge("tcp_wmem.max"), 131'072);
    CHECK(sender.loud().empty());
    CHECK(sender.of("sndbuf-limited").size() == 1);
}

TEST_CASE("less is usual on a host with little memory", "[tcp_limits_test]") {
    Run run = small_window(0);
    run.at(9).counters[kServerNetns].gauges.set(gauge("tcp_rmem.max"), 36'000);
    run.at(9).counters[kServerNetns].gauges.set(gauge("tcp_mem.high"), 110);
    CHECK(run.loud().empty());
}

TEST_CASE("a small window is told to who sends to a server, not to who serves a client",
          "[tcp_limits_test]") {
    for (const bool serves : {false, true}) {
        Run run;
        run.each([&](auto) {
            flow_total row = serves ? server_row() : client_row();
            set_window_limited(row, 18'000);
            set_rtt(row, 40'000, 40'000);
            return row;
        });
        REQUIRE(run.of("bdp-limited").size() == 1);
        CHECK(run.loud().empty() == serves);
    }
}

} // namespace culprit
