// SPDX-License-Identifier: MIT
// Clocks: everything is measured in boot time (it runs through suspend and is never set) and
// becomes wall time when shown.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace culprit {

/// The kernel's own CLOCK_BOOTTIME, as the programs have it: in a time namespace the process's is
/// another one.
std::uint64_t boot_now_ns();

/// How far the boot time of a time namespace is ahead, from its /proc/PID/timens_offsets; 0 where
/// the kernel has none.
std::int64_t parse_boot_offset_ns(std::string_view offsets);

/// What /proc/PID/stat counts in.
std::uint64_t clock_tick_ns();

/// A boot time of the kernel as this process sees it in /proc/PID/stat, there in its own time
/// namespace.
std::uint64_t to_clock_ticks(std::uint64_t boot_ns);

/// Length of a jiffy.
std::uint32_t tick_ns();

/// CLOCK_REALTIME minus boot_now_ns() at this moment: add it to a boot time to get wall time.
std::int64_t wall_offset_ns();

/// RFC 3339 in UTC with milliseconds: 2026-01-31T23:59:59.123Z.
std::string rfc3339(std::int64_t wall_ns);

/// What rfc3339() wrote, in nanoseconds of wall time; nullopt for anything else.
std::optional<std::int64_t> parse_rfc3339(std::string_view text);

/// "500ms", "10s", "5m", "2h" or a bare number of seconds; nullopt for anything else or zero.
std::optional<std::uint64_t> parse_duration_ns(std::string_view text);

} // namespace culprit
