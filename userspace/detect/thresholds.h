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
inline constexpr std::uint64_t kDropHurtMin = 5;          // with flows that suffer
inline constexpr std::uint64_t kDropConversationsMin = 3; // of them, where each lost little
inline constexpr std::uint64_t kDropCriticalSegs = 100;   // sent again
inline constexpr std::uint64_t kDropSocketMin =
    50; // of known sockets, no retransmission needed: UDP has none, and TCP
        // sends what its own queue refused without one
// TCP: fewer segments sent again than that share of all are as ordinary as on an Internet path.
inline constexpr double kDropShareMin = 0.002;
inline constexpr std::uint64_t kDropInfoMin = 100; // nobody seen to suffer: worth knowing only

// neigh-failure. An entry fails after about 3 s (three probes, 1 s apart): twice is somebody who
// tries again; a packet whose process is not known may be anybody's scan.
inline constexpr std::uint64_t kNeighFailedMin = 2;
inline constexpr std::uint64_t kNeighFailedUnknown = 3;
inline constexpr double kNeighFailedPerSecond = 0.05; // strays of an hour are no need
inline constexpr std::size_t kNeighTold = 5;          // findings per device; the rest is a number

// duplicate-ip: connections with trouble, from which on two answers are more than untidy.
inline constexpr std::uint64_t kDuplicateHurtMin = 3;
inline constexpr double kDuplicatePerSecond =
    0.005; // changes; a failover and, minutes later, one back are none

// neigh-table-full: collecting old entries still helps, for how long?
inline constexpr double kNeighCrowded = 0.9; // of gc_thresh3

// link-flap, link-down. One loss of carrier is maintenance unless traffic is hurt (kDropHurtMin).
inline constexpr std::uint64_t kFlapMin = 2;

// nic-errors, mtu-mismatch by a device's own counters. Operator's guide: more than 100. A cable in
// order has a bit error rate of 1e-12 (IEEE 802.3), one damaged frame in ten million.
inline constexpr std::uint64_t kNicErrors = 100;
inline constexpr std::uint64_t kNicErrorsMin = 10;   // fewer prove nothing
inline constexpr double kNicErrorShare = 0.001;      // of the packets: TCP feels it
inline constexpr double kNicErrorShareMin = 0.00001; // of busy devices, whatever the number
inline constexpr double kNicErrorShareCritical = 0.01;

// mtu-mismatch: of the packets a device sent. Probes of the path MTU (RFC 8899) are a few per
// connection.
inline constexpr double kMtuShare = 0.01;
// firewall-drop: packets of clients that are not on this host. A scanner knocks once or twice; who
// needs the service keeps trying.
inline constexpr std::uint64_t kFilteredMin =
    10; // segments of one connection, datagrams to one end
inline constexpr std::uint64_t kPatienceNs = 100'000'000; // who gives up sooner only knocked
inline constexpr std::uint64_t kFilteredAttempts = 3;     // to connect from one address to one port

// conntrack-full. netdata's health.d warns from 90 %.
inline constexpr double kConntrackHigh = 0.9;
inline constexpr std::uint64_t kConntrackDropMin = 5;
// mtu-blackhole. RFC 6298 doubles the timer: three timeouts in a row are more than a second without
// any of the data arriving. RFC 1191: no path need carry more than 576 bytes, nearly all do.
inline constexpr std::uint64_t kStuckTimeouts = 3;
inline constexpr std::uint64_t kStuckMssMin = 536; // smaller segments pass everywhere
inline constexpr std::uint64_t kStuckOptions = 40; // TCP options may take that from a full segment
inline constexpr double kStuckSmall = 0.75; // acknowledged segments smaller than that share of it
inline constexpr std::uint64_t kStuckFlowsMin = 2; // without other proof that small packets pass
// One flight of segments too big is how path MTU discovery works; more, later, means no news came.
inline constexpr std::uint64_t kTooBigMin = 4;
inline constexpr std::uint64_t kTooBigNs = 1'000'000'000;

// ttl-exceeded. traceroute sends three probes per hop.
inline constexpr std::uint64_t kOutOfHopsMin = 10; // packets, where nobody is seen to suffer
inline constexpr double kBouncedShare = 0.9; // of the answered ones: back to where they came from
inline constexpr std::uint64_t kTimeExceededMin = 3;

// host-unreachable: attempts that an ICMP error ended, and their share.
inline constexpr std::uint64_t kUnreachableMin = 3;
inline constexpr double kUnreachableShare = 0.1;

// reassembly-failure: a lost fragment now and then is ordinary loss.
inline constexpr std::uint64_t kReassemblyFailsMin = 10; // datagrams
inline constexpr double kReassemblyShare = 0.1;          // of them
inline constexpr std::uint64_t kFragmentsAlone = 20;     // fragments without one datagram complete
// qdisc-drop. A queue that is full for a moment is healthy, and TCP drops a little to find the rate
// (Mathis et al. 1997: 0.1 % is an ordinary path). A qdisc with active queue management drops to
// say "slow down" and is judged by more.
inline constexpr std::uint64_t kQueueDropMin = 20; // fewer prove nothing
inline constexpr double kQueueDropShare = 0.005;   // of what the queue was given
inline constexpr double kQueueDropShareManaged = 0.05;
inline constexpr std::uint64_t kQueueSegsPerDrop =
    2; // sent again for one, at most: else loss elsewhere
