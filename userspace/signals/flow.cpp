// SPDX-License-Identifier: MIT
// How TCP connections fare: fields and hooks.
#include "flow.skel.h"
#include "signals/all.h"
#include "signals/flow_totals.h"

#include "abi/flow.h"

namespace culprit {

namespace {

constexpr const char* kRoles[] = {"unknown", "client", "server", "listener"};

constexpr Field kFields[] = {
    CULPRIT_FIELD(flow_total, flow, Type::kFlow, "the server's address and port, and the peer's"),
    CULPRIT_FIELD(flow_total, owner, Type::kOwner, "the process of this end"),
    CULPRIT_NAMED(flow_total, role, "which end this is", kRoles),
    CULPRIT_FIELD(flow_total, flows, Type::kNumber, "connections at a look, largest"),
    CULPRIT_FIELD(flow_total, looks, Type::kNumber, "at connections known before"),
    CULPRIT_FIELD(flow_total, watched_ns, Type::kDurationNs, "between the looks"),
    CULPRIT_FIELD(flow_total, bytes_sent, Type::kBytes, "acknowledged by the peer"),
    CULPRIT_FIELD(flow_total, bytes_received, Type::kBytes, "received in order"),
    CULPRIT_FIELD(flow_total, segs_out, Type::kNumber, "segments sent"),
    CULPRIT_FIELD(flow_total, segs_in, Type::kNumber, "segments received"),
    CULPRIT_FIELD(flow_total, retransmits, Type::kNumber, "segments sent again"),
    CULPRIT_FIELD(flow_total, spurious, Type::kNumber, "of them that the peer had already"),
    CULPRIT_FIELD(flow_total, reordered, Type::kNumber, "times the network reordered"),
    CULPRIT_FIELD(flow_total, out_of_order, Type::kNumber, "segments received out of order"),
    CULPRIT_FIELD(flow_total, busy_ns, Type::kDurationNs, "the network set the pace"),
    CULPRIT_FIELD(flow_total, rwnd_limited_ns, Type::kDurationNs, "the peer's window did"),
    CULPRIT_FIELD(flow_total, sndbuf_limited_ns, Type::kDurationNs, "the send buffer did"),
    CULPRIT_FIELD(flow_total, sending, Type::kNumber, "looks with data sent or to be sent"),
    CULPRIT_FIELD(flow_total, app_limited, Type::kNumber, "of them with too little given to send"),
    CULPRIT_FIELD(flow_total, zero_window, Type::kNumber, "looks with the peer's window closed"),
    CULPRIT_FIELD(flow_total, zero_window_ns, Type::kDurationNs, "longest time it was"),
    CULPRIT_FIELD(flow_total, closed_window, Type::kNumber, "looks with the own window closed"),
    CULPRIT_FIELD(flow_total, closed_window_ns, Type::kDurationNs, "longest time it was"),
    CULPRIT_FIELD(flow_total, nagle_wait, Type::kNumber, "looks with data Nagle held back"),
    CULPRIT_FIELD(flow_total, rtt_looks, Type::kNumber, "looks with a known round trip"),
    CULPRIT_FIELD(flow_total, srtt_us, Type::kNumber, "round trips in us, sum over rtt_looks"),
    CULPRIT_FIELD(flow_total, rttvar_us, Type::kNumber,
                  "mean deviations in us, sum over rtt_looks"),
    CULPRIT_FIELD(flow_total, min_rtt_us, Type::kNumber,
                  "smallest round trips of late in us, sum over rtt_looks"),
    CULPRIT_FIELD(flow_total, srtt_max_us, Type::kNumber, "round trip in us, largest"),
    CULPRIT_FIELD(flow_total, snd_wnd, Type::kBytes, "the peer's window, sum over sending"),
    CULPRIT_FIELD(flow_total, cwnd, Type::kBytes, "congestion window, sum over sending"),
    CULPRIT_FIELD(flow_total, in_flight, Type::kBytes, "not acknowledged, sum over sending"),
    CULPRIT_FIELD(flow_total, not_sent, Type::kBytes, "never sent, sum over sending"),
    CULPRIT_FIELD(flow_total, sndbuf, Type::kBytes, "send buffer, sum over sending"),
    CULPRIT_FIELD(flow_total, sndbuf_locked, Type::kNumber, "1: set by the process"),
    CULPRIT_FIELD(flow_total, rcv_wnd, Type::kBytes, "own window, sum over looks"),
    CULPRIT_FIELD(flow_total, rcvbuf, Type::kBytes, "receive buffer, sum over looks"),
    CULPRIT_FIELD(flow_total, unread, Type::kBytes, "not read, sum over looks"),
    CULPRIT_FIELD(flow_total, unread_max, Type::kBytes, "not read, largest"),
    CULPRIT_FIELD(flow_total, rcvbuf_locked, Type::kNumber, "1: set by the process"),
    CULPRIT_FIELD(flow_total, mss, Type::kBytes, "segment size, largest"),
    CULPRIT_FIELD(flow_total, unanswered, Type::kNumber, "timeouts in a row, largest"),
    CULPRIT_FIELD(flow_total, silent, Type::kNumber, "connections with three or more of them"),
    CULPRIT_FIELD(flow_total, quiet_ns, Type::kDurationNs, "since the peer of those was heard"),
    CULPRIT_FIELD(flow_total, answers, Type::kNumber, "questions whose answer was timed"),
    CULPRIT_FIELD(flow_total, answer_ns, Type::kDurationNs, "until the answer, sum over answers"),
    CULPRIT_FIELD(flow_total, answer_max_ns, Type::kDurationNs, "likewise, largest"),
    CULPRIT_FIELD(flow_total, waiting, Type::kNumber, "looks with a question without answer"),
    CULPRIT_FIELD(flow_total, waiting_max_ns, Type::kDurationNs, "longest such wait"),
    CULPRIT_FIELD(flow_total, answer_slots, Type::kHistogram, "answers by their time"),
};
constexpr Part kKey[] = {CULPRIT_PART(flow_total, flow), CULPRIT_OWNER_PART(flow_total, owner),
                         CULPRIT_PART(flow_total, role)};
constexpr Part kSums[] = {
    CULPRIT_PART(flow_total, looks),         CULPRIT_PART(flow_total, watched_ns),
    CULPRIT_PART(flow_total, bytes_sent),    CULPRIT_PART(flow_total, bytes_received),
    CULPRIT_PART(flow_total, segs_out),      CULPRIT_PART(flow_total, segs_in),
    CULPRIT_PART(flow_total, retransmits),   CULPRIT_PART(flow_total, spurious),
    CULPRIT_PART(flow_total, reordered),     CULPRIT_PART(flow_total, out_of_order),
    CULPRIT_PART(flow_total, busy_ns),       CULPRIT_PART(flow_total, rwnd_limited_ns),
    CULPRIT_PART(flow_total, sending),       CULPRIT_PART(flow_total, sndbuf_limited_ns),
    CULPRIT_PART(flow_total, app_limited),   CULPRIT_PART(flow_total, zero_window),
    CULPRIT_PART(flow_total, closed_window), CULPRIT_PART(flow_total, nagle_wait),
    CULPRIT_PART(flow_total, rtt_looks),     CULPRIT_PART(flow_total, srtt_us),
    CULPRIT_PART(flow_total, rttvar_us),     CULPRIT_PART(flow_total, min_rtt_us),
    CULPRIT_PART(flow_total, snd_wnd),       CULPRIT_PART(flow_total, cwnd),
    CULPRIT_PART(flow_total, in_flight),     CULPRIT_PART(flow_total, not_sent),
    CULPRIT_PART(flow_total, sndbuf),        CULPRIT_PART(flow_total, rcv_wnd),
    CULPRIT_PART(flow_total, rcvbuf),        CULPRIT_PART(flow_total, unread),
    CULPRIT_PART(flow_total, answers),       CULPRIT_PART(flow_total, answer_ns),
    CULPRIT_PART(flow_total, waiting),       CULPRIT_PART(flow_total, answer_slots),
};
constexpr Part kMaxima[] = {
    CULPRIT_PART(flow_total, flows),          CULPRIT_PART(flow_total, zero_window_ns),
    CULPRIT_PART(flow_total, srtt_max_us),    CULPRIT_PART(flow_total, closed_window_ns),
    CULPRIT_PART(flow_total, sndbuf_locked),  CULPRIT_PART(flow_total, rcvbuf_locked),
    CULPRIT_PART(flow_total, unread_max),     CULPRIT_PART(flow_total, mss),
    CULPRIT_PART(flow_total, unanswered),     CULPRIT_PART(flow_total, silent),
    CULPRIT_PART(flow_total, quiet_ns),       CULPRIT_PART(flow_total, answer_max_ns),
    CULPRIT_PART(flow_total, waiting_max_ns),
};

constexpr Kind kFlowTotal = {ABI_FLOW_TOTAL,
                             "flow_total",
                             "how TCP connections fared that were not idle",
                             sizeof(flow_total),
                             false,
                             kFields,
                             kKey,
                             kSums,
                             kMaxima};
constexpr const Kind* kKinds[] = {&kFlowTotal};

constexpr Hook kHooks[] = {{kMapElemIterator, "flow_look", true, "", {}, true}};

} // namespace

const Signal flow_signal = {"flow",
                            "who makes TCP connections slow: either process or the network",
                            &elf_of<flow_skel>,
                            kHooks,
                            kKinds,
                            &flow_totals};

} // namespace culprit
