// SPDX-License-Identifier: MIT
// Sockets as they are now: their fields, and the iterators that walk them.
#include "signals/all.h"
#include "socket.skel.h"

#include "abi/socket.h"

namespace culprit {

namespace {

constexpr const char* kTimers[] = {"none", "retransmit", "keepalive", "time-wait", "probe"};
constexpr const char* kRoles[] = {"unknown", "client", "server", "listener"};

constexpr Field kFields[] = {
    CULPRIT_FIELD(socket_info, flow, Type::kFlow, "both ends"),
    CULPRIT_FIELD(socket_info, owner, Type::kOwner, "the process that has it"),
    CULPRIT_FIELD(socket_info, state, Type::kTcpState, "TCP state"),
    CULPRIT_NAMED(socket_info, role, "which end this is", kRoles),
    CULPRIT_FIELD(socket_info, shared, Type::kNumber, "1: several processes listen on this port"),
    CULPRIT_FIELD(socket_info, inode, Type::kNumber, "of its file; 0: no process has it"),
    CULPRIT_FIELD(socket_info, established_ns, Type::kDurationNs, "since ESTABLISHED; 0 unknown"),
    CULPRIT_FIELD(socket_info, state_ns, Type::kDurationNs, "in this state; 0 unknown"),
    CULPRIT_FIELD(socket_info, quiet_ns, Type::kDurationNs, "since the peer's last segment"),
    CULPRIT_NAMED(socket_info, timer, "what it waits for", kTimers),
    CULPRIT_FIELD(socket_info, timer_ns, Type::kDurationNs, "until the timer runs out"),
    CULPRIT_FIELD(socket_info, recv_queue, Type::kBytes, "received and not read"),
    CULPRIT_FIELD(socket_info, send_queue, Type::kBytes, "not acknowledged, sent or not"),
    CULPRIT_FIELD(socket_info, accept_queue, Type::kNumber, "connections not accepted"),
    CULPRIT_FIELD(socket_info, accept_limit, Type::kNumber, "how many of these there may be"),
    CULPRIT_FIELD(socket_info, syn_queue, Type::kNumber, "handshakes under way"),
    CULPRIT_FIELD(socket_info, drops, Type::kNumber, "packets it refused in its life"),
    CULPRIT_FIELD(socket_info, rmem_alloc, Type::kBytes, "memory of received packets"),
    CULPRIT_FIELD(socket_info, rcvbuf, Type::kBytes, "limit of that"),
    CULPRIT_FIELD(socket_info, wmem_queued, Type::kBytes, "memory of packets to send"),
    CULPRIT_FIELD(socket_info, sndbuf, Type::kBytes, "limit of that"),
    CULPRIT_FIELD(socket_info, retransmits, Type::kNumber, "segments sent again"),
    CULPRIT_FIELD(socket_info, unanswered, Type::kNumber, "timeouts in a row"),
    CULPRIT_FIELD(socket_info, probes, Type::kNumber, "probes without an answer"),
    CULPRIT_FIELD(socket_info, backoff, Type::kNumber, "doublings of the timeout"),
    CULPRIT_FIELD(socket_info, srtt_us, Type::kDurationUs, "smoothed round trip"),
    CULPRIT_FIELD(socket_info, min_rtt_us, Type::kDurationUs, "smallest round trip of late"),
    CULPRIT_FIELD(socket_info, cwnd, Type::kNumber, "congestion window in segments"),
    CULPRIT_FIELD(socket_info, bytes_sent, Type::kBytes, "acknowledged by the peer"),
    CULPRIT_FIELD(socket_info, bytes_received, Type::kBytes, "received in order"),
    CULPRIT_FIELD(socket_info, segs_out, Type::kNumber, "segments sent"),
    CULPRIT_FIELD(socket_info, segs_in, Type::kNumber, "segments received"),
};
constexpr Part kKey[] = {CULPRIT_PART(socket_info, flow), CULPRIT_PART(socket_info, inode),
                         CULPRIT_PART(socket_info, state)};

constexpr Kind kSocket = {
    ABI_SOCKET, "socket", "a socket as it is now", sizeof(socket_info), false, kFields, kKey, {}};

constexpr const char* kKeepers[] = {"process", "queue", "orphan", "timer"};
constexpr Field kTotalFields[] = {
    CULPRIT_FIELD(socket_total, flow, Type::kFlow, "the service, and the other end's address"),
    CULPRIT_FIELD(socket_total, owner, Type::kOwner, "the process that has them"),
    CULPRIT_FIELD(socket_total, state, Type::kTcpState, "TCP state"),
    CULPRIT_NAMED(socket_total, role, "which end these are", kRoles),
    CULPRIT_NAMED(socket_total, keeper, "who keeps them", kKeepers),
    CULPRIT_FIELD(socket_total, sockets, Type::kNumber, "how many, at the fuller moment"),
    CULPRIT_FIELD(socket_total, at_begin, Type::kNumber, "when the run began"),
    CULPRIT_FIELD(socket_total, at_end, Type::kNumber, "when it ended"),
    CULPRIT_FIELD(socket_total, aged, Type::kNumber, "at the end, for long in this state"),
    CULPRIT_FIELD(socket_total, oldest_ns, Type::kDurationNs, "longest in this state"),
    CULPRIT_FIELD(socket_total, unsent_bytes, Type::kBytes, "not acknowledged by the peer"),
    CULPRIT_FIELD(socket_total, unread_bytes, Type::kBytes, "received and not read"),
    CULPRIT_FIELD(socket_total, memory_bytes, Type::kBytes, "of queued packets"),
    CULPRIT_FIELD(socket_total, open_files, Type::kNumber, "of the process; 0 when not read"),
    CULPRIT_FIELD(socket_total, files_limit, Type::kNumber, "how many it may open"),
};
constexpr Part kTotalKey[] = {
    CULPRIT_PART(socket_total, flow),   CULPRIT_OWNER_PART(socket_total, owner),
    CULPRIT_PART(socket_total, state),  CULPRIT_PART(socket_total, role),
    CULPRIT_PART(socket_total, keeper),
};
// numbers of a moment: they do not add up over windows
constexpr Part kTotalMaxima[] = {
    CULPRIT_PART(socket_total, sockets),      CULPRIT_PART(socket_total, at_begin),
    CULPRIT_PART(socket_total, at_end),       CULPRIT_PART(socket_total, aged),
    CULPRIT_PART(socket_total, oldest_ns),    CULPRIT_PART(socket_total, unsent_bytes),
    CULPRIT_PART(socket_total, unread_bytes), CULPRIT_PART(socket_total, memory_bytes),
    CULPRIT_PART(socket_total, open_files),   CULPRIT_PART(socket_total, files_limit),
};
constexpr Kind kSocketTotal = {ABI_SOCKET_TOTAL,
                               "socket_total",
                               "sockets that are alike",
                               sizeof(socket_total),
                               false,
                               kTotalFields,
                               kTotalKey,
                               {},
                               kTotalMaxima};

constexpr Field kReceiverFields[] = {
    CULPRIT_FIELD(receiver_total, flow, Type::kFlow, "the socket's ends"),
    CULPRIT_FIELD(receiver_total, owner, Type::kOwner, "the process that has it"),
    CULPRIT_FIELD(receiver_total, drops, Type::kNumber, "datagrams refused in the run"),
    CULPRIT_FIELD(receiver_total, unread_bytes, Type::kBytes, "received and not read"),
    CULPRIT_FIELD(receiver_total, memory_bytes, Type::kBytes, "of its receive buffer in use"),
    CULPRIT_FIELD(receiver_total, rcvbuf, Type::kBytes, "receive buffer"),
    CULPRIT_FIELD(receiver_total, stopped, Type::kNumber, "1: its process is stopped"),
};
constexpr Part kReceiverKey[] = {CULPRIT_PART(receiver_total, flow),
                                 CULPRIT_OWNER_PART(receiver_total, owner)};
constexpr Part kReceiverSums[] = {CULPRIT_PART(receiver_total, drops)};
constexpr Part kReceiverMaxima[] = {
    CULPRIT_PART(receiver_total, unread_bytes), CULPRIT_PART(receiver_total, memory_bytes),
    CULPRIT_PART(receiver_total, rcvbuf), CULPRIT_PART(receiver_total, stopped)};
constexpr Kind kReceiverTotal = {ABI_RECEIVER_TOTAL,
                                 "receiver_total",
                                 "sockets that do not keep up with what arrives",
                                 sizeof(receiver_total),
                                 false,
                                 kReceiverFields,
                                 kReceiverKey,
                                 kReceiverSums,
                                 kReceiverMaxima};
constexpr const Kind* kKinds[] = {&kSocket, &kSocketTotal, &kReceiverTotal};

constexpr Hook kHooks[] = {
    {"iter/tcp", "socket_tcp", true, ""},
    {"iter/udp", "socket_udp", false, "UDP sockets are not listed"},
    {.tracepoint = kTaskFileIterator,
     .program = "socket_walk",
     .required = false,
     .without = "sockets have no owner",
     .alone = true},
};

} // namespace

const Signal socket_signal = {"socket", "which sockets are there now and whose are they",
                              &elf_of<socket_skel>, kHooks, kKinds};

} // namespace culprit
