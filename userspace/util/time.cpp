// SPDX-License-Identifier: MIT
// Thin wrappers over clock_gettime, time namespaces and the calendar.
#include "util/time.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <sstream>

#include <fmt/format.h>

#include "util/text.h"

namespace culprit {

namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

std::int64_t read_clock(clockid_t id) {
    timespec ts{};
    clock_gettime(id, &ts);
    return static_cast<std::int64_t>(ts.tv_sec) * kSecond + ts.tv_nsec;
}

/// Of this process; a process never changes its time namespace but by exec.
std::int64_t boot_offset_ns() {
    static const std::int64_t offset = [] {
        // the file tells of the namespace that children get, which may be another one
        std::error_code absent;
        if (std::filesystem::read_symlink("/proc/self/ns/time", absent) !=
            std::filesystem::read_symlink("/proc/self/ns/time_for_children", absent))
            return std::int64_t{0};
        std::ifstream file("/proc/self/timens_offsets");
        return parse_boot_offset_ns(std::string((std::istreambuf_iterator<char>(file)), {}));
    }();
    return offset;
}

} // namespace

std::uint64_t boot_now_ns() {
    return static_cast<std::uint64_t>(read_clock(CLOCK_BOOTTIME) - boot_offset_ns());
}

std::int64_t parse_boot_offset_ns(std::string_view offsets) {
    std::istringstream lines{std::string(offsets)};
    std::string clock;
    for (std::int64_t seconds = 0, ns = 0; lines >> clock >> seconds >> ns;)
        if (clock == "boottime")
            return seconds * kSecond + ns;
    return 0;
}

std::uint64_t clock_tick_ns() {
    static const auto length =
        static_cast<std::uint64_t>(kSecond / std::max(::sysconf(_SC_CLK_TCK), 1L));
    return length;
}

std::uint64_t to_clock_ticks(std::uint64_t boot_ns) {
    return (boot_ns + static_cast<std::uint64_t>(boot_offset_ns())) / clock_tick_ns();
}

std::uint32_t tick_ns() {
    // what the coarse clocks resolve (kernel/time/posix-timers.c: posix_get_coarse_res())
    timespec tick{};
    clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
    return static_cast<std::uint32_t>(tick.tv_nsec);
}

std::int64_t wall_offset_ns() {
    return read_clock(CLOCK_REALTIME) - static_cast<std::int64_t>(boot_now_ns());
}

std::string rfc3339(std::int64_t wall_ns) {
    const std::time_t seconds = wall_ns / kSecond;
    std::tm tm{};
    gmtime_r(&seconds, &tm);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", tm.tm_year + 1900,
                       tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                       wall_ns % kSecond / 1'000'000);
}

std::optional<std::int64_t> parse_rfc3339(std::string_view text) {
    std::tm tm{};
    std::istringstream in{std::string(text)};
    int ms = 0;
    char dot = 0, zone = 0;
    in >> std::get_time(&tm, "%Y-%m-%dT%H:%M:%S") >> dot >> ms >> zone;
    if (!in || tm.tm_year < 70 || tm.tm_year > 200 || ms < 0 || ms > 999)
        return std::nullopt;
    const std::int64_t ns = timegm(&tm) * kSecond + ms * 1'000'000LL;
    return rfc3339(ns) == text ? std::optional(ns) : std::nullopt;
}

std::optional<std::uint64_t> parse_duration_ns(std::string_view text) {
    const std::size_t digits = text.find_first_not_of("0123456789");
    const auto number = to_number(text.substr(0, digits));
    const std::string_view unit = digits == std::string_view::npos ? "s" : text.substr(digits);
    std::uint64_t scale = 0;
    if (unit == "ms")
        scale = 1'000'000;
    else if (unit == "s")
        scale = kSecond;
    else if (unit == "m")
        scale = 60ULL * kSecond;
    else if (unit == "h")
        scale = 3600ULL * kSecond;
    constexpr std::uint64_t kLongest = 366ULL * 24 * 3600 * kSecond;
    if (!number || !scale || *number == 0 || *number > kLongest / scale)
        return std::nullopt;
    return *number * scale;
}

} // namespace culprit
