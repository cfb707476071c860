// SPDX-License-Identifier: MIT
// A window survives JSON byte for byte, and damaged JSON is one line of error, never a crash.
#include <random>
#include <string>

#include "model/window_json.h"
#include "support/catch.h"
#include "support/event_builder.h"
#include "support/fake_names.h"

using namespace culprit;
using namespace culprit::test;

namespace {

std::string random_name(std::mt19937_64& random) {
    std::string name(random() % 20, '\0');
    for (char& c : name)
        c = static_cast<char>(random());
    return name;
}

/// All kinds, `rows` of each, everything in them random.
Window random_window(std::mt19937_64& random, std::size_t rows) {
    Window w;
    w.from_ns = random();
    w.to_ns = random();
    w.wall_offset_ns = static_cast<std::int64_t>(random());
    for (const Signal* signal : all_signals())
        for (const Kind* kind : signal->kinds) {
            Table& table = w.tables.try_emplace(kind->id, *kind).first->second;
            for (std::size_t i = 0; i < rows; i++)
                table.fold(filled_record(*kind, random(), random), {random(), random(), random()});
            w.lost[kind->id] = {random(), random(), random(), random(), random()};
        }
    for (int i = 0; i < 3; i++) {
        NetnsCounters& counters = w.counters[static_cast<std::uint32_t>(random())];
        counters.gauges.set(random() % kGaugeNames.size(), random());
        for (std::uint64_t& value : counters.growth)
            value = random() % 2 ? random() : 0;
        counters.error = random_name(random);
        const auto number = static_cast<std::uint32_t>(random());
        w.names.drop_reasons[number] = random_name(random);
        w.names.reset_reasons[number] = random_name(random);
        w.names.symbols[random()] = random_name(random);
        w.names.devices[{number, static_cast<std::uint32_t>(random())}] = random_name(random);
        w.names.netns[number] = random_name(random);
        w.names.processes[{number, random()}] = {random_name(random), random_name(random),
                                                 random_name(random), random_name(random),
                                                 random() % 2 == 0};
        w.names.cgroups[random()] = random_name(random);
        w.names.addresses[number] = {random_name(random), random_name(random)};
        const auto byte = static_cast<std::uint8_t>(random());
        w.names.routing[number] = {.devices = {{number, {1, number}}, {7, {0, 2}}},
                                   .all = {number, 1},
                                   .forwarding6 = number,
                                   .refusals = {{.family = 2, .length = byte, .type = 6},
                                                {.family = 10,
                                                 .length = 64,
                                                 .type = 8,
                                                 .rule = true,
                                                 .table = number,
                                                 .prefix = {byte, 2, 3}}},
                                   .more = random() % 2 == 0};
    }
    return w;
}

Window small_window() {
    Window w;
    w.from_ns = kSecondNs;
    w.to_ns = 2 * kSecondNs;
    auto drop = make<drop_event>();
    drop.flow = tcp_flow("10.0.0.1", 40000, "10.0.0.2", 80);
    drop.owner = process("a\x1b[2J\"\\\xff", 42);
    drop.reason = 8;
    drop.location = kNfHook;
    w.fold(bytes_of(drop));
    auto total = make<qdisc_total>();
    total.slots[3] = 5;
    std::memcpy(total.id, "pfifo_fast", 10);
    w.fold(bytes_of(total));
    w.counters[kNetns].growth[0] = 1;
    w.lost[ABI_DROP] = {1, 2, 3, 4, 5};
    w.names = fake_names();
    return w;
}

/// Damaged text either still is a window or gives one line.
void check_damaged(const std::string& text) {
    const auto result = window_from_json(text);
    if (result)
        return;
    CAPTURE(text, result.error().what);
    REQUIRE_FALSE(result.error().what.empty());
    for (const char c : result.error().what)
        REQUIRE(static_cast<unsigned char>(c) >= 0x20);
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
    const std::size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    return text.replace(at, from.size(), to);
}

} // namespace

TEST_CASE("windows of every kind with random bytes come back equal", "[window_json_test]") {
    std::mt19937_64 random(1);
    for (int i = 0; i < 20; i++) {
        const Window w = random_window(random, 5);
        const std::string text = window_to_json(w);
        const auto back = window_from_json(text);
        REQUIRE(back);
        CHECK(*back == w);
        CHECK(window_to_json(*back) == text);
    }
}

TEST_CASE("an empty window comes back equal", "[window_json_test]") {
    const auto back = window_from_json(window_to_json(Window{}));
    REQUIRE(back);
    CHECK(*back == Window{});
}

