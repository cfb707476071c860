// SPDX-License-Identifier: MIT
// Retransmissions: fields and hooks.
#include "retransmit.skel.h"
#include "signals/all.h"

#include "abi/retransmit.h"

namespace culprit {

namespace {

constexpr const char* kTypes[] = {"other", "fast", "rto", "tlp", "syn", "syn-ack"};
constexpr const char* kCaStates[] = {"open", "disorder", "cwr", "recovery", "loss"};

constexpr Field kFields[] = {
    CULPRIT_FIELD(retransmit_event, flow, Type::kFlow, "both ends"),
    CULPRIT_FIELD(retransmit_event, owner, Type::kOwner, "the process whose data is sent again"),
    CULPRIT_NAMED(retransmit_event, type, "why it is sent again", kTypes),
    CULPRIT_FIELD(retransmit_event, segs, Type::kNumber,
                  "segments sent again; 0 when the attempt failed"),
    CULPRIT_FIELD(retransmit_event, bytes, Type::kBytes, "payload of them"),
    CULPRIT_FIELD(retransmit_event, failed, Type::kNumber, "attempts that did not leave this host"),
    CULPRIT_FIELD(retransmit_event, error, Type::kErrno, "why an attempt failed (Linux 6.17)"),
    CULPRIT_FIELD(retransmit_event, seq, Type::kHex, "first sequence number"),
    CULPRIT_FIELD(retransmit_event, tcp_state, Type::kTcpState, "state of the socket"),
    CULPRIT_NAMED(retransmit_event, ca_state, "congestion avoidance state", kCaStates),
    CULPRIT_FIELD(retransmit_event, attempts, Type::kNumber, "timeouts in a row"),
    CULPRIT_FIELD(retransmit_event, srtt_us, Type::kDurationUs, "smoothed round trip"),
    CULPRIT_FIELD(retransmit_event, cwnd, Type::kNumber, "congestion window in segments"),
    CULPRIT_FIELD(retransmit_event, mss, Type::kBytes, "payload of the largest segment it sends"),
    CULPRIT_FIELD(retransmit_event, acked_bytes, Type::kBytes, "acknowledged so far"),
    CULPRIT_FIELD(retransmit_event, acked_segs, Type::kNumber, "segments it came in"),
    CULPRIT_FIELD(retransmit_event, sacked_segs, Type::kNumber, "that arrived behind a gap (SACK)"),
    CULPRIT_FIELD(retransmit_event, heard_ns, Type::kNumber,
                  "when the peer's last ACK came, nanoseconds since boot"),
    CULPRIT_FIELD(retransmit_event, soft_error, Type::kErrno,
                  "ICMP error about this connection since the last acknowledgement"),
    CULPRIT_FIELD(retransmit_event, life_segs_out, Type::kNumber,
                  "segments this socket sent so far"),
    CULPRIT_FIELD(retransmit_event, life_retransmits, Type::kNumber, "of them sent again"),
};
constexpr Part kKey[] = {
    CULPRIT_PART(retransmit_event, flow),
    CULPRIT_OWNER_PART(retransmit_event, owner),
    CULPRIT_PART(retransmit_event, type),
    CULPRIT_PART(retransmit_event, error),
};
constexpr Part kSums[] = {
    CULPRIT_PART(retransmit_event, segs),
    CULPRIT_PART(retransmit_event, bytes),
    CULPRIT_PART(retransmit_event, failed),
};
constexpr Part kMaxima[] = {
    CULPRIT_PART(retransmit_event, life_segs_out), CULPRIT_PART(retransmit_event, life_retransmits),
    CULPRIT_PART(retransmit_event, attempts),      CULPRIT_PART(retransmit_event, acked_bytes),
    CULPRIT_PART(retransmit_event, acked_segs),    CULPRIT_PART(retransmit_event, sacked_segs),
    CULPRIT_PART(retransmit_event, heard_ns),
};

constexpr Kind kRetransmit = {ABI_RETRANSMIT,
                              "retransmit",
                              "each attempt to send a segment again",
                              sizeof(retransmit_event),
                              true,
                              kFields,
                              kKey,
                              kSums,
                              kMaxima};
constexpr const Kind* kKinds[] = {&kRetransmit};

constexpr Argument kArguments[] = {{3, "failed attempts told from sent ones",
                                    "this kernel's hook is silent about failed attempts"}};
constexpr Hook kHooks[] = {
    {"tcp_retransmit_skb", "retransmit_skb", true, "", kArguments},
    {"tcp_retransmit_synack", "retransmit_synack", false, "SYN-ACKs sent again are not seen"},
};

} // namespace

const Signal retransmit_signal = {"retransmit", "which segments are sent again, and why",
                                  &elf_of<retransmit_skel>, kHooks, kKinds};

} // namespace culprit
