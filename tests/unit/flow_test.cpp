// SPDX-License-Identifier: MIT
// What looks at connections become: growth, windows that are closed, questions and answers.
#include <netinet/tcp.h>

#include <optional>
#include <span>
#include <vector>

#include "signals/flow_groups.h"
#include "signals/flow_growth.h"
#include "signals/flow_totals.h"
#include "support/catch.h"
#include "support/event_builder.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr std::uint64_t kTickNs = 4'000'000;

/// One connection of a kernel that never was, looked at each 50 ticks.
class Connection {
public:
    explicit Connection(std::uint8_t role, std::uint64_t since_ns = 0) {
        now.sk = 1;
        now.flow = role == ABI_ROLE_CLIENT ? tcp_flow("10.0.0.1", 40000, "10.0.0.2", 80)
                                           : tcp_flow("10.0.0.2", 80, "10.0.0.1", 40000);
        now.role = role;
        now.state = TCP_ESTABLISHED;
        now.mss = now.rcv_mss = 1000;
        now.snd_wnd = now.rcv_wnd = 60000;
        now.cwnd = 10;
        now.since_ns = since_ns;
        now.when_ns = kSecondNs;
        now.now_ticks = now.sent_ticks = now.received_ticks = now.heard_ticks = 1000;
    }

    flow_total look(std::uint32_t ticks = 50) {
        pass(ticks);
        const Pace pace{kTickNs, before_ns};
        before_ns = now.when_ns;
        if (!growth)
            growth.emplace(now, now.since_ns != 0);
        return growth->grow(now, pace);
    }
    void pass(std::uint32_t ticks) {
        now.now_ticks += ticks;
        now.when_ns += ticks * kTickNs;
    }
    void receive(std::uint32_t bytes) {
        now.bytes_received += bytes;
        now.data_segs_in++;
        now.received_ticks = now.heard_ticks = now.now_ticks;
        now.peer_spoke_last = 1;
    }
    /// And it is acknowledged.
    void send(std::uint32_t bytes) {
        now.bytes_sent += bytes;
        now.data_segs_out++;
        now.sent_ticks = now.heard_ticks = now.now_ticks;
        now.peer_spoke_last = 0;
    }

    flow_look now{};
    std::uint64_t before_ns = 0;
    std::optional<FlowGrowth> growth;
};

flow_total total_of(std::uint32_t process_number, const std::string& peer) {
    flow_total total{};
    total.flow = tcp_flow("10.0.0.2", 80, peer, 40000);
    total.owner = process("web", process_number);
    total.role = ABI_ROLE_SERVER;
    total.flows = total.looks = 1;
    total.bytes_sent = 10;
    return total;
}

/// A kernel that never was, with these connections.
class FakeMaps : public MapReader {
public:
    bool each(const char*, const Each&) const override { return false; }
    bool put(const char*, const void*, const void*) const override { return false; }
    bool erase(const char*, const void*) const override { return false; }
    bool run(const char*, const char*, const RecordSink& written) const override {
        runs++;
        written(std::as_bytes(std::span(rows)));
        return true;
    }
    std::vector<flow_look> rows;
    mutable int runs = 0;
};

std::uint64_t sum_sent(const std::vector<flow_total>& rows) {
    std::uint64_t sum = 0;
    for (const flow_total& row : rows)
        sum += row.bytes_sent;
    return sum;
}

} // namespace

TEST_CASE("an older connection's first look is what growth is measured against", "[flow_test]") {
    Connection c(ABI_ROLE_SERVER);
    c.send(5000);
    flow_total total = c.look();
    CHECK(total.looks == 0);
    CHECK(total.bytes_sent == 0);
    c.send(300);
    c.now.busy_ticks += 5;
    c.now.rwnd_limited_ticks += 20;
    total = c.look();
    CHECK(total.looks == 1);
    CHECK(total.bytes_sent == 300);
    CHECK(total.watched_ns == 50 * kTickNs);
    CHECK(total.busy_ns == 5 * kTickNs);
    CHECK(total.rwnd_limited_ns == 20 * kTickNs);
}

TEST_CASE("a connection made under watch has done all its numbers say", "[flow_test]") {
    Connection c(ABI_ROLE_CLIENT, kSecondNs);
    c.now.bytes_sent = 1; // the SYN
    c.send(700);
    const flow_total total = c.look();
    CHECK(total.looks == 1);
    CHECK(total.bytes_sent == 700);
    CHECK(total.watched_ns == 50 * kTickNs);
}

TEST_CASE("a FIN is no byte", "[flow_test]") {
    Connection c(ABI_ROLE_SERVER);
    c.look();
    c.receive(100);
    c.now.bytes_received++;
    c.now.unread = 1;
    c.now.state = TCP_CLOSE_WAIT;
    flow_total total = c.look();
    CHECK(total.bytes_received == 100);
    CHECK(total.unread == 0);
    c.now.state = TCP_LAST_ACK;
    c.now.in_flight = 1;
    c.now.sent_ticks++;
    total = c.look();
    CHECK(total.flows == 1);
    CHECK(total.sending == 0);
}

