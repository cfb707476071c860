// SPDX-License-Identifier: MIT
// Who takes the time: a process, the path, or small writes that wait for delayed ACKs? No kernel,
// no clock.
#include "support/catch.h"
#include "support/flow_builder.h"

namespace culprit {

namespace {

using namespace test;

const abi_owner kApi = process("search-api", 50), kFront = process("web-front", 60);

flow_total answers_of(flow_total row, std::uint64_t count, std::uint64_t each_ns) {
    set_answers(row, count, each_ns);
    set_rtt(row, 300, 200);
    return row;
}

/// Server and client of this host, ten questions a second.
Run served_in(std::uint64_t each_ns) {
    Run run;
    run.each([&](auto) { return answers_of(server_row(kApi), 10, each_ns); });
    run.each([&](auto) { return answers_of(client_row(kFront), 10, each_ns + kMs); });
    return run;
}

close_event short_one(std::uint64_t answer_ns) {
    auto closed = make<close_event>();
    closed.flow = tcp_flow(kServerHost, kServicePort, kClientHost, 40000, kServerNetns);
    closed.owner = kApi;
    closed.role = ABI_ROLE_SERVER;
    closed.service_port = kServicePort;
    closed.had_data = 1;
    closed.answers = 1;
    closed.answer_ns = answer_ns;
    closed.answered_late = answer_ns >= ANSWER_LATE_NS;
    return closed;
}

connect_event handshake(std::uint64_t latency_ns) {
    auto attempt = make<connect_event>();
    attempt.flow = tcp_flow(kClientHost, 40000, kServerHost, 8080, kClientNetns);
    attempt.owner = kFront;
    attempt.latency_ns = latency_ns;
    return attempt;
}

/// A connection that always has several segments in flight.
flow_total uploading(std::uint64_t rtt_us, std::uint64_t least_us) {
    flow_total row = client_row(process("uploader", 61));
    set_rtt(row, rtt_us, least_us);
    row.sending = kLooks;
    row.in_flight = kLooks * 60'000;
    row.bytes_sent = 500'000;
    row.segs_out = 400;
    return row;
}

constexpr std::uint64_t kStep = 5; // seconds until the path gets slow

} // namespace

TEST_CASE("a server that takes half a second to answer is named, its client suffers",
          "[latency_test]") {
    const auto findings = served_in(500 * kMs).loud();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "app-latency");
    REQUIRE(findings[0].culprit);
    CHECK(findings[0].culprit->owner.tgid == 50);
    CHECK(findings[0].affected.at(0).owner.tgid == 60);
    CHECK(findings[0].where.local == "10.0.0.2:9000");
    CHECK(findings[0].title.find("500ms") != std::string::npos);
}

TEST_CASE("a server that answers in twenty milliseconds is healthy", "[latency_test]") {
    CHECK(served_in(20 * kMs).all().empty());
}

TEST_CASE("late answers of short connections are seen when they end", "[latency_test]") {
    Run run;
    for (int i = 0; i < 8; i++)
        run.each([](auto) { return short_one(500 * kMs); });
    run.each([](auto) { return short_one(2 * kMs); });
    const auto findings = run.loud();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "app-latency");
    CHECK(findings[0].culprit->owner.tgid == 50);
    CHECK(findings[0].where.local == "10.0.0.2:9000");
}

TEST_CASE("a minority of late answers on a quick service is no slow service", "[latency_test]") {
    Run run;
    for (int i = 0; i < 8; i++)
        run.each([](auto) { return short_one(2 * kMs); });
    run.each([](auto) { return short_one(2900 * kMs); });
    CHECK(run.all().empty());
}

TEST_CASE("answers that come when something happens are worth knowing only", "[latency_test]") {
    const auto polled = served_in(8000 * kMs).all();
    REQUIRE(polled.size() == 1);
    CHECK(polled[0].severity == Severity::kInfo);
    Run chat;
    chat.each([](auto second) {
        return answers_of(server_row(kApi), 2, second % 2 ? 100 * kMs : 4000 * kMs);
    });
    CHECK(chat.loud().empty());
}

