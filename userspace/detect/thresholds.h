// SPDX-License-Identifier: MIT
// Every number a detector compares with, and where it comes from.
#pragma once

#include <cstdint>

namespace culprit::threshold {

// packet-loss. Operator's guide: loss of 2.5 % is red. 1 % hurts TCP throughput visibly (Mathis et
// al. 1997, rate ~ 1/sqrt(p)), while the 0.1 % of an ordinary Internet path does not.
inline constexpr double kLossRatioWarning = 0.01;
inline constexpr double kLossRatioCritical = 0.025;
inline constexpr std::uint64_t kLossSegsMin = 10; // fewer prove nothing
inline constexpr std::uint64_t kLossSegsOwnRatio =
    30; // from here a process's own ratio counts, whatever others send
inline constexpr double kTimeoutShareBurst =
    0.5; // most losses found only by the timer: bursts or tails

// local-drop: packets of flows that are seen to suffer, or of a known socket.
inline constexpr std::uint64_t kDropHurtMin = 5; // with at least one suffering flow
inline constexpr std::uint64_t kDropSocketMin =
    50; // of known sockets, no retransmission needed: UDP has none, and TCP
        // sends what its own queue refused without one
inline constexpr std::uint64_t kDropInfoMin = 100; // nobody seen to suffer: worth knowing only

// softnet-drop: of the packets a CPU was given. Whose packets die is chance, so the share is what a
// path with that loss would do to everybody (see packet-loss).
inline constexpr double kBacklogShare = 0.01;
inline constexpr std::uint64_t kSqueezeMin = 100;
inline constexpr double kSqueezeShare = 0.5; // of its packets taken in rounds that ran out

// tx-ring-full: of what a TUN device was given; the kernel forgets whose its packets are.
inline constexpr double kRingShare = 0.01;
// A driver that is busy loses nothing, but each time costs a requeue.
inline constexpr std::uint64_t kBusyMin = 100;
inline constexpr double kBusyPerSecond = 100;

// xdp-exception: a program that fails is a bug, whoever misses the packets.
inline constexpr std::uint64_t kXdpFailuresMin = 10;

// conn-refused. An optional endpoint that refuses now and then is healthy.
inline constexpr std::uint64_t kRefusedMin = 10;
inline constexpr double kRefusedPerSecond = 0.5;
inline constexpr double kRefusedShare = 0.5; // of the attempts to that destination

// connect-timeout. RFC 6298: the first SYN is repeated after 1 s, so every attempt counted here
// cost somebody a second.
inline constexpr std::uint64_t kUnansweredMin = 3;
inline constexpr double kUnansweredShare = 0.1;    // of the attempts to that destination
inline constexpr std::uint64_t kSynRepeatsMin = 5; // SYNs sent again with no attempt answered
inline constexpr std::uint64_t kLateMin = 10; // SYNs sent again while some attempts are answered
inline constexpr double kLateShare = 0.25;    // of them per attempt

// listen-overflow, fd-exhaustion. RFC 6298: each dropped SYN costs its client a second.
inline constexpr std::uint64_t kOverflowCritical =
    10; // drops; one client repeats its SYN up to six times
inline constexpr std::uint64_t kFullLooksMin = 3; // full without drops: 0.6 s at five looks/s
inline constexpr std::uint64_t kFullLimitMin = 8; // a smaller queue is full whenever somebody waits
inline constexpr double kFullShare = 0.1;         // and this share of all looks
inline constexpr std::uint64_t kFilesLeft = 2;    // descriptors that others may take or give back

// syn-flood. A burst of real clients is answered: cookies come back, handshakes complete.
inline constexpr std::uint64_t kFloodMin = 100; // SYNs turned away, or cookies
inline constexpr double kFloodAnswered = 0.25;  // of them, at most

// rst-storm. Health checks reset without data and are left out before these apply.
inline constexpr std::uint64_t kResetMin = 20;
inline constexpr double kResetPerSecond = 2;
inline constexpr double kResetShare = 0.3; // of the connections of that service that ended

// Limits of the kernel: TIME_WAIT, local ports, orphans. Design: high from 70 %, or reached within
// 10 minutes; a level that has only begun says nothing of where it leads.
inline constexpr double kLimitHigh = 0.7;
inline constexpr double kLimitBegun = 0.3;
inline constexpr double kLimitSoonSeconds = 600;
inline constexpr double kPortsSeen = 0.5; // fewer sockets than that do not explain missing ports
inline constexpr unsigned kPortRangeLow = 10240; // proposed; services live below

// time-wait-growth: worth knowing. Operator's guide: 10 000, 30 % of all sockets. A few hundred
// short connections per second are healthy, and keep up to 60 s of them.
inline constexpr std::uint64_t kTimeWaitMany = 10'000;
inline constexpr double kTimeWaitShare = 0.3;
inline constexpr std::uint64_t kTimeWaitShareMin = 5'000; // a share or a rate of fewer is normal
inline constexpr double kTimeWaitPerSecond = 500;

// close-wait-leak. Operator's guide: 1000. A healthy process closes within milliseconds.
inline constexpr std::uint64_t kCloseWaitMany = 1000;
inline constexpr std::uint64_t kCloseWaitMin = 20; // for seconds, more than before or none closed

// fin-wait2-growth: the mirror image, but one peer that thinks for a while is nothing.
inline constexpr std::uint64_t kFinWait2Many = 1000;
inline constexpr std::uint64_t kFinWait2Min = 50; // towards one peer, for seconds
inline constexpr std::uint64_t kFinTimeoutProposed = 30;

// orphans: one peer that takes nothing. Many peers with one each went away, which is normal life.
inline constexpr std::uint64_t kOrphansMin = 20;

// The pool of connections as a whole (`show connections`). Operator's guide.
inline constexpr double kPoolTimeWaitPercent = 30;
inline constexpr double kPoolCloseWait = 1000;
inline constexpr double kPoolConnections = 50'000;
inline constexpr double kPoolFailingPercent = 10;
inline constexpr std::uint64_t kPoolSmall = 100; // a share of fewer connections is chance

} // namespace culprit::threshold
