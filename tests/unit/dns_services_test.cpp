// SPDX-License-Identifier: MIT
// Are figures of name resolution summed by process and server, and a resolver seen from both sides?
#include <nlohmann/json.hpp>

#include "detect/finding.h"
#include "present/dns.h"
#include "support/catch.h"
#include "support/event_builder.h"
#include "support/fake_names.h"

namespace culprit {

namespace {

using namespace test;

constexpr std::uint16_t kA = 1, kAaaa = 28;
constexpr std::size_t kSlot1Ms = 10;

dns_total asked(const std::string& server, const abi_owner& owner, std::uint16_t type,
                std::uint64_t questions, std::uint8_t protocol = IPPROTO_UDP) {
    auto total = make<dns_total>();
    total.flow = tcp_flow("0.0.0.0", 0, server, 53, kNetns, 0);
    total.flow.protocol = protocol;
    total.owner = owner;
    total.type = type;
    total.counts.questions = questions;
    total.counts.answers = total.counts.no_error = questions;
    total.counts.slots[kSlot1Ms] = questions;
    total.counts.latency_ns = questions * 800'000;
    total.counts.latency_max_ns = 900'000;
    return total;
}

dns_total served(const std::string& own, const abi_owner& owner, std::uint64_t questions) {
    dns_total total = asked("0.0.0.0", owner, kA, questions);
    total.flow = tcp_flow(own, 53, "0.0.0.0", 0, kNetns, 0);
    total.role = DNS_SERVER;
    total.counts.latency_ns = total.counts.latency_max_ns = total.counts.slots[kSlot1Ms] = 0;
    return total;
}

Window ten_seconds() {
    Window window;
    window.from_ns = kSecondNs;
    window.to_ns = 11 * kSecondNs;
    window.names = fake_names();
    return window;
}

/// A client of a resolver, which asks a server elsewhere for a fifth of it; and one with trouble.
Window a_resolver_and_its_clients() {
    Window window = ten_seconds();
    const abi_owner resolver = process("unbound", 53);
    window.fold(bytes_of(asked("10.0.0.53", process("client", 7), kA, 60)));
    window.fold(bytes_of(asked("10.0.0.53", process("client", 7), kAaaa, 40)));
    window.fold(bytes_of(asked("10.0.0.53", process("client", 7), kA, 2, IPPROTO_TCP)));
    window.fold(bytes_of(served("10.0.0.53", resolver, 100)));
    window.fold(bytes_of(served("127.0.0.1", resolver, 2)));
    dns_total upstream = asked("192.0.2.8", resolver, kA, 24);
    upstream.counts.retries = 4;
    window.fold(bytes_of(upstream));
    dns_total mute = asked("192.0.2.9", process("\x1b[31mevil", 9), kA, 5);
    mute.counts.answers = mute.counts.no_error = 0;
    mute.counts.silent = 5;
    window.fold(bytes_of(mute));
    return window;
}

Verdict verdict_of(const Window& window) {
    return judge({.facts = {.total = window, .windows = {}}, .status = {}, .only = "", .gaps = {}});
}

} // namespace

TEST_CASE("questions are summed by process and server, most trouble first", "[dns_services_test]") {
    const auto dns = verdict_of(a_resolver_and_its_clients()).dns;
    REQUIRE(dns.clients.size() == 3);
    CHECK(dns.clients[0].owner.tgid == 9);
    const DnsClient& client = dns.clients[1];
    CHECK(client.owner.tgid == 7);
    CHECK(client.server == "10.0.0.53:53");
    CHECK(client.sum.counts.questions == 102);
    CHECK(client.sum.by_tcp == 2);
    REQUIRE(client.types.size() == 2);
    CHECK(client.types[0].type == kA);
    CHECK(client.types[0].counts.questions == 62);
    CHECK(client.sum.mean_ns() == 800'000);
    CHECK(client.sum.quantile_ns(0.99) == 900'000);
    CHECK(client.sum.quantile_ns(0.5) > 500'000);
}

TEST_CASE("a resolver's cache shows in what it asks itself", "[dns_services_test]") {
    const auto dns = verdict_of(a_resolver_and_its_clients()).dns;
    REQUIRE(dns.servers.size() == 1);
    const DnsServer& server = dns.servers[0];
    CHECK(server.owner.tgid == 53);
    CHECK(server.address == "10.0.0.53:53");
    CHECK(server.sum.counts.questions == 102);
    REQUIRE(server.upstreams.size() == 1);
    CHECK(server.upstreams[0].server == "192.0.2.8:53");
    REQUIRE(server.cache_hit_ratio());
    CHECK(*server.cache_hit_ratio() == Approx(1 - 20.0 / 102));
}

TEST_CASE("one that asks nobody has no cache to speak of", "[dns_services_test]") {
    Window window = ten_seconds();
    window.fold(bytes_of(served("10.0.0.53", process("nsd", 53), 100)));
    CHECK_FALSE(verdict_of(window).dns.servers.at(0).cache_hit_ratio());
}

TEST_CASE("more clients than there is room for are counted", "[dns_services_test]") {
    Window window = ten_seconds();
    for (std::uint32_t pid = 1; pid <= DnsServices::kClientsMax + 3; pid++)
        window.fold(bytes_of(asked("10.0.0.53", process("client", pid), kA, pid)));
    const auto dns = verdict_of(window).dns;
    CHECK(dns.clients.size() == DnsServices::kClientsMax);
    CHECK(dns.clients_left_out == 3);
    CHECK(dns.clients[0].owner.tgid == DnsServices::kClientsMax + 3);
}

TEST_CASE("show dns as JSON keeps its contract", "[dns_services_test]") {
    const Verdict verdict = verdict_of(a_resolver_and_its_clients());
    const auto document = nlohmann::json::parse(dns_json(verdict, 2));
    CHECK(document["schema"] == "culprit.dns/1");
    REQUIRE(document["clients"].size() == 2);
    CHECK(document["clients_left_out"] == 1);
    CHECK(document["clients"][0]["timeouts"] == 5);
    CHECK(document["clients"][0]["latency_ms"]["max"] == 0.9);
    CHECK(document["clients"][0]["comm"] == "\\x1b[31mevil");
    const auto& client = document["clients"][1];
    CHECK(client["pid"] == 7);
    CHECK(client["questions_per_s"] == 10.2);
    CHECK(client["rcodes"]["NOERROR"] == 102);
    CHECK(client["tcp_questions"] == 2);
    CHECK(client["types"][1]["type"] == "AAAA");
    CHECK(client["latency_ms"]["mean"] == 0.8);
    const auto& server = document["servers"][0];
    CHECK(server["address"] == "10.0.0.53:53");
    CHECK(server["latency_ms"].is_null());
    CHECK(server["upstreams"][0]["questions"] == 24);
    CHECK(document["notes"].empty());
}

TEST_CASE("show dns as text names who asks and what comes of it", "[dns_services_test]") {
    Verdict verdict = verdict_of(a_resolver_and_its_clients());
    verdict.incomplete = {"signal dns is off: no hook", "signal flow is off"};
    const std::string text = dns_text(verdict, 50, {});
    INFO(text);
    const auto says = [&](const std::string& what) { return text.find(what) != std::string::npos; };
    CHECK(says("client (pid 7) asks 10.0.0.53:53"));
    CHECK(says("102 questions, 10.2 per second, 102 answers, 2 by TCP"));
    CHECK(says("p50 "));
    CHECK(says("timeouts 5"));
    CHECK(says("unbound (pid 53) answers on 10.0.0.53:53"));
    CHECK(says("80.4 % of the questions need no other server"));
    CHECK(says("192.0.2.8:53: 24 questions"));
    CHECK(says("note: signal dns is off: no hook"));
    CHECK_FALSE(says("signal flow"));
    CHECK_FALSE(says("\x1b"));
    CHECK(dns_text(verdict_of(ten_seconds()), 50, {}).find("nobody asked") != std::string::npos);
}

} // namespace culprit