TEST_CASE("a window with more keys than rows comes back equal", "[window_json_test]") {
    std::mt19937_64 random(2);
    Window w;
    const Kind& kind = *find_kind(ABI_NIC_TOTAL);
    for (std::size_t i = 0; i < Table::kRowsMax + 50; i++)
        w.fold(filled_record(kind, i, random));
    const auto back = window_from_json(window_to_json(w));
    REQUIRE(back);
    CHECK(*back == w);
}

TEST_CASE("a hostile process name makes one clean line", "[window_json_test]") {
    const std::string text = window_to_json(small_window());
    for (const char c : text)
        REQUIRE((c >= 0x20 && c < 0x7f));
    CHECK(text.starts_with("{\"schema\":\"culprit.window/1\""));
}

TEST_CASE("text cut anywhere is refused", "[window_json_test]") {
    const std::string text = window_to_json(small_window());
    for (std::size_t length = 0; length < text.size(); length++) {
        const std::string cut = text.substr(0, length);
        REQUIRE_FALSE(window_from_json(cut));
        check_damaged(cut);
    }
}

TEST_CASE("random damage is an error line or still a window", "[window_json_test]") {
    const std::string text = window_to_json(small_window());
    std::mt19937 random(3);
    for (int i = 0; i < 5000; i++) {
        std::string damaged = text;
        for (std::size_t flips = random() % 3 + 1; flips; flips--)
            damaged[random() % damaged.size()] = static_cast<char>(random());
        check_damaged(damaged);
    }
}

TEST_CASE("digits and signs in wrong places are an error line or still a window",
          "[window_json_test]") {
    const std::string text = window_to_json(small_window());
    std::mt19937 random(4);
    static constexpr std::string_view kInserts[] = {
        "-", "9", "99999999999999999999", ".5", "null", "[", "]", "{}", "\"", ","};
    for (int i = 0; i < 5000; i++) {
        std::string damaged = text;
        damaged.insert(random() % damaged.size(), kInserts[random() % std::size(kInserts)]);
        check_damaged(damaged);
    }
}

TEST_CASE("shapes of other documents are refused", "[window_json_test]") {
    for (const char* text : {"", "null", "0", "[]", "{}", "\"x\"", "{\"schema\":null}",
                             "{\"schema\":\"culprit.window/2\"}",
                             "{\"schema\":\"culprit.window/1\"}", "\xff", "\x1b[2J"}) {
        CHECK_FALSE(window_from_json(text));
        check_damaged(text);
    }
    CHECK_FALSE(window_from_json(std::string(100'000, '[')));
}

TEST_CASE("an unknown kind, field length or escape is refused", "[window_json_test]") {
    const std::string text = window_to_json(small_window());
    REQUIRE(window_from_json(text));
    CHECK_FALSE(window_from_json(replaced(text, "\"drop\":[{", "\"drop_\\u001b\":[{")));
    check_damaged(replaced(text, "\"drop\":[{", "\"drop_\\u001b\":[{"));
    CHECK_FALSE(window_from_json(replaced(text, "\"reason\":8", "\"raison\":8")));
    CHECK_FALSE(window_from_json(replaced(text, "\\\\x1b", "\\\\x1")));
    CHECK_FALSE(window_from_json(replaced(text, "0a000001", "0a00001")));
    CHECK_FALSE(window_from_json(replaced(text, "0a000001", "0a00000g")));
}

TEST_CASE("a number that does not fit its field is refused", "[window_json_test]") {
    const std::string text = window_to_json(small_window());
    for (const std::string_view wrong :
         {"4294967296", "-1", "8.5", "1e300", "true", "\"8\"", "null"}) {
        CAPTURE(wrong);
        CHECK_FALSE(
            window_from_json(replaced(text, "\"reason\":8", "\"reason\":" + std::string(wrong))));
        CHECK_FALSE(window_from_json(replaced(text, "\"cpu\":0", "\"cpu\":" + std::string(wrong))));
        CHECK_FALSE(window_from_json(replaced(text, ",40000,", "," + std::string(wrong) + ",")));
    }
}

TEST_CASE("a process that is damaged is refused", "[window_json_test]") {
    const std::string text = window_to_json(small_window());
    const std::string key = "[4242,4242000000000,\"curl\",";
    for (const std::string_view wrong :
         {"[4294967296,4242000000000,\"curl\",", "[-1,4242000000000,\"curl\",",
          "[4242,1.5,\"curl\",", "[4242,4242000000000,7,", "[4242,4242000000000,\"\\\\x1\",",
          "[4242,\"curl\","}) {
        CAPTURE(wrong);
        CHECK_FALSE(window_from_json(replaced(text, key, wrong)));
    }
    CHECK_FALSE(window_from_json(replaced(text, ".scope\",false]", ".scope\",0]")));
    CHECK_FALSE(window_from_json(replaced(text, ".scope\",false]", ".scope\"]")));
    CHECK_FALSE(window_from_json(replaced(text, "[77,\"", "[\"77\",\"")));
}
