// SPDX-License-Identifier: MIT
// Is the verdict the same whoever judges the windows, and honest about what was not looked at?
#include <random>
#include <string>

#include "detect/risks.h"
#include "model/window_json.h"
#include "present/present.h"
#include "support/catch.h"
#include "support/event_builder.h"
#include "support/fake_names.h"

namespace culprit {

namespace {

using namespace test;

std::vector<SignalStatus> all_on() {
    std::vector<SignalStatus> status;
    for (const Signal* signal : all_signals())
        status.push_back({signal->name, State::kOn, {}, {}, {}});
    return status;
}

Window quiet() {
    Window window;
    window.from_ns = kSecondNs;
    window.to_ns = 11 * kSecondNs;
    window.names = fake_names();
    return window;
}

/// Many rows of all kinds, everything in them random.
Window crowded(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    Window window = quiet();
    for (const Signal* signal : all_signals())
        for (const Kind* kind : signal->kinds)
            for (int i = 0; i < 40; i++)
                window.fold(filled_record(*kind, kSecondNs + random() % kSecondNs, random));
    return window;
}

Verdict judged(const Window& window, std::vector<SignalStatus> status,
               std::vector<std::string> gaps = {}) {
    return judge({.facts = {window, std::span(&window, 1)},
                  .status = std::move(status),
                  .gaps = std::move(gaps)});
}

const LayerVerdict& layer(const Verdict& verdict, Layer wanted) {
    return *std::ranges::find(verdict.layers, wanted, &LayerVerdict::layer);
}

bool has(const std::vector<std::string>& texts, const std::string& part) {
    return std::ranges::any_of(
        texts, [&](const auto& text) { return text.find(part) != std::string::npos; });
}

} // namespace

TEST_CASE("the same windows give the same verdict, byte for byte", "[verdict_test]") {
    for (const std::uint64_t seed : {1, 2}) {
        const Window window = crowded(seed);
        const std::string first = verdict_json(judged(window, all_on()));
        CHECK(first == verdict_json(judged(window, all_on())));
        const auto saved = window_from_json(window_to_json(window));
        REQUIRE(saved);
        CHECK(first == verdict_json(judged(*saved, all_on())));
    }
}

TEST_CASE("what could not be looked at makes a verdict incomplete", "[verdict_test]") {
    CHECK(judged(quiet(), all_on()).incomplete.empty());
    const Verdict verdict =
        judged(quiet(), all_on(), {"the sockets of 3 network namespaces were not looked at"});
    CHECK(verdict.outcome == Outcome::kIncomplete);
    CHECK(has(verdict.incomplete, "3 network namespaces"));
}

TEST_CASE("a reader that read only a part has not checked its layer", "[verdict_test]") {
    auto status = all_on();
    SignalStatus& link = *std::ranges::find(status, "link", &SignalStatus::name);
    link.state = State::kDegraded;
    link.why = {"devices: Operation not permitted"};
    link.unread = link.why;
    const Verdict verdict = judged(quiet(), status);
    const LayerVerdict& physical = layer(verdict, Layer::kPhysical);
    CHECK(physical.status == LayerStatus::kUnknown);
    CHECK(has(physical.not_checked, "carrier"));
    CHECK_FALSE(has(physical.checked, "carrier"));
    CHECK(has(verdict.incomplete, "signal link read only a part"));
}

TEST_CASE("a kernel that lacks an optional hook has checked the rest", "[verdict_test]") {
    auto status = all_on();
    SignalStatus& nic = *std::ranges::find(status, "nic", &SignalStatus::name);
    nic.state = State::kDegraded;
    nic.why = {"xdp_exception is not there"};
    const Verdict verdict = judged(quiet(), status);
    CHECK(layer(verdict, Layer::kPhysical).status == LayerStatus::kClear);
    CHECK(verdict.incomplete.empty());
}

TEST_CASE("saved windows tell who could see what, and older ones that they do not",
          "[verdict_test]") {
    RunInfo run{.host = "web\x1b"
                        "1",
                .kernel = "6.1",
                .filtered = true,
                .gaps = {"a\\gap"}};
    run.status = {{"link", State::kDegraded, {}, {}, {"why\n"}, {"why\n"}},
                  {"drop", State::kOff, {}, {}, {"no BTF"}, {}}};
    std::optional<RunInfo> read;
    REQUIRE(window_from_json(window_to_json(quiet(), &run), &read));
    REQUIRE(read);
    CHECK(read->host == run.host);
    CHECK(read->filtered);
    CHECK(read->gaps == run.gaps);
    REQUIRE(read->status.size() == 2);
    CHECK(read->status[0].state == State::kDegraded);
    CHECK(read->status[0].unread == run.status[0].unread);
    CHECK(read->status[1].state == State::kOff);
    CHECK(read->status[1].why == run.status[1].why);
    std::optional<RunInfo> none;
    REQUIRE(window_from_json(window_to_json(quiet()), &none));
    CHECK_FALSE(none);
}

TEST_CASE("commands that change a host have a risk, those that look have none", "[verdict_test]") {
    for (const char* command :
         {"sysctl -w net.core.somaxconn=4096", "ip netns exec a ip link set dev b up",
          "kill -CONT 42", "nft insert rule inet filter input position 3 MATCH accept",
          "ip link set dev eth0 xdp off", "prlimit --pid 4 --nofile=8", "tc qdisc replace dev a"}) {
        CAPTURE(command);
        CHECK_FALSE(usual_risk(command).empty());
    }
    for (const char* command : {"", "ip -d link show dev eth0", "nft -a list ruleset", "ss -tnmp",
                                "sysctl net.ipv4.tcp_mem", "tc -s qdisc show dev up"}) {
        CAPTURE(command);
        CHECK(usual_risk(command).empty());
    }
}

TEST_CASE("names in commands are quoted for a shell", "[verdict_test]") {
    Window window = quiet();
    window.names.devices[{kNetns, 2}] = "e$(id)'0";
    window.names.netns[kNetns] = "blue moon";
    auto link = make<link_total>();
    link.netns = kNetns;
    link.ifindex = 2;
    link.rx_packets = 1000;
    link.rx_errors = link.rx_crc = 500;
    window.fold(bytes_of(link));
    const Verdict verdict = judged(window, all_on());
    REQUIRE(verdict.findings.size() == 1);
    const std::string& command = verdict.findings[0].advice.at(0).command;
    CHECK(command.starts_with("ip netns exec 'blue moon' ethtool -S 'e$(id)'\"'\"'0'"));
    CHECK(verdict_text(verdict, {}).find("$ " + command) != std::string::npos);
}

} // namespace culprit