TEST_CASE("an idle connection is not counted, time it was idle is not watched", "[flow_test]") {
    Connection c(ABI_ROLE_SERVER);
    c.look();
    c.look();
    CHECK(c.look().flows == 0);
    c.before_ns += 1000 * kTickNs; // many looks that did not show it
    c.pass(1000);
    c.send(10);
    const flow_total total = c.look();
    CHECK(total.flows == 1);
    CHECK(total.watched_ns == 50 * kTickNs);
}

TEST_CASE("closed windows of either end last from the first look that shows them", "[flow_test]") {
    Connection c(ABI_ROLE_SERVER);
    c.look();
    c.now.not_sent = 5000;
    c.now.snd_wnd = 0;
    c.now.unread = 3000;
    c.now.rcv_wnd = 999;
    flow_total total = c.look();
    CHECK(total.zero_window == 1);
    CHECK(total.zero_window_ns == 0);
    total = c.look();
    CHECK(total.zero_window_ns == 50 * kTickNs);
    CHECK(total.closed_window == 1);
    CHECK(total.closed_window_ns == 50 * kTickNs);
    CHECK(total.not_sent == 5000);
    c.receive(1000); // so it was open between two looks
    total = c.look();
    CHECK(total.closed_window == 1);
    CHECK(total.closed_window_ns == 0);
    c.now.snd_wnd = c.now.rcv_wnd = 1000;
    total = c.look();
    CHECK(total.zero_window == 0);
    CHECK(total.closed_window == 0);
    c.now.snd_wnd = 0;
    CHECK(c.look().zero_window_ns == 0);
}

TEST_CASE("what Nagle's algorithm holds back", "[flow_test]") {
    Connection c(ABI_ROLE_CLIENT);
    c.look();
    c.now.nagle = 1;
    c.now.not_sent = 10;
    c.now.in_flight = 5;
    c.now.packets_out = 1;
    c.now.small_in_flight = 1;
    CHECK(c.look().nagle_wait == 1);
    c.now.nagle = 0;
    CHECK(c.look().nagle_wait == 0);
}

TEST_CASE("timeouts in a row are silence", "[flow_test]") {
    Connection c(ABI_ROLE_CLIENT);
    c.look();
    c.now.in_flight = 100;
    c.now.timeouts = 3;
    const flow_total total = c.look();
    CHECK(total.silent == 1);
    CHECK(total.quiet_ns == 100 * kTickNs);
    CHECK(total.unanswered == 3);
}

TEST_CASE("an answer between two looks is timed, on either end", "[flow_test]") {
    for (const std::uint8_t role : {ABI_ROLE_SERVER, ABI_ROLE_CLIENT}) {
        const bool server = role == ABI_ROLE_SERVER;
        Connection c(role);
        c.look();
        server ? c.receive(50) : c.send(50);
        c.pass(7);
        server ? c.send(100) : c.receive(100);
        const flow_total total = c.look();
        CHECK(total.answers == 1);
        CHECK(total.answer_ns == 7 * kTickNs);
        CHECK(total.answer_max_ns == 7 * kTickNs);
        CHECK(total.answer_slots[15] == 1); // 28 ms
        CHECK(total.waiting == 0);
    }
}

TEST_CASE("a question waits until a later look finds its answer", "[flow_test]") {
    Connection c(ABI_ROLE_SERVER);
    c.look();
    c.receive(50);
    CHECK(c.look().waiting == 0); // this may be a stream that has no answers
    c.pass(20);
    c.send(100);
    flow_total total = c.look();
    CHECK(total.answer_ns == 70 * kTickNs);
    c.receive(50);
    total = c.look();
    CHECK(total.answers == 0);
    CHECK(total.waiting == 1);
    CHECK(total.waiting_max_ns == 50 * kTickNs);
    total = c.look();
    CHECK(total.flows == 1);
    CHECK(total.waiting_max_ns == 100 * kTickNs);
}

TEST_CASE("a client that asks again at once still has its answer timed", "[flow_test]") {
    Connection c(ABI_ROLE_SERVER);
    c.look();
    c.receive(50);
    c.look();
    c.pass(25);
    c.send(100);
    c.receive(50);
    const flow_total total = c.look();
    CHECK(total.answers == 1);
    CHECK(total.answer_ns == 75 * kTickNs);
    CHECK(total.waiting == 1);
}

TEST_CASE("of a long, or repeated, answer only the wait that was seen counts", "[flow_test]") {
    for (const bool repeated : {false, true}) {
        Connection c(ABI_ROLE_SERVER);
        c.look();
        c.receive(50);
        c.look();
        c.pass(30);
        c.send(repeated ? 100 : 50000);
        c.now.retransmits += repeated;
        const flow_total total = c.look();
        CHECK(total.answers == 1);
        CHECK(total.answer_ns == 50 * kTickNs);
    }
}

