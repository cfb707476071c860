// SPDX-License-Identifier: MIT
// Resets: fields and hooks.
#include "reset.skel.h"
#include "signals/all.h"

#include "abi/reset.h"

namespace culprit {

namespace {

constexpr const char* kDirections[] = {"?", "sent", "received"};

constexpr Field kFields[] = {
    CULPRIT_FIELD(reset_event, flow, Type::kFlow, "both ends"),
    CULPRIT_FIELD(reset_event, owner, Type::kOwner, "the process of this end"),
    CULPRIT_NAMED(reset_event, direction, "sent by this host or received", kDirections),
    CULPRIT_FIELD(reset_event, tcp_state, Type::kTcpState, "state of the socket; - without socket"),
    CULPRIT_FIELD(reset_event, reason, Type::kResetReason, "why this host reset (Linux 6.10)"),
    CULPRIT_FIELD(reset_event, reason_known, Type::kNumber, "1: the kernel gave the reason"),
};
constexpr Part kKey[] = {
    CULPRIT_PART(reset_event, flow.netns),  CULPRIT_PART(reset_event, flow.local),
    CULPRIT_PART(reset_event, flow.remote), CULPRIT_PART(reset_event, flow.family),
    CULPRIT_OWNER_PART(reset_event, owner), CULPRIT_PART(reset_event, direction),
    CULPRIT_PART(reset_event, reason),      CULPRIT_PART(reset_event, tcp_state),
};

constexpr Kind kReset = {
    ABI_RESET, "reset", "each TCP reset sent or received", sizeof(reset_event), true, kFields,
    kKey,      {}};
constexpr const Kind* kKinds[] = {&kReset};

constexpr Argument kArguments[] = {
    {3, "reset reasons, and resets that answer packets without a socket",
     "this kernel gives no reset reason and is silent about resets without a socket"}};
constexpr Hook kHooks[] = {
    {"tcp_send_reset", "reset_send", true, "", kArguments},
    {"tcp_receive_reset", "reset_receive", false, "received resets are not seen"},
};

} // namespace

const Signal reset_signal = {"reset", "who resets TCP connections, and why", &elf_of<reset_skel>,
                             kHooks, kKinds};

} // namespace culprit
