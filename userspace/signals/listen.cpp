// SPDX-License-Identifier: MIT
// Listening sockets: fields and hooks.
#include "listen.skel.h"
#include "signals/all.h"
#include "signals/listen_totals.h"

#include "abi/listen.h"

namespace culprit {

namespace {

constexpr const char* kScopes[] = {"socket", "group"};
constexpr Field kEventFields[] = {
    CULPRIT_FIELD(listen_event, flow, Type::kFlow, "the local end"),
    CULPRIT_FIELD(listen_event, owner, Type::kOwner, "the process that listens"),
    CULPRIT_FIELD(listen_event, drops, Type::kNumber, "dropped since the last event"),
    CULPRIT_FIELD(listen_event, depth, Type::kNumber, "accept queue, largest since the last look"),
    CULPRIT_FIELD(listen_event, limit, Type::kNumber, "accept queue: full means more than this"),
    CULPRIT_FIELD(listen_event, syn_depth, Type::kNumber, "SYN queue"),
    CULPRIT_FIELD(listen_event, full, Type::kNumber, "1: the accept queue was full"),
    CULPRIT_FIELD(listen_event, sockets, Type::kNumber, "that listen at this address"),
};
constexpr Part kEventKey[] = {CULPRIT_PART(listen_event, flow),
                              CULPRIT_OWNER_PART(listen_event, owner)};
constexpr Part kEventSums[] = {CULPRIT_PART(listen_event, drops)};
constexpr Part kEventMaxima[] = {CULPRIT_PART(listen_event, depth),
                                 CULPRIT_PART(listen_event, limit),
                                 CULPRIT_PART(listen_event, syn_depth)};

constexpr Field kTotalFields[] = {
    CULPRIT_FIELD(listen_total, flow, Type::kFlow, "the local end"),
    CULPRIT_FIELD(listen_total, owner, Type::kOwner, "the process that listens"),
    CULPRIT_FIELD(listen_total, since_ns, Type::kHex, "tells sockets of one address apart"),
    CULPRIT_NAMED(listen_total, scope, "one socket, or all of its address together", kScopes),
    CULPRIT_FIELD(listen_total, sockets, Type::kNumber, "that listen at this address"),
    CULPRIT_FIELD(listen_total, looks, Type::kNumber, "at the queues"),
    CULPRIT_FIELD(listen_total, looks_full, Type::kNumber, "of them with a full accept queue"),
    CULPRIT_FIELD(listen_total, depth_sum, Type::kNumber, "accept queue, sum over the looks"),
    CULPRIT_FIELD(listen_total, depth, Type::kNumber, "accept queue, largest"),
    CULPRIT_FIELD(listen_total, limit, Type::kNumber, "accept queue: full means more than this"),
    CULPRIT_FIELD(listen_total, looks_syn_full, Type::kNumber, "looks with a full SYN queue"),
    CULPRIT_FIELD(listen_total, syn_depth, Type::kNumber, "SYN queue, largest"),
    CULPRIT_FIELD(listen_total, syn_limit, Type::kNumber, "SYN queue: full from here on"),
    CULPRIT_FIELD(listen_total, somaxconn, Type::kNumber, "net.core.somaxconn"),
    CULPRIT_FIELD(listen_total, syncookies, Type::kNumber, "net.ipv4.tcp_syncookies"),
    CULPRIT_FIELD(listen_total, defer_accept, Type::kNumber, "TCP_DEFER_ACCEPT; 0 off"),
    CULPRIT_FIELD(listen_total, drops, Type::kNumber, "packets this socket dropped"),
    CULPRIT_FIELD(listen_total, established, Type::kNumber,
                  "connections that came into the accept queue"),
    CULPRIT_FIELD(listen_total, accepted, Type::kNumber, "connections taken out of it"),
    CULPRIT_FIELD(listen_total, synack_retransmits, Type::kNumber, "SYN-ACKs sent again"),
    CULPRIT_FIELD(listen_total, owner_looks, Type::kNumber, "at the process"),
    CULPRIT_FIELD(listen_total, owner_stopped, Type::kNumber, "of them with a stopped process"),
    CULPRIT_FIELD(listen_total, owner_running, Type::kNumber, "of them with a running process"),
    CULPRIT_FIELD(listen_total, owner_cpu_ns, Type::kDurationNs, "CPU time between the looks"),
    CULPRIT_FIELD(listen_total, open_files, Type::kNumber, "open files of the process, largest"),
    CULPRIT_FIELD(listen_total, files_limit, Type::kNumber, "its RLIMIT_NOFILE"),
};
constexpr Part kTotalKey[] = {
    CULPRIT_PART(listen_total, flow), CULPRIT_OWNER_PART(listen_total, owner),
    CULPRIT_PART(listen_total, since_ns), CULPRIT_PART(listen_total, scope)};
constexpr Part kTotalSums[] = {
    CULPRIT_PART(listen_total, looks),         CULPRIT_PART(listen_total, looks_full),
    CULPRIT_PART(listen_total, depth_sum),     CULPRIT_PART(listen_total, looks_syn_full),
    CULPRIT_PART(listen_total, drops),         CULPRIT_PART(listen_total, established),
    CULPRIT_PART(listen_total, accepted),      CULPRIT_PART(listen_total, synack_retransmits),
    CULPRIT_PART(listen_total, owner_looks),   CULPRIT_PART(listen_total, owner_stopped),
    CULPRIT_PART(listen_total, owner_running), CULPRIT_PART(listen_total, owner_cpu_ns),
};
constexpr Part kTotalMaxima[] = {
    CULPRIT_PART(listen_total, depth),       CULPRIT_PART(listen_total, limit),
    CULPRIT_PART(listen_total, syn_depth),   CULPRIT_PART(listen_total, syn_limit),
    CULPRIT_PART(listen_total, somaxconn),   CULPRIT_PART(listen_total, open_files),
    CULPRIT_PART(listen_total, files_limit),
};

constexpr Kind kListen = {ABI_LISTEN,
                          "listen",
                          "listening sockets whose queue became full or that drop",
                          sizeof(listen_event),
                          true,
                          kEventFields,
                          kEventKey,
                          kEventSums,
                          kEventMaxima};
constexpr Kind kListenTotal = {ABI_LISTEN_TOTAL,
                               "listen_total",
                               "queues of listening sockets",
                               sizeof(listen_total),
                               false,
                               kTotalFields,
                               kTotalKey,
                               kTotalSums,
                               kTotalMaxima};
constexpr const Kind* kKinds[] = {&kListen, &kListenTotal};

constexpr Hook kHooks[] = {
    {"inet_sock_set_state", "listen_state", true, ""},
    {"tcp_retransmit_synack", "listen_synack", false, "SYN-ACKs sent again are not counted"},
    {kTaskFileIterator, "listen_walk", false, "listeners older than culprit are not watched"},
    {kMapElemIterator, "listen_look", true, "", {}, true},
};

} // namespace

const Signal listen_signal = {
    "listen",
    "how full are the queues of each listening socket, and what does it drop",
    &elf_of<listen_skel>,
    kHooks,
    kKinds,
    &listen_totals};

} // namespace culprit
