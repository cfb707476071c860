// SPDX-License-Identifier: MIT
// ICMP errors: those this host sends, and those that reach its sockets.
#include <cstring>
#include <string>
#include <unordered_map>

#include "icmp.skel.h"
#include "signals/all.h"

#include "abi/icmp.h"

namespace culprit {

namespace {

constexpr const char* kDirections[] = {"?", "sent", "received"};
constexpr const char* kPaths[] = {"unknown", "arriving", "input", "forward", "output"};

constexpr Field kFields[] = {
    CULPRIT_NAMED(icmp_event, direction, "sent by this host, or received by a socket", kDirections),
    CULPRIT_FIELD(icmp_event, type, Type::kNumber, "ICMP type; 0 when received: not known"),
    CULPRIT_FIELD(icmp_event, code, Type::kNumber, "ICMP code"),
    CULPRIT_FIELD(icmp_event, error, Type::kErrno, "what the socket makes of it"),
    CULPRIT_FIELD(icmp_event, flow, Type::kFlow, "what the error is about"),
    CULPRIT_FIELD(icmp_event, owner, Type::kOwner, "the process that sent it"),
    CULPRIT_NAMED(icmp_event, path, "how far the packet had come", kPaths),
    CULPRIT_FIELD(icmp_event, bytes, Type::kBytes, "length of the packet"),
    CULPRIT_FIELD(icmp_event, out_netns, Type::kNetns, "where the packet should have left by"),
    CULPRIT_FIELD(icmp_event, out_ifindex, Type::kDevice, "device it should have left by"),
    CULPRIT_FIELD(icmp_event, mtu, Type::kBytes, "largest packet of that device"),
};
constexpr Part kKey[] = {
    CULPRIT_PART(icmp_event, flow),      CULPRIT_OWNER_PART(icmp_event, owner),
    CULPRIT_PART(icmp_event, direction), CULPRIT_PART(icmp_event, type),
    CULPRIT_PART(icmp_event, code),      CULPRIT_PART(icmp_event, error),
    CULPRIT_PART(icmp_event, path),
};
constexpr Part kMaxima[] = {CULPRIT_PART(icmp_event, bytes)};

constexpr Field kTotalFields[] = {
    CULPRIT_FIELD(icmp_total, netns, Type::kNetns, "network namespace"),
    CULPRIT_NAMED(icmp_total, direction, "sent by this host, or received by a socket", kDirections),
    CULPRIT_FIELD(icmp_total, family, Type::kNumber, "2 IPv4, 10 IPv6"),
    CULPRIT_FIELD(icmp_total, type, Type::kNumber, "ICMP type; 0 when received"),
    CULPRIT_FIELD(icmp_total, code, Type::kNumber, "ICMP code"),
    CULPRIT_FIELD(icmp_total, error, Type::kErrno, "what the socket makes of it"),
    CULPRIT_FIELD(icmp_total, packets, Type::kNumber, "errors"),
};
constexpr Part kTotalKey[] = {
    CULPRIT_PART(icmp_total, netns),     CULPRIT_PART(icmp_total, error),
    CULPRIT_PART(icmp_total, direction), CULPRIT_PART(icmp_total, family),
    CULPRIT_PART(icmp_total, type),      CULPRIT_PART(icmp_total, code),
};
constexpr Part kTotalSums[] = {CULPRIT_PART(icmp_total, packets)};

constexpr Kind kIcmp = {ABI_ICMP,
                        "icmp",
                        "ICMP errors sent, and received by a socket",
                        sizeof(icmp_event),
                        true,
                        kFields,
                        kKey,
                        {},
                        kMaxima};
constexpr Kind kIcmpTotal = {
    ABI_ICMP_TOTAL,     "icmp_total", "exact number of ICMP errors per namespace and kind",
    sizeof(icmp_total), false,        kTotalFields,
    kTotalKey,          kTotalSums};
constexpr const Kind* kKinds[] = {&kIcmp, &kIcmpTotal};

constexpr Hook kHooks[] = {
    {"icmp_send", "icmp_sent", false,
     "ICMP errors this host sends are only counted, without the packets they are about"},
    {"inet_sk_error_report", "icmp_received", true, ""},
    {.tracepoint = "inet_sock_set_state",
     .program = "icmp_ended",
     .required = true,
     .without = "errors that hit UDP sockets are not seen",
     .instead_of = "inet_sk_error_report"},
};

class IcmpTotals : public Totals {
public:
    void take(const MapReader& maps, std::uint64_t now_ns, const RecordSink& sink) override {
        maps.each("icmps", [&](const void* key, const std::byte* values, std::size_t cpus,
                               std::size_t stride) {
            report(*static_cast<const icmp_key*>(key), sum_percpu<icmp_value>(values, cpus, stride),
                   now_ns, sink);
        });
    }

private:
    void report(const icmp_key& key, const icmp_value& now, std::uint64_t now_ns,
                const RecordSink& sink) {
        std::uint64_t& seen = x_seen[std::string(reinterpret_cast<const char*>(&key), sizeof(key))];
        if (now.packets == seen)
            return;
        icmp_total total{};
        total.head = {now_ns, ABI_ICMP_TOTAL, sizeof(total), 0};
        total.packets = now.packets - seen;
        total.netns = key.netns;
        total.error = key.error;
        total.direction = key.direction;
        total.family = key.family;
        total.type = key.type;
        total.code = key.code;
        seen = now.packets;
        sink(bytes_of(total));
    }

    std::unordered_map<std::string, std::uint64_t> x_seen; // as many as the kernel's map has keys
};

} // namespace

const Signal icmp_signal = {
    "icmp", "which packets meet an ICMP error, here or on their way", &elf_of<icmp_skel>, kHooks,
    kKinds, [] { return std::unique_ptr<Totals>(new IcmpTotals); }};

} // namespace culprit