inline constexpr std::size_t kQueueWindowsMin = 2; // seconds with drops, or with a standing queue

// qdisc-latency. RFC 8289 sections 3.2, 4.2: a good queue is empty once in an interval (100 ms), a
// bad one stands: nothing passes without waiting longer than the target of 5 ms. Here: in a window
// (longer than the interval) hardly a packet waited less than 4.1 ms, the bound of the histogram
// next to the target.
inline constexpr std::uint64_t kQueueTargetNs = 5'000'000;
inline constexpr std::size_t kQueueTargetSlot = 13;        // waits from 2^12 us on
inline constexpr double kQueueStandingShare = 0.95;        // of the packets, waited that long
inline constexpr std::uint64_t kQueueTimedMin = 8;         // in a window; fewer are chance
inline constexpr std::uint64_t kQueueSlowNs = 20'000'000;  // 1 % wait longer: users begin to notice
inline constexpr std::uint64_t kQueueHurtNs = 100'000'000; // half wait longer; guide: > 100 ms
inline constexpr double kQueueHogShare = 0.5;              // of the bytes: fills it
// no-route, blackhole-route: calls that fail. One that fails now and then is a probe or a fallback.
inline constexpr std::uint64_t kNoRouteMin = 5;
inline constexpr double kNoRoutePerSecond = 0.5;
inline constexpr double kNoRouteShare = 0.5; // of the attempts to that destination

// Packets of others that routing drops. Who waits on another host is seen by its repeated SYNs: a
// single one may be a scan. Without one, a tenth of all that comes in is no stray any more.
inline constexpr std::uint64_t kWaitingMin = 2;
inline constexpr std::uint64_t kWaitingPackets = 3; // of each: scanners repeat once
inline constexpr double kDropReceivedShare = 0.1;
// softnet-drop: of the packets a CPU was given. Whose packets die is chance, so the share is what a
// path with that loss would do to everybody (see packet-loss).
inline constexpr double kBacklogShare = 0.01;
inline constexpr double kBacklogShareMin = 0.001; // whoever is seen to suffer
inline constexpr std::uint64_t kSqueezeMin = 100;
inline constexpr double kSqueezeShare = 0.5; // of its packets taken in rounds that ran out

// tx-ring-full: of what a TUN device was given; the kernel forgets whose its packets are.
inline constexpr double kRingShare = 0.01;
// A driver that is busy loses nothing, but each time costs a requeue.
inline constexpr std::uint64_t kBusyMin = 100;

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

// udp-rcvbuf-overflow. netdata warns from 10 errors per minute; per socket, and as a share of what
// the namespace's sockets were given.
inline constexpr std::uint64_t kUdpLostMin = 10;
inline constexpr double kUdpLostPerSecond = 1;
inline constexpr double kUdpLostShare = 0.001;
inline constexpr double kUdpLostCritical = 0.1;

// udp-port-unreachable. Strays are healthy, and so is an optional endpoint tried now and then.
inline constexpr std::uint64_t kStrayMin = 20;
inline constexpr double kStrayPerSecond = 2;
inline constexpr double kStraySeconds = 3; // or half of a shorter run

// rcvbuf-prune: segments thrown away; or squeezed all the time, as a share of what arrives.
inline constexpr std::uint64_t kPruneLostMin = 10;
inline constexpr std::uint64_t kPruneLostCritical = 100;
inline constexpr double kPrunePerSecond = 1;
inline constexpr double kPruneShare = 0.01;
inline constexpr double kPruneFull = 0.9; // of its buffer in use: one that is squeezed

// csum-errors: 16 bits let one corrupted packet in 65536 through, so a share is more than it looks.
// From 1 % TCP's throughput collapses as by loss.
inline constexpr std::uint64_t kCsumMin = 5;
inline constexpr double kCsumWarning = 0.0001;
inline constexpr double kCsumCritical = 0.01;

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

// zero-window: a window that stays closed that long is no pace any more. A reader that takes its
// data piece by piece (a player, a rate limit) opens it again within a second.
inline constexpr std::uint64_t kClosedNs = 2'000'000'000;
inline constexpr std::uint64_t kClosedHurtNs = 5'000'000'000;

// receiver-limited, bdp-limited, sndbuf-limited: share of the time with data to send.
inline constexpr double kLimitedShare = 0.5;
inline constexpr double kSendingSeconds = 2; // of it at least
// receiver-limited: data of clients waits that long for its reader. Nielsen 1993: after 1 s a user
// notices, after 10 s he is gone.
inline constexpr double kReaderLagSeconds = 2;
inline constexpr double kReaderLagShortSeconds = 0.1; // less is what a busy host takes
inline constexpr double kReaderFull = 0.5;            // of the window, taken by what was not read

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
inline constexpr double kNagleShare = 0.1;          // of the looks
inline constexpr std::uint64_t kNagleAnswered = 10; // bytes; to a log nobody answers
inline constexpr double kNagleRttUs = 20'000;       // a longer way waits for the network
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
inline constexpr double kRttHogShare = 0.5;     // of the bytes sent there
inline constexpr std::uint64_t kRttHogLost = 3; // one or two segments are any path's
inline constexpr double kRttVaries = 1.3;       // between windows: a queue that fills and drains

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