TEST_CASE("a server that waits for another one is not the one to name", "[latency_test]") {
    Run run = served_in(500 * kMs);
    const abi_owner database = process("database", 70);
    run.each([&](auto) {
        flow_total row = answers_of(server_row(database), 10, 480 * kMs);
        row.flow.local_port = 5432;
        row.flow.netns = 4026532103;
        return row;
    });
    run.each([&](auto) {
        flow_total row = answers_of(client_row(kApi), 10, 481 * kMs);
        row.flow.remote_port = 5432;
        row.flow.netns = kServerNetns;
        return row;
    });
    const auto findings = run.loud();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].culprit->owner.tgid == 70);
    CHECK(findings[0].affected.at(0).owner.tgid == 50);
}

TEST_CASE("a slow service elsewhere is named by its address", "[latency_test]") {
    Run run;
    run.each([&](auto) { return answers_of(client_row(kFront), 10, 800 * kMs); });
    const auto findings = run.loud();
    REQUIRE(findings.size() == 1);
    CHECK_FALSE(findings[0].culprit);
    CHECK(findings[0].where.remote == "10.0.0.2:9000");
    CHECK(findings[0].affected.at(0).owner.tgid == 60);
}

TEST_CASE("answers over a long path are not the service's time", "[latency_test]") {
    Run run;
    run.each([&](auto) {
        flow_total row = client_row(kFront);
        set_answers(row, 10, 310 * kMs);
        set_rtt(row, 300'000, 300'000);
        return row;
    });
    CHECK(run.loud().empty());
    CHECK(run.of("app-latency").empty());
}

TEST_CASE("small writes that wait for delayed ACKs are named, not the server", "[latency_test]") {
    Run run;
    run.each([&](auto) {
        flow_total row = answers_of(client_row(kFront), 20, 2 * kMs);
        row.nagle_wait = 4;
        row.sending = 4;
        row.bytes_received = 2'000;
        return row;
    });
    run.each([&](auto) { return answers_of(server_row(kApi), 20, kMs); });
    const auto findings = run.loud();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "nagle-delack");
    CHECK(findings[0].culprit->owner.tgid == 60);
    CHECK(findings[0].affected.at(0).owner.tgid == 50);
    CHECK(findings[0].title.find("80 % of the time") != std::string::npos);
}

TEST_CASE("lines of a log that wait for an ACK hurt nobody", "[latency_test]") {
    Run run;
    run.each([&](auto) {
        flow_total row = client_row(kFront);
        row.nagle_wait = row.sending = 4;
        set_rtt(row, 40'000, 200);
        return row;
    });
    CHECK(run.all().empty());
}

TEST_CASE("a path that becomes slow is told by handshakes and busy connections", "[latency_test]") {
    Run run;
    run.each([](auto second) { return handshake((second < kStep ? 20 : 140) * kMs); });
    run.each([](auto second) { return uploading(second < kStep ? 21'000 : 141'000, 20'000); });
    const auto findings = run.loud();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "network-latency");
    CHECK_FALSE(findings[0].culprit);
    CHECK(findings[0].where.remote == kServerHost);
    CHECK(findings[0].affected.size() == 2);
}

TEST_CASE("who fills a queue on the way is named when others wait", "[latency_test]") {
    Run run;
    run.each([](auto) { return handshake(170 * kMs); });
    run.each([](auto) {
        flow_total row = uploading(171'000, 21'000);
        row.retransmits = 5;
        return row;
    });
    const auto findings = run.loud();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "network-latency");
    REQUIRE(findings[0].culprit);
    CHECK(findings[0].culprit->owner.tgid == 61);
    CHECK(findings[0].affected.at(0).owner.tgid == 60);
}

TEST_CASE("who delays only himself is worth knowing only", "[latency_test]") {
    Run run;
    run.each([](auto) {
        flow_total row = uploading(171'000, 21'000);
        row.retransmits = 1;
        return row;
    });
    CHECK(run.loud().empty());
    CHECK(run.of("network-latency").size() == 1);
}

TEST_CASE("a long path is information only", "[latency_test]") {
    Run run;
    run.each([](auto) { return handshake(180 * kMs); });
    run.each([](auto) { return uploading(185'000, 180'000); });
    const auto findings = run.all();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].severity == Severity::kInfo);
}

