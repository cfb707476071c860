// SPDX-License-Identifier: MIT
#include "detect/tcp_services.h"

#include <netinet/tcp.h>

#include "detect/finding.h"
#include "present/tcp.h"
#include "support/catch.h"
#include "support/event_builder.h"

#include <nlohmann/json.hpp>

using namespace culprit;
using namespace culprit::test;

namespace {

const abi_owner kWeb = process("web", 100);
const abi_owner kBatch = process("batch", 200);

flow_total served(const char* peer) {
    auto flow = make<flow_total>();
    flow.flow = tcp_flow("192.0.2.1", 8080, peer, 0);
    flow.owner = kWeb;
    flow.role = ABI_ROLE_SERVER;
    flow.flows = 2;
    flow.looks = flow.sending = flow.rtt_looks = 10;
    flow.watched_ns = 10 * kSecondNs;
    flow.busy_ns = kSecondNs;
    flow.bytes_sent = 1'000'000;
    flow.segs_out = 1000;
    flow.srtt_us = 10 * 2000;
    flow.min_rtt_us = 10 * 1000;
    flow.snd_wnd = flow.cwnd = 10 * 65536;
    return flow;
}

connect_event attempt(std::uint32_t result, std::uint64_t latency_ns) {
    auto event = make<connect_event>();
    event.flow = tcp_flow("192.0.2.1", 40000, "192.0.2.9", 5432);
    event.owner = kBatch;
    event.result = result;
    event.latency_ns = latency_ns;
    return event;
}

const Figure* figure(const std::vector<Figure>& figures, std::string_view id) {
    for (const Figure& one : figures)
        if (one.id == id)
            return &one;
    return nullptr;
}

template <typename... Record>
std::vector<TcpService> services_of(const Record&... records) {
    Facts facts;
    (facts.total.fold(bytes_of(records)), ...);
    return tcp_services(facts);
}

} // namespace

TEST_CASE("a healthy service has green figures and its peers", "[tcp_services_test]") {
    const auto services = services_of(served("192.0.2.7"), served("192.0.2.8"));
    REQUIRE(services.size() == 1);
    const TcpService& web = services[0];
    CHECK(web.worst == Grade::kGreen);
    CHECK(web.address == "192.0.2.1");
    CHECK(web.port == 8080);
    CHECK(web.owner.tgid == 100);
    REQUIRE(figure(web.figures, "rtt"));
    CHECK(figure(web.figures, "rtt")->value == Approx(2));
    CHECK(figure(web.figures, "sent")->value == Approx(100'000));
    CHECK(figure(web.figures, "paced_by_network")->value == Approx(10));
    CHECK(figure(web.figures, "paced_by_application")->value == Approx(90));
    CHECK(figure(web.figures, "window_to_bdp")->value == Approx(65536 / 100.0));
    CHECK(web.peers.size() == 2);
    CHECK(figure(web.figures, "connect_success") == nullptr);
}

TEST_CASE("retransmissions get the guide's marks", "[tcp_services_test]") {
    auto flow = served("192.0.2.7");
    flow.retransmits = 5;
    CHECK(services_of(flow)[0].worst == Grade::kGreen);
    flow.retransmits = 20;
    CHECK(figure(services_of(flow)[0].figures, "retransmission")->mark == Grade::kYellow);
    flow.retransmits = 80;
    CHECK(figure(services_of(flow)[0].figures, "retransmission")->mark == Grade::kRed);
    flow.spurious = 80; // the peer had them all
    CHECK(figure(services_of(flow)[0].figures, "loss")->mark == Grade::kGreen);
}

TEST_CASE("one figure of a handful of segments is none", "[tcp_services_test]") {
    auto flow = served("192.0.2.7");
    flow.segs_out = 9;
    flow.retransmits = 3;
    CHECK(figure(services_of(flow)[0].figures, "retransmission") == nullptr);
}

TEST_CASE("attempts count for the client, by destination", "[tcp_services_test]") {
    const auto services =
        services_of(attempt(ABI_RESULT_OK, 3'000'000), attempt(ABI_RESULT_OK, 5'000'000),
                    attempt(ABI_RESULT_ERROR, 0), attempt(ABI_RESULT_ABANDONED, 0));
    REQUIRE(services.size() == 1);
    CHECK(services[0].role == ABI_ROLE_CLIENT);
    CHECK(figure(services[0].figures, "syn_response")->value == Approx(4));
    CHECK(figure(services[0].figures, "connect_success")->value == Approx(200.0 / 3));
    CHECK(services[0].worst == Grade::kRed);
}

TEST_CASE("endings tell clean shutdowns from resets", "[tcp_services_test]") {
    auto closed = make<close_event>();
    closed.flow = tcp_flow("192.0.2.1", 8080, "192.0.2.7", 50000);
    closed.owner = kWeb;
    closed.role = ABI_ROLE_SERVER;
    closed.service_port = 8080;
    closed.last_state = TCP_LAST_ACK;
    auto reset = closed;
    reset.ending = ABI_ENDING_RESET_SENT;
    const auto services = services_of(closed, closed, closed, reset);
    REQUIRE(services.size() == 1);
    CHECK(figure(services[0].figures, "clean_shutdown")->value == Approx(75));
    CHECK(figure(services[0].figures, "reset_rate")->mark == Grade::kRed);
}

TEST_CASE("the worst service comes first, and both outputs name it", "[tcp_services_test]") {
    auto bad = served("192.0.2.7");
    bad.flow.local_port = 9090;
    bad.flow.netns = 7;
    bad.rwnd_limited_ns = 6 * kSecondNs;
    const auto services = services_of(served("192.0.2.8"), bad);
    REQUIRE(services.size() == 2);
    CHECK(services[0].port == 9090);
    const std::string text = tcp_summary(services, {}, 8, {});
    CHECK(text.find("192.0.2.1:9090") != std::string::npos);
    CHECK(text.find("paced by receiver 60 % [red]") != std::string::npos);
    CHECK(text.find("1 of 2 without") != std::string::npos);
    CHECK(text.find(":8080") == std::string::npos);
    CHECK(tcp_text(services, {}, 8, {}).find(":8080") != std::string::npos);
    const auto json = tcp_to_json(services, {});
    CHECK(json[0]["mark"] == "red");
    CHECK(json[0]["pid"] == 100);
    CHECK(json[1]["peers"][0]["address"] == "192.0.2.8");
}

TEST_CASE("ports taken out of TIME_WAIT are told with who connects", "[tcp_services_test]") {
    Facts facts;
    facts.total.fold(bytes_of(served("192.0.2.7")));
    facts.total.fold(bytes_of(attempt(ABI_RESULT_OK, kSecondNs / 1000)));
    facts.total.counters[kNetns].growth[counter("TcpExt.TWRecycled")] = 12;
    for (const TcpService& service : tcp_services(facts)) {
        const Figure* reused = figure(service.figures, "time_wait_reused");
        CHECK((reused != nullptr) == (service.role == ABI_ROLE_CLIENT));
        CHECK((!reused || reused->value == 12));
    }
}
