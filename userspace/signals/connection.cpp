// SPDX-License-Identifier: MIT
// Connection attempts and closed connections: their fields, their hooks.
#include <array>

#include "connection.skel.h"
#include "signals/all.h"

namespace culprit {

namespace {

constexpr const char* kResults[] = {"ok", "error", "abandoned", "local-error"};
constexpr const char* kRoles[] = {"unknown", "client", "server", "listener"};
constexpr const char* kClosers[] = {"unknown", "local", "remote"};
constexpr const char* kEndings[] = {"fin", "reset-sent", "reset-received", "timeout", "other"};

constexpr Field kConnectFields[] = {
    CULPRIT_FIELD(connect_event, flow, Type::kFlow, "both ends"),
    CULPRIT_FIELD(connect_event, owner, Type::kOwner, "the process that called connect()"),
    CULPRIT_NAMED(connect_event, result, "what became of the attempt", kResults),
    CULPRIT_FIELD(connect_event, error, Type::kErrno, "why it failed"),
    CULPRIT_FIELD(connect_event, latency_ns, Type::kDurationNs, "connect() to result; 0 unknown"),
    CULPRIT_FIELD(connect_event, syn_retransmits, Type::kNumber, "SYNs sent again"),
};
constexpr Part kConnectKey[] = {
    CULPRIT_PART(connect_event, flow.netns),
    CULPRIT_PART(connect_event, flow.remote),
    CULPRIT_PART(connect_event, flow.remote_port),
    CULPRIT_PART(connect_event, flow.family),
    CULPRIT_OWNER_PART(connect_event, owner),
    CULPRIT_PART(connect_event, result),
    CULPRIT_PART(connect_event, error),
};
constexpr Part kConnectSums[] = {CULPRIT_PART(connect_event, latency_ns),
                                 CULPRIT_PART(connect_event, syn_retransmits)};

constexpr Field kCloseFields[] = {
    CULPRIT_FIELD(close_event, flow, Type::kFlow, "both ends"),
    CULPRIT_FIELD(close_event, owner, Type::kOwner, "the process of this end"),
    CULPRIT_NAMED(close_event, role, "which end this is", kRoles),
    CULPRIT_NAMED(close_event, closer, "who closed first", kClosers),
    CULPRIT_NAMED(close_event, ending, "how it ended", kEndings),
    CULPRIT_FIELD(close_event, last_state, Type::kTcpState, "TCP state before CLOSE"),
    CULPRIT_FIELD(close_event, error, Type::kErrno, "the socket's error"),
    CULPRIT_FIELD(close_event, service_port, Type::kNumber, "the server's port"),
    CULPRIT_FIELD(close_event, had_data, Type::kNumber, "1: payload went either way"),
    CULPRIT_FIELD(close_event, handshake_ns, Type::kDurationNs,
                  "connect() to ESTABLISHED; 0 unknown"),
    CULPRIT_FIELD(close_event, established_ns, Type::kDurationNs, "time in ESTABLISHED; 0 unknown"),
    CULPRIT_FIELD(close_event, closing_ns, Type::kDurationNs,
                  "first FIN or reset to CLOSE; 0 unknown"),
    CULPRIT_FIELD(close_event, bytes_sent, Type::kBytes, "acknowledged by the peer"),
    CULPRIT_FIELD(close_event, bytes_received, Type::kBytes, "received in order"),
    CULPRIT_FIELD(close_event, segs_out, Type::kNumber, "segments sent"),
    CULPRIT_FIELD(close_event, segs_in, Type::kNumber, "segments received"),
    CULPRIT_FIELD(close_event, retransmits, Type::kNumber, "segments sent again"),
    CULPRIT_FIELD(close_event, answers, Type::kNumber, "1: its only answer was timed"),
    CULPRIT_FIELD(close_event, answer_ns, Type::kDurationNs, "question to answer"),
    CULPRIT_FIELD(close_event, answered_late, Type::kNumber, "1: after 200 ms or more"),
    CULPRIT_FIELD(close_event, srtt_us, Type::kDurationUs, "smoothed round trip"),
    CULPRIT_FIELD(close_event, min_rtt_us, Type::kDurationUs, "smallest round trip of late"),
};
// the service's port is in the key; the other end's port is chance, and its address may be one of
// millions
constexpr Part kCloseKey[] = {
    CULPRIT_PART(close_event, flow.netns),   CULPRIT_PART(close_event, flow.local),
    CULPRIT_PART(close_event, flow.family),  CULPRIT_OWNER_PART(close_event, owner),
    CULPRIT_PART(close_event, role),         CULPRIT_PART(close_event, closer),
    CULPRIT_PART(close_event, ending),       CULPRIT_PART(close_event, last_state),
    CULPRIT_PART(close_event, service_port), CULPRIT_PART(close_event, had_data),
};
constexpr Part kCloseSums[] = {
    CULPRIT_PART(close_event, handshake_ns),   CULPRIT_PART(close_event, established_ns),
    CULPRIT_PART(close_event, closing_ns),     CULPRIT_PART(close_event, bytes_sent),
    CULPRIT_PART(close_event, bytes_received), CULPRIT_PART(close_event, segs_out),
    CULPRIT_PART(close_event, segs_in),        CULPRIT_PART(close_event, retransmits),
    CULPRIT_PART(close_event, answers),        CULPRIT_PART(close_event, answer_ns),
    CULPRIT_PART(close_event, answered_late),
};

constexpr Kind kConnect = {ABI_CONNECT,           "connect",   "result of each connection attempt",
                           sizeof(connect_event), true,        kConnectFields,
                           kConnectKey,           kConnectSums};
constexpr Kind kClose = {ABI_CLOSE,           "close",   "life of each closed connection",
                         sizeof(close_event), true,      kCloseFields,
                         kCloseKey,           kCloseSums};
constexpr const Kind* kKinds[] = {&kConnect, &kClose};

constexpr Argument kWalkArguments[] = {
    {2, "owners of UDP and raw sockets",
     "UDP and raw sockets have no owner (needs bpf_sock_from_file, Linux 5.11)"}};
constexpr Hook kHooks[] = {
    {"inet_sock_set_state", "connection_state", true, ""},
    {"tcp_destroy_sock", "connection_free", true, ""},
    {"tcp_rcv_space_adjust", "connection_read", false,
     "the process that reads an accepted connection is not learnt"},
    {"sched_process_fork", "connection_fork", false, "a server that forks workers stands for them"},
    {"sched_process_exit", "connection_exit", false,
     "a listening socket stays with the process that made it, also when that ended"},
    {kTaskFileIterator, "connection_walk", false, "sockets older than culprit have no owner",
     kWalkArguments},
};

} // namespace

const Signal connection_signal = {"connection",
                                  "how does each TCP connection begin and end, and whose is it",
                                  &elf_of<connection_skel>, kHooks, kKinds};

} // namespace culprit
