// SPDX-License-Identifier: MIT
// Dropped packets: samples and exact totals.
#include <cstring>
#include <string>
#include <unordered_map>

#include "drop.skel.h"
#include "signals/all.h"

#include "abi/drop.h"

namespace culprit {

namespace {

constexpr const char* kPaths[] = {"unknown", "arriving", "input", "forward", "output"};

constexpr Field kDropFields[] = {
    CULPRIT_FIELD(drop_event, flow, Type::kFlow,
                  "the packet's source and destination, device and namespace"),
    CULPRIT_FIELD(drop_event, owner, Type::kOwner,
                  "the process whose packet it was, where a socket is known"),
    CULPRIT_FIELD(drop_event, reason, Type::kDropReason, "the kernel's reason (Linux 5.17)"),
    CULPRIT_FIELD(drop_event, location, Type::kSymbol, "where in the kernel"),
    CULPRIT_FIELD(drop_event, ethertype, Type::kEthertype, "protocol above the link"),
    CULPRIT_FIELD(drop_event, tcp_flags, Type::kTcpFlags, "flags of the TCP header"),
    CULPRIT_NAMED(drop_event, path, "how far it had come", kPaths),
    CULPRIT_FIELD(drop_event, vlan, Type::kNumber, "VLAN id it still had; 0 when none"),
    CULPRIT_FIELD(drop_event, tagged, Type::kNumber, "1: it came with a VLAN nothing handles"),
    CULPRIT_FIELD(drop_event, icmp_type, Type::kNumber, "type of an ICMP message"),
    CULPRIT_FIELD(drop_event, icmp_code, Type::kNumber, "code of an ICMP message"),
    CULPRIT_FIELD(drop_event, seq, Type::kHex, "TCP sequence number"),
    CULPRIT_FIELD(drop_event, bytes, Type::kBytes, "length of the packet"),
};
constexpr Part kDropKey[] = {
    CULPRIT_PART(drop_event, flow),
    CULPRIT_OWNER_PART(drop_event, owner),
    CULPRIT_PART(drop_event, reason),
    CULPRIT_PART(drop_event, location),
};
constexpr Part kDropSums[] = {CULPRIT_PART(drop_event, bytes)};

constexpr Field kTotalFields[] = {
    CULPRIT_FIELD(drop_total, netns, Type::kNetns, "network namespace"),
    CULPRIT_FIELD(drop_total, ifindex, Type::kDevice, "device"),
    CULPRIT_FIELD(drop_total, reason, Type::kDropReason, "the kernel's reason"),
    CULPRIT_FIELD(drop_total, location, Type::kSymbol, "where in the kernel"),
    CULPRIT_FIELD(drop_total, ethertype, Type::kEthertype, "protocol above the link"),
    CULPRIT_FIELD(drop_total, protocol, Type::kIpProtocol, "protocol above IP"),
    CULPRIT_FIELD(drop_total, packets, Type::kNumber, "packets dropped"),
    CULPRIT_FIELD(drop_total, bytes, Type::kBytes, "their bytes"),
};
constexpr Part kTotalKey[] = {
    CULPRIT_PART(drop_total, netns),     CULPRIT_PART(drop_total, ifindex),
    CULPRIT_PART(drop_total, reason),    CULPRIT_PART(drop_total, location),
    CULPRIT_PART(drop_total, ethertype), CULPRIT_PART(drop_total, protocol),
};
constexpr Part kTotalSums[] = {CULPRIT_PART(drop_total, packets), CULPRIT_PART(drop_total, bytes)};

constexpr Kind kDrop = {ABI_DROP,           "drop",   "samples of dropped packets",
                        sizeof(drop_event), true,     kDropFields,
                        kDropKey,           kDropSums};
constexpr Kind kDropTotal = {
    ABI_DROP_TOTAL,     "drop_total", "exact number of drops per reason and place",
    sizeof(drop_total), false,        kTotalFields,
    kTotalKey,          kTotalSums};

constexpr Field kStackFields[] = {
    CULPRIT_FIELD(drop_stack, flow, Type::kFlow, "the packet's source and destination"),
    CULPRIT_FIELD(drop_stack, owner, Type::kOwner, "the process whose packet it was"),
    CULPRIT_FIELD(drop_stack, reason, Type::kDropReason, "the kernel's reason (Linux 5.17)"),
    CULPRIT_FIELD(drop_stack, location, Type::kSymbol, "where in the kernel"),
    CULPRIT_FIELD(drop_stack, stack, Type::kStack, "who called it, innermost first"),
};
constexpr Part kStackKey[] = {CULPRIT_PART(drop_stack, flow), CULPRIT_PART(drop_stack, reason),
                              CULPRIT_PART(drop_stack, stack)};
constexpr Kind kDropStack = {ABI_DROP_STACK,
                             "drop_stack",
                             "samples of dropped packets with the kernel's stack",
                             sizeof(drop_stack),
                             true,
                             kStackFields,
                             kStackKey,
                             {},
                             {},
                             true};
constexpr const Kind* kKinds[] = {&kDrop, &kDropTotal, &kDropStack};

constexpr Argument kArguments[] = {
    {3, "drop reasons", "this kernel gives no drop reason, only the place"},
    {4, "the receiving socket", "this kernel does not name the receiving socket"},
};
constexpr Hook kHooks[] = {{"kfree_skb", "drop_skb", true, "", kArguments}};

class DropTotals : public Totals {
public:
    void take(const MapReader& maps, std::uint64_t now_ns, const RecordSink& sink) override {
        std::unordered_map<std::string, drop_total> grown; // the CPUs together
        maps.each("drops", [&](const void* key, const std::byte* value, std::size_t, std::size_t) {
            std::uint32_t at = 0;
            std::memcpy(&at, key, sizeof(at));
            add(at, *reinterpret_cast<const drop_slot*>(value), grown);
        });
        for (auto& [key, total] : grown) {
            total.head = {now_ns, ABI_DROP_TOTAL, sizeof(total), 0};
            sink(bytes_of(total));
        }
    }

private:
    struct Seen {
        std::uint64_t packets = 0, bytes = 0;
    };

    /// The kernel writes the slot meanwhile: each count is read once.
    void add(std::uint32_t at, const drop_slot& slot,
             std::unordered_map<std::string, drop_total>& grown) {
        const Seen now = {slot.packets, slot.bytes};
        if (!now.packets)
            return;
        Seen& seen = x_seen[at];
        if (now.packets == seen.packets)
            return;
        const drop_key& key = slot.key;
        drop_total& total = grown[std::string(reinterpret_cast<const char*>(&key), sizeof(key))];
        total.location = key.location;
        total.packets += now.packets - seen.packets;
        total.bytes += now.bytes - seen.bytes;
        total.reason = key.reason;
        total.netns = key.netns;
        total.ifindex = key.ifindex;
        total.ethertype = key.ethertype;
        total.protocol = key.protocol;
        seen = now;
    }

    std::unordered_map<std::uint32_t, Seen> x_seen; // of slots in use: as many as there are kinds
};

} // namespace

const Signal drop_signal = {
    "drop", "which packets are dropped here, where and why",       &elf_of<drop_skel>, kHooks,
    kKinds, [] { return std::unique_ptr<Totals>(new DropTotals); }};

} // namespace culprit
