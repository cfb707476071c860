// SPDX-License-Identifier: MIT
// Durations as people type them, times as they are printed.
#include "support/catch.h"
#include "util/time.h"

using namespace culprit;

TEST_CASE("a duration is a whole number with a unit, or seconds", "[time_test]") {
    constexpr std::uint64_t kMs = 1'000'000, kSecond = 1'000 * kMs;
    CHECK(parse_duration_ns("1ms") == kMs);
    CHECK(parse_duration_ns("500ms") == 500 * kMs);
    CHECK(parse_duration_ns("10s") == 10 * kSecond);
    CHECK(parse_duration_ns("10") == 10 * kSecond);
    CHECK(parse_duration_ns("5m") == 300 * kSecond);
    CHECK(parse_duration_ns("2h") == 7200 * kSecond);
    CHECK(parse_duration_ns("8784h") == 366ULL * 24 * 3600 * kSecond);
}

TEST_CASE("the offset of a time namespace's boot time is read, whatever its sign", "[time_test]") {
    constexpr std::int64_t kSecond = 1'000'000'000;
    CHECK(parse_boot_offset_ns("monotonic           0         0\n"
                               "boottime            0         0\n") == 0);
    CHECK(parse_boot_offset_ns("monotonic     -86400 500000000\n"
                               "boottime     -172800 500000000\n") ==
          -172'800 * kSecond + 500'000'000);
    CHECK(parse_boot_offset_ns("boottime 604800 1\n") == 604'800 * kSecond + 1);
    for (const char* text : {"", "monotonic 5 0\n", "boottime\n", "boottime x 0\n"})
        CHECK(parse_boot_offset_ns(text) == 0);
}

TEST_CASE("anything else is no duration", "[time_test]") {
    for (const char* text : {"",
                             "0",
                             "0s",
                             "0ms",
                             "s",
                             "ms",
                             "-1",
                             "-1s",
                             "+1s",
                             "1.5s",
                             " 1s",
                             "1 s",
                             "1s ",
                             "1d",
                             "1us",
                             "1S",
                             "1h30m",
                             "10ss",
                             "8785h",
                             "18446744073709551615h",
                             "18446744073709551616",
                             "99999999999999999999ms",
                             "1\n",
                             "forever"})
        CHECK_FALSE(parse_duration_ns(text));
}

TEST_CASE("wall time is printed in UTC with milliseconds", "[time_test]") {
    CHECK(rfc3339(0) == "1970-01-01T00:00:00.000Z");
    CHECK(rfc3339(1'769'903'999'123'999'999) == "2026-01-31T23:59:59.123Z");
    CHECK(rfc3339(1'709'208'000'000'000'000) == "2024-02-29T12:00:00.000Z");
}

TEST_CASE("boot time moves forward and the offset leads to wall time", "[time_test]") {
    const std::uint64_t before = boot_now_ns();
    CHECK(boot_now_ns() >= before);
    CHECK(static_cast<std::int64_t>(before) + wall_offset_ns() > 1'700'000'000'000'000'000);
}