TEST_CASE("what is sent without a question is no answer", "[flow_test]") {
    Connection c(ABI_ROLE_SERVER);
    c.receive(50);
    c.send(100);
    c.look();
    for (int i = 0; i < 5; i++) {
        c.send(100);
        CHECK(c.look().answers == 0);
    }
}

TEST_CASE("an upload never waits, not even after an answer", "[flow_test]") {
    Connection c(ABI_ROLE_SERVER);
    c.look();
    for (int i = 0; i < 5; i++) {
        c.receive(50000);
        const flow_total total = c.look();
        CHECK(total.answers == 0);
        CHECK(total.waiting == 0);
    }
    c.send(10);
    CHECK(c.look().answers == 1);
    c.receive(50);
    CHECK(c.look().waiting == 0);
}

TEST_CASE("of a connection of unknown role nothing is an answer", "[flow_test]") {
    Connection c(ABI_ROLE_UNKNOWN);
    c.look();
    c.receive(50);
    c.pass(20);
    c.send(100);
    const flow_total total = c.look();
    CHECK(total.bytes_sent == 100);
    CHECK(total.answers == 0);
}

TEST_CASE("a client's port tells the role of an older connection", "[flow_test]") {
    flow_look look{};
    look.flow = tcp_flow("10.0.0.1", 40000, "10.0.0.2", 80);
    CHECK(role_of(look) == ABI_ROLE_CLIENT);
    look.flow = tcp_flow("10.0.0.1", 80, "10.0.0.2", 40000);
    CHECK(role_of(look) == ABI_ROLE_SERVER);
    look.flow = tcp_flow("10.0.0.1", 40000, "10.0.0.2", 40001);
    CHECK(role_of(look) == ABI_ROLE_CLIENT);
    look.flow = tcp_flow("10.0.0.1", 80, "10.0.0.2", 81);
    CHECK(role_of(look) == ABI_ROLE_UNKNOWN);
}

TEST_CASE("connections of one process and peer are one record", "[flow_test]") {
    FlowGroups groups;
    flow_total one = total_of(7, "10.0.0.1");
    for (int look = 0; look < 2; look++) {
        groups.begin_look();
        for (std::uint16_t port = 50000; port < 50003; port++) {
            one.flow.remote_port = port;
            groups.add(one);
        }
    }
    const auto rows = groups.take();
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].flows == 3);
    CHECK(rows[0].looks == 6);
    CHECK(rows[0].bytes_sent == 60);
    CHECK(rows[0].flow.remote_port == 0);
    CHECK(rows[0].flow.local_port == 80);
    CHECK(groups.take().empty());
}

TEST_CASE("peers give way first, then who and where", "[flow_test]") {
    FlowGroups groups;
    groups.begin_look();
    constexpr std::uint64_t kPeers = 3000;
    for (std::uint64_t i = 0; i < kPeers; i++)
        groups.add(total_of(7, "10.1." + std::to_string(i / 250) + "." + std::to_string(i % 250)));
    auto rows = groups.take();
    CHECK(rows.size() == FlowGroups::kRowsMax / 2 + 1);
    CHECK(sum_sent(rows) == 10 * kPeers);
    CHECK(rows.back().owner.tgid == 7);
    CHECK(rows.back().flow.local_port == 80);

    groups.begin_look();
    for (std::uint32_t i = 0; i < kPeers; i++)
        groups.add(total_of(i + 1, "10.0.0.1"));
    rows = groups.take();
    CHECK(rows.size() == FlowGroups::kRowsMax);
    CHECK(sum_sent(rows) == 10 * kPeers);
    CHECK(rows.back().owner.tgid == 0);
    CHECK(rows.back().flow.family == 0);
    CHECK(rows.back().role == ABI_ROLE_UNKNOWN);
}

TEST_CASE("a tick tells what the looks showed, and looks keep their distance", "[flow_test]") {
    FakeMaps maps;
    for (std::uint64_t sk = 1; sk <= 2; sk++) {
        Connection c(ABI_ROLE_CLIENT, kSecondNs);
        c.now.sk = sk;
        c.now.bytes_sent = 1;
        c.send(100);
        maps.rows.push_back(c.now);
    }
    const auto totals = flow_totals();
    std::vector<flow_total> taken;
    const auto take = [&] {
        totals->take(maps, 7 * kSecondNs, [&](std::span<const std::byte> record) {
            REQUIRE(check_record(record));
            taken.push_back(value_at<flow_total>(record, 0));
        });
    };
    take();
    REQUIRE(taken.size() == 1);
    CHECK(taken[0].head.when_ns == 7 * kSecondNs);
    CHECK(taken[0].flows == 2);
    CHECK(taken[0].bytes_sent == 200);
    take(); // at once
    CHECK(maps.runs == 1);
    CHECK(taken.size() == 1);
}
