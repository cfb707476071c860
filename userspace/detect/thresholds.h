// SPDX-License-Identifier: MIT
// The numbers that detectors compare with (thresholds.def), by name; the user may override them
// before anything is judged.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "util/result.h"

namespace culprit::threshold {

/// Reads like the number it is. Where a template wants the very type, say `.value`.
template <typename T>
struct Tunable {
    T value;
    constexpr operator T() const { return value; }
};

#define CULPRIT_SOURCE(text)
#define CULPRIT_THRESHOLD(type, name, number, unit, meaning)                                       \
    inline constinit Tunable<type> name{number};
#include "detect/thresholds.def"
#undef CULPRIT_SOURCE
#undef CULPRIT_THRESHOLD

/// One line of the table. Names are those of the source without the k.
struct Row {
    std::string_view name, unit, meaning, source;
    double usual = 0, now = 0;
    bool is_changed() const { return now != usual; }
};
std::vector<Row> table();

/// Overrides by lines `Name = value`, # begins a comment. Nothing is changed when one is wrong.
Result<void> override_with(std::string_view text);

/// "LossSegsMin = 5 (usually 10)", one for each that was changed.
std::vector<std::string> changed();

// zero-window: a window that stays closed that long is no pace any more. A reader that takes its
// data piece by piece (a player, a rate limit) opens it again within a second or two.
inline constexpr std::uint64_t kClosedNs = 3'000'000'000;
inline constexpr std::uint64_t kClosedHurtNs = 5'000'000'000;

// receiver-limited, bdp-limited, sndbuf-limited: share of the time with data to send.
inline constexpr double kLimitedShare = 0.5;
inline constexpr double kSendingSeconds = 2; // of it at least
// receiver-limited: data of clients waits that long for its reader. Nielsen 1993: after 1 s a user
// notices, after 10 s he is gone.
inline constexpr double kReaderLagSeconds = 2;
inline constexpr double kReaderFull = 0.5; // of the window, taken by what was not read

// bdp-limited, sndbuf-limited: below that round trip no window in use is too small.
inline constexpr double kBdpRttUs = 5'000;
inline constexpr double kWindowUsed = 0.7;  // of the window is in flight, on average
inline constexpr double kRoomToGrow = 1.25; // the next limit is that much larger
// A payload takes that much of the memory it is accounted with, at least (tcp_adv_win_scale 1).
inline constexpr double kPayloadShare = 0.35;
// net/ipv4/tcp.c: tcp_init(), of a host with memory enough. Less was set by somebody.
inline constexpr std::uint64_t kTcpRmemDefault = 6 << 20;
inline constexpr std::uint64_t kTcpWmemDefault = 4 << 20;

// nagle-delack. include/net/tcp.h: a delayed ACK comes after TCP_DELACK_MIN = 40 ms to
// TCP_DELACK_MAX = 200 ms.
inline constexpr std::uint64_t kNagleLooksMin = 5;
inline constexpr double kNagleShare = 0.1; // of the looks
inline constexpr double kNaglePerAnswerNs = 15e6;
inline constexpr double kNagleRttUs = 20'000; // a longer way waits for the network
inline constexpr double kDelackMaxUs = 200'000;

// app-latency. Operator's guide: 200 ms for a server's answer. Nielsen: 1 s breaks the flow of
// thought. Who answers most questions after longer than that many seconds waits for something to
// happen (long polling, a queue's consumers) as likely as he works.
inline constexpr std::uint64_t kAnswersMin = 5;
inline constexpr double kAnswerSlowNs = 200e6;
inline constexpr double kAnswerHurtNs = 1e9;
inline constexpr double kAnswerEventNs = 3e9;
inline constexpr double kAnswerSpread = 8;    // slow ones to quick ones: events come when they come
inline constexpr double kAnswerFarNs = 500e6; // of a service elsewhere, which may always be slow
inline constexpr double kAnswerUpstream = 0.6; // of the own time is spent waiting for another

// network-latency: growth against the smallest round trip to the same peer. Delayed ACKs add up to
// 40 ms, 200 ms where questions and answers alternate, to what is measured with little in flight.
inline constexpr double kRttGrowth = 3;
inline constexpr double kRttGrownUs = 50'000;
inline constexpr double kRttGrownHurtUs = 200'000;
inline constexpr double kRttLongUs = 100'000; // operator's guide: worth knowing
inline constexpr std::uint64_t kRttSamplesMin = 3;
inline constexpr std::size_t kRttWindowsMin = 2;
inline constexpr double kRttHogShare = 0.5; // of the bytes sent there
inline constexpr double kRttVaries = 1.3;   // between windows: a queue that fills and drains

// reordering, duplicate-packets.
inline constexpr std::uint64_t kReorderMin = 20;
inline constexpr double kReorderShare = 0.001; // of the segments sent
inline constexpr double kReorderReal = 0.25;   // of what was sent again was lost after all
inline constexpr std::uint64_t kDuplicateMin = 20;
inline constexpr double kDuplicateShare = 0.005;

// peer-dead. RFC 6298 doubles the timer: three timeouts in a row are more than a second. One
// connection alone, while others of that peer work, needs more.
inline constexpr std::uint64_t kDeadTimeouts = 3;
inline constexpr std::uint64_t kDeadQuietNs = 2'000'000'000;
inline constexpr std::uint64_t kForgottenQuietNs = 3'000'000'000;

} // namespace culprit::threshold

template <typename T>
struct fmt::formatter<culprit::threshold::Tunable<T>> : fmt::formatter<T> {
    template <typename Context>
    auto format(const culprit::threshold::Tunable<T>& one, Context& context) const {
        return fmt::formatter<T>::format(one.value, context);
    }
};