TEST_CASE("delayed ACKs are no slow path", "[latency_test]") {
    Run run;
    run.each([](auto) {
        flow_total row = client_row(kFront);
        set_rtt(row, 190'000, 200);
        row.sending = 1;
        row.in_flight = 300;
        return row;
    });
    CHECK(run.all().empty());
}

TEST_CASE("a server that asks another one several times waits for it, too", "[latency_test]") {
    Run run = served_in(1250 * kMs);
    const abi_owner database = process("database", 70);
    run.each([&](auto) {
        flow_total row = answers_of(server_row(database), 50, 240 * kMs);
        row.flow.local_port = 5432;
        row.flow.netns = 4026532103;
        return row;
    });
    run.each([&](auto) {
        flow_total row = answers_of(client_row(kApi), 50, 241 * kMs);
        row.flow.remote_port = 5432;
        row.flow.netns = kServerNetns;
        return row;
    });
    const auto findings = run.loud();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].culprit->owner.tgid == 70);
}

TEST_CASE("workers of one name are one slow service, of who listens for them", "[latency_test]") {
    Run run;
    for (std::uint32_t worker = 0; worker < 12; worker++)
        run.put(worker % 10,
                answers_of(server_row(process("gunicorn", 500 + worker)), 1, 700 * kMs));
    auto listener = make<listen_total>();
    listener.flow = tcp_flow(kServerHost, kServicePort, "0.0.0.0", 0, kServerNetns);
    listener.owner = process("gunicorn", 499);
    listener.since_ns = 5;
    listener.sockets = 1;
    listener.looks = 50;
    listener.limit = 128;
    run.put(9, listener);
    const auto findings = run.loud();
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "app-latency");
    CHECK(findings[0].culprit->owner.tgid == 499);
}

TEST_CASE("who waits for what others bring is no slow client", "[latency_test]") {
    const auto broker = [](std::uint64_t pushes) {
        Run run;
        run.each([&](auto) { return answers_of(server_row(kApi), 2, 480 * kMs); });
        run.each([&](auto) {
            flow_total row = answers_of(server_row(kApi), pushes, kMs / 2);
            row.flow.remote[3] = 9; // another host
            return row;
        });
        return run.loud();
    };
    CHECK(broker(2).empty());
    CHECK(broker(1).size() == 1); // health checks, fewer than those that wait
}

TEST_CASE("answers that come after exactly a second may be timeouts", "[latency_test]") {
    CHECK(served_in(1000 * kMs).loud().at(0).severity == Severity::kWarning);
    CHECK(served_in(1270 * kMs).loud().at(0).severity == Severity::kCritical);
}

TEST_CASE("a lone sender's queue on the way is its own, loss or not", "[latency_test]") {
    Run run;
    run.each([](auto) { return uploading(500'000, 20'000); });
    CHECK(run.loud().empty());
    CHECK(run.of("network-latency").size() == 1);
    run.each([](auto) { return handshake(500 * kMs); });
    CHECK(run.loud().size() == 1); // others wait
}

TEST_CASE("a listener that waits for the first data measures no path", "[latency_test]") {
    const auto young = [](std::uint32_t defer_accept) {
        Run run;
        run.each([](auto) { return handshake(kMs / 10); });
        run.each([](auto) {
            flow_total row = server_row(kApi);
            set_rtt(row, 1'020'000, 1'020'000);
            return row;
        });
        auto listener = make<listen_total>();
        listener.flow = tcp_flow(kServerHost, kServicePort, "0.0.0.0", 0, kServerNetns);
        listener.since_ns = 5;
        listener.sockets = 1;
        listener.looks = 50;
        listener.limit = 128;
        listener.established = 10;
        listener.defer_accept = defer_accept;
        run.put(9, listener);
        run.put(0, client_row(kFront)); // joined
        return run.of("network-latency").size();
    };
    CHECK(young(1) == 0);
    CHECK(young(0) == 1);
}

} // namespace culprit
