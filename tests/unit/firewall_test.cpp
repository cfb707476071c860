// SPDX-License-Identifier: MIT
// Are drops of a firewall told with the right rule, and with no more certainty than there is?
#include <algorithm>

#include "detect/finding.h"
#include "detect/rules.h"
#include "model/window_json.h"
#include "support/catch.h"
#include "support/event_builder.h"
#include "support/fake_names.h"
#include "support/readable.h"

namespace culprit {

namespace {

using namespace test;

constexpr std::uint32_t kNetfilterDrop = 8;
constexpr std::uint64_t kRulePlace = 0xffffffff81300000, kSlowPlace = 0xffffffff81400000;

Window ten_seconds() {
    Window window;
    window.from_ns = kSecondNs;
    window.to_ns = 11 * kSecondNs;
    window.names = fake_names();
    window.names.drop_reasons[kNetfilterDrop] = "NETFILTER_DROP";
    window.names.symbols[kRulePlace] = "nft_do_chain+0x3e8";
    window.names.symbols[kSlowPlace] = "nf_hook_slow+0xb5";
    return window;
}

void add_total(Window& window, std::uint64_t packets, std::uint64_t place = kRulePlace) {
    auto total = make<drop_total>();
    total.reason = kNetfilterDrop;
    total.location = place;
    total.netns = kNetns;
    total.ifindex = 2;
    total.protocol = IPPROTO_TCP;
    total.packets = packets;
    window.fold(bytes_of(total));
}

void add_syns(Window& window, std::uint16_t port, int attempts, int each,
              std::uint64_t place = kRulePlace, const char* from = "10.0.0.1") {
    for (int i = 0; i < attempts; i++)
        for (int k = 0; k < each; k++) {
            auto sample = make<drop_event>();
            sample.flow = tcp_flow(from, static_cast<std::uint16_t>(40000 + i), "10.0.0.2", port);
            sample.reason = kNetfilterDrop;
            sample.location = place;
            sample.tcp_flags = 2;
            sample.ethertype = 0x0800;
            sample.path = ABI_PATH_INPUT;
            window.fold(bytes_of(sample));
        }
    add_total(window, static_cast<std::uint64_t>(attempts * each), place);
}

/// A process of this host that waits for what was dropped.
void add_waiting(Window& window, std::uint16_t port, int attempts) {
    for (int i = 0; i < attempts; i++) {
        auto again = make<retransmit_event>();
        again.flow = tcp_flow("10.0.0.1", static_cast<std::uint16_t>(40000 + i), "10.0.0.2", port);
        again.owner = process("client", 7);
        again.type = ABI_RETRANSMIT_SYN;
        again.segs = 2;
        window.fold(bytes_of(again));
    }
}

void add_refused(Window& window, std::uint16_t port, int attempts, std::uint32_t error) {
    for (int i = 0; i < attempts; i++) {
        auto attempt = make<connect_event>();
        attempt.flow =
            tcp_flow("10.0.0.1", static_cast<std::uint16_t>(40000 + i), "10.0.0.2", port);
        attempt.owner = process("client", 7);
        attempt.result = ABI_RESULT_ERROR;
        attempt.error = error;
        window.fold(bytes_of(attempt));
    }
}

rule_total rule_of(std::uint64_t handle, const std::string& conditions, const std::string& text) {
    auto rule = make<rule_total>();
    rule.netns = kNetns;
    rule.handle = handle;
    rule.paths = 1U << ABI_PATH_INPUT;
    rule.verdict = text == "policy drop"        ? ABI_RULE_POLICY
                   : text.starts_with("reject") ? ABI_RULE_REJECT
                                                : ABI_RULE_DROP;
    std::memcpy(rule.family, "inet", 4);
    std::memcpy(rule.table, "filter", 6);
    std::memcpy(rule.chain, "input", 5);
    std::memcpy(rule.text, text.data(), text.size());
    std::memcpy(rule.conditions, conditions.data(), conditions.size());
    return rule;
}

std::vector<Finding> all_of(const Window& window, const std::string& id) {
    auto all = test::readable_findings({window, std::span(&window, 1)});
    std::erase_if(all, [&](const Finding& f) { return f.id != id; });
    return all;
}

bool says(const Finding& finding, const std::string& text) {
    return finding.title.find(text) != std::string::npos ||
           std::ranges::any_of(finding.evidence, [&](const Evidence& e) {
               return e.text.find(text) != std::string::npos;
           });
}

} // namespace

TEST_CASE("a rule whose counter grew is named for certain, with its comment", "[firewall_test]") {
    Window window = ten_seconds();
    add_syns(window, 5432, 10, 3);
    add_waiting(window, 5432, 10);
    rule_total rule = rule_of(5, "l4proto=tcp dport=5432", "tcp dport 5432 drop");
    rule.counted = 1;
    rule.packets = 28;
    rule.dropped = 29;
    std::memcpy(rule.comment, "old\x1b[31m", 8);
    window.fold(bytes_of(rule));
    window.fold(bytes_of(rule_of(6, "", "policy drop")));
    const auto found = all_of(window, "firewall-drop");
    REQUIRE(found.size() == 1);
    CHECK(found[0].severity == Severity::kCritical);
    CHECK(found[0].layer == Layer::kNetwork);
    CHECK_FALSE(found[0].culprit);
    CHECK(found[0].count == 30);
    CHECK(found[0].where.remote == "10.0.0.2:5432");
    CHECK(says(found[0], "table inet filter chain input handle 5: tcp dport 5432 drop"));
    CHECK(says(found[0], "its counter grew by 28"));
    CHECK(says(found[0], "comment: old\\x1b[31m"));
    CHECK_FALSE(says(found[0], "probably"));
    REQUIRE(found[0].affected.size() == 1);
    CHECK(found[0].affected[0].owner.tgid == 7);
    CHECK(all_of(window, "connect-timeout").empty());
    CHECK(all_of(window, "local-drop").empty());
}

TEST_CASE("a rule without counter that alone fits is probable, not certain", "[firewall_test]") {
    Window window = ten_seconds();
    add_syns(window, 5432, 10, 3);
    add_waiting(window, 5432, 10);
    window.fold(bytes_of(rule_of(5, "l4proto=tcp dport=5432", "tcp dport 5432 drop")));
    window.fold(bytes_of(rule_of(6, "l4proto=tcp dport=22", "tcp dport 22 drop")));
    window.fold(bytes_of(rule_of(0, "", "policy drop")));
    const auto found = all_of(window, "firewall-drop");
    REQUIRE(found.size() == 1);
    CHECK(says(found[0], "probably"));
    CHECK(says(found[0], "tcp dport 5432 drop"));
    CHECK(found[0].confidence <= 0.9);
}

TEST_CASE("when two rules fit, both are listed and none is named", "[firewall_test]") {
    Window window = ten_seconds();
    add_syns(window, 5432, 10, 3);
    add_waiting(window, 5432, 10);
    window.fold(bytes_of(rule_of(5, "l4proto=tcp dport=5432 other", "tcp dport 5432 x drop")));
    window.fold(bytes_of(rule_of(6, "l4proto=tcp other", "y drop")));
    const auto found = all_of(window, "firewall-drop");
    REQUIRE(found.size() == 1);
    CHECK(found[0].title.find("handle") == std::string::npos);
    CHECK(found[0].title.find("x drop") == std::string::npos);
    CHECK(says(found[0], "1 of 2 rules it may have been"));
    CHECK(says(found[0], "y drop"));
}

TEST_CASE("a rule whose counter stood still did not do it; the policy did", "[firewall_test]") {
    Window window = ten_seconds();
    add_syns(window, 5432, 10, 3);
    add_waiting(window, 5432, 10);
    rule_total idle = rule_of(5, "l4proto=tcp dport=5432 other", "tcp dport 5432 x drop");
    idle.counted = 1;
    idle.dropped = 20;
    window.fold(bytes_of(idle));
    window.fold(bytes_of(rule_of(0, "", "policy drop")));
    const auto found = all_of(window, "firewall-drop");
    REQUIRE(found.size() == 1);
    CHECK(says(found[0], "policy drop"));
}

TEST_CASE("strays beside a rule that hurts are not mixed with it", "[firewall_test]") {
    Window window = ten_seconds();
    add_syns(window, 5432, 10, 3);
    add_waiting(window, 5432, 10);
    for (std::uint16_t port = 1; port < 200; port++)
        add_syns(window, static_cast<std::uint16_t>(1000 + port), 1, 1);
    window.fold(bytes_of(rule_of(5, "l4proto=tcp dport=5432", "tcp dport 5432 drop")));
    window.fold(bytes_of(rule_of(0, "", "policy drop")));
    const auto found = all_of(window, "firewall-drop");
    REQUIRE(found.size() == 2);
    CHECK(found[0].severity == Severity::kCritical);
    CHECK(found[0].count == 30);
    CHECK(found[1].severity == Severity::kInfo);
    CHECK(says(found[1], "policy drop"));
}

TEST_CASE("drops that nobody waits for are worth knowing at most", "[firewall_test]") {
    Window window = ten_seconds();
    for (std::uint16_t port = 1; port < 300; port++)
        add_syns(window, port, 1, 2); // a scanner, even one that repeats
    for (const Finding& finding : all_of(window, "firewall-drop"))
        CHECK(finding.severity == Severity::kInfo);
}

TEST_CASE("a client elsewhere that keeps trying is missed", "[firewall_test]") {
    Window window = ten_seconds();
    add_syns(window, 5432, 4, 3);
    const auto found = all_of(window, "firewall-drop");
    REQUIRE(found.size() == 1);
    CHECK(found[0].severity == Severity::kWarning);
    CHECK(says(found[0], "tries again and again"));
}

TEST_CASE("a stranger of the Internet that keeps trying is believed only with a sufferer here",
          "[firewall_test]") {
    Window window = ten_seconds();
    add_syns(window, 22, 40, 3, kRulePlace, "8.8.8.8");
    CHECK(all_of(window, "firewall-drop").at(0).severity == Severity::kInfo);
    Window documented = ten_seconds();
    add_syns(documented, 22, 40, 3, kRulePlace, "198.51.100.7");
    CHECK(all_of(documented, "firewall-drop").at(0).severity == Severity::kWarning);
}

TEST_CASE("connects refused where their SYN is dropped are a reject, not a closed port",
          "[firewall_test]") {
    for (const std::uint32_t error : {ECONNREFUSED, EHOSTUNREACH}) {
        Window window = ten_seconds();
        add_syns(window, 80, 20, 1);
        add_refused(window, 80, 20, error);
        const auto found = all_of(window, "firewall-reject");
        REQUIRE(found.size() == 1);
        CHECK(found[0].severity == Severity::kCritical);
        CHECK(found[0].affected.at(0).owner.tgid == 7);
        CHECK(all_of(window, "conn-refused").empty());
        CHECK(all_of(window, "firewall-drop").empty());
    }
}

TEST_CASE("a rule that rejects is named", "[firewall_test]") {
    Window window = ten_seconds();
    add_syns(window, 80, 20, 1);
    add_refused(window, 80, 20, ECONNREFUSED);
    window.fold(bytes_of(rule_of(9, "l4proto=tcp dport=80", "reject with tcp reset")));
    const auto found = all_of(window, "firewall-reject");
    REQUIRE(found.size() == 1);
    CHECK(says(found[0], "handle 9: reject with tcp reset"));
}

TEST_CASE("a closed port behind a firewall that loses a little is refused by the port",
          "[firewall_test]") {
    Window window = ten_seconds();
    add_syns(window, 80, 3, 1);
    add_refused(window, 80, 60, ECONNREFUSED);
    CHECK(all_of(window, "firewall-reject").empty());
    CHECK(all_of(window, "conn-refused").size() == 1);
}

TEST_CASE("a full connection table is told from a rule by the kernel's own count",
          "[firewall_test]") {
    Window window = ten_seconds();
    add_syns(window, 80, 20, 1, kSlowPlace);
    add_waiting(window, 80, 20);
    CHECK(all_of(window, "firewall-drop").size() == 1);
    NetnsCounters& counters = window.counters[kNetns];
    counters.growth[counter("Conntrack.drop")] = 20;
    counters.gauges.set(gauge("nf_conntrack_count"), 1000);
    counters.gauges.set(gauge("nf_conntrack_max"), 1000);
    const auto found = all_of(window, "conntrack-full");
    REQUIRE(found.size() == 1);
    CHECK(found[0].severity == Severity::kCritical);
    CHECK(says(found[0], "1000 of 1000"));
    CHECK(found[0].affected.at(0).owner.tgid == 7);
    CHECK(found[0].advice.at(0).command == "sysctl -w net.netfilter.nf_conntrack_max=2000");
    CHECK(all_of(window, "firewall-drop").empty());
}

TEST_CASE("a connection table in use is healthy, a nearly full one is a warning",
          "[firewall_test]") {
    Window window = ten_seconds();
    NetnsCounters& counters = window.counters[kNetns];
    counters.gauges.set(gauge("nf_conntrack_max"), 1000);
    counters.gauges.set(gauge("nf_conntrack_count"), 800);
    CHECK(all_of(window, "conntrack-full").empty());
    counters.gauges.set(gauge("nf_conntrack_count"), 950);
    REQUIRE(all_of(window, "conntrack-full").size() == 1);
    CHECK(all_of(window, "conntrack-full")[0].severity == Severity::kWarning);
}

TEST_CASE("a saved window gives the same rule", "[firewall_test]") {
    Window window = ten_seconds();
    add_syns(window, 5432, 10, 3);
    add_waiting(window, 5432, 10);
    window.fold(bytes_of(rule_of(5, "l4proto=tcp dport=5432", "tcp dport 5432 drop")));
    const auto replayed = window_from_json(window_to_json(window));
    REQUIRE(replayed);
    CHECK(all_of(*replayed, "firewall-drop").at(0).title ==
          all_of(window, "firewall-drop").at(0).title);
}

TEST_CASE("conditions are held against a packet", "[firewall_test]") {
    drop_event packet = make<drop_event>();
    packet.flow = tcp_flow("10.1.2.3", 40000, "10.0.0.2", 80);
    packet.ethertype = 0x0800;
    packet.path = ABI_PATH_INPUT;
    Names names;
    names.devices[{kNetns, 2}] = "eth0";
    const auto says = [&](const char* conditions) { return fits(conditions, packet, names); };
    for (const char* yes :
         {"", "dport=80", "dport=22,79-81", "dport=!22", "l4proto=tcp", "l4proto=6",
          "saddr=10.0.0.0/8", "saddr=10.1.2.3", "saddr=10.1.2.0-10.1.2.9", "daddr=!10.1.0.0/16",
          "iif=eth0", "iif=eth*", "family=ip l4proto=tcp dport=80"}) {
        INFO(yes);
        CHECK(says(yes) == Fit::kYes);
    }
    for (const char* no : {"dport=22", "dport=!80", "l4proto=udp", "saddr=10.2.0.0/16", "saddr=::1",
                           "iif=eth1", "family=ip6", "other dport=22"}) {
        INFO(no);
        CHECK(says(no) == Fit::kNo);
    }
    for (const char* maybe :
         {"other", "dport=80 other", "dport=x", "oif=eth0", "mark=7", "saddr=x"}) {
        INFO(maybe);
        CHECK(says(maybe) == Fit::kMaybe);
    }
}

} // namespace culprit
