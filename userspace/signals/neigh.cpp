// SPDX-License-Identifier: MIT
// Neighbours: addresses on a link that fail or change, and how full the kernel's tables are.
#include <sys/socket.h>

#include <map>

#include "kernel/neigh_tables.h"
#include "neigh.skel.h"
#include "signals/all.h"

#include "abi/neigh.h"

namespace culprit {

namespace {

constexpr const char* kTypes[] = {"failed", "changed", "refused"};
constexpr const char* kStates[] = {"-",     "incomplete", "reachable", "stale",    "delay",
                                   "probe", "failed",     "noarp",     "permanent"};

constexpr Field kEventFields[] = {
    CULPRIT_NAMED(neigh_event, type,
                  "it does not answer, its link-layer address changed, or another one answered too",
                  kTypes),
    CULPRIT_FIELD(neigh_event, netns, Type::kNetns, "network namespace"),
    CULPRIT_FIELD(neigh_event, ifindex, Type::kDevice, "device it is a neighbour on"),
    CULPRIT_FIELD(neigh_event, family, Type::kNumber, "2 IPv4, 10 IPv6"),
    CULPRIT_FIELD(neigh_event, address, Type::kAddress, "the neighbour"),
    CULPRIT_NAMED(neigh_event, old_state, "state of the entry before", kStates),
    CULPRIT_NAMED(neigh_event, new_state, "state of the entry after it", kStates),
    CULPRIT_FIELD(neigh_event, old_mac, Type::kMac, "link-layer address known so far"),
    CULPRIT_FIELD(neigh_event, new_mac, Type::kMac, "link-layer address that was told"),
    CULPRIT_FIELD(neigh_event, owner, Type::kOwner, "the process whose packet waited last"),
    CULPRIT_FIELD(neigh_event, packets, Type::kNumber, "packets that came to wait for it"),
    CULPRIT_FIELD(neigh_event, routed, Type::kNumber, "of them to go beyond it, a gateway"),
};
constexpr Part kEventKey[] = {
    CULPRIT_PART(neigh_event, netns),   CULPRIT_PART(neigh_event, ifindex),
    CULPRIT_PART(neigh_event, family),  CULPRIT_PART(neigh_event, address),
    CULPRIT_PART(neigh_event, type),    CULPRIT_OWNER_PART(neigh_event, owner),
    CULPRIT_PART(neigh_event, old_mac), CULPRIT_PART(neigh_event, new_mac),
};
constexpr Part kEventSums[] = {CULPRIT_PART(neigh_event, packets),
                               CULPRIT_PART(neigh_event, routed)};

constexpr Field kTotalFields[] = {
    CULPRIT_FIELD(neigh_total, family, Type::kNumber, "2 IPv4, 10 IPv6"),
    CULPRIT_FIELD(neigh_total, refused, Type::kNumber, "entries that could not be made"),
    CULPRIT_FIELD(neigh_total, forced, Type::kNumber, "rounds of forced garbage collection"),
    CULPRIT_FIELD(neigh_total, failed, Type::kNumber, "entries that did not resolve"),
    CULPRIT_FIELD(neigh_total, entries, Type::kNumber, "most entries there were"),
    CULPRIT_FIELD(neigh_total, gc_thresh1, Type::kNumber, "setting; below it all are kept"),
    CULPRIT_FIELD(neigh_total, gc_thresh2, Type::kNumber, "setting; above it old ones have to go"),
    CULPRIT_FIELD(neigh_total, gc_thresh3, Type::kNumber, "setting; the table's size"),
};
constexpr Part kTotalKey[] = {CULPRIT_PART(neigh_total, family)};
constexpr Part kTotalSums[] = {CULPRIT_PART(neigh_total, refused),
                               CULPRIT_PART(neigh_total, forced),
                               CULPRIT_PART(neigh_total, failed)};
constexpr Part kTotalMaxima[] = {
    CULPRIT_PART(neigh_total, entries), CULPRIT_PART(neigh_total, gc_thresh1),
    CULPRIT_PART(neigh_total, gc_thresh2), CULPRIT_PART(neigh_total, gc_thresh3)};

constexpr Kind kNeigh = {ABI_NEIGH,           "neigh",   "addresses on a link that fail or change",
                         sizeof(neigh_event), true,      kEventFields,
                         kEventKey,           kEventSums};
constexpr Kind kNeighTotal = {ABI_NEIGH_TOTAL,     "neigh_total", "the host's neighbour tables",
                              sizeof(neigh_total), false,         kTotalFields,
                              kTotalKey,           kTotalSums,    kTotalMaxima};
constexpr const Kind* kKinds[] = {&kNeigh, &kNeighTotal};

constexpr Hook kHooks[] = {
    {"neigh_timer_handler", "neigh_failed", true, ""},
    {"neigh_event_send_done", "neigh_asked", false, "who waits for a neighbour is not known"},
    {.tracepoint = "neigh_update",
     .program = "neigh_moved",
     .required = false,
     .without = "changes of link-layer addresses are not seen",
     .probes = true},
};

/// The tables are the whole host's.
class NeighReader : public Reader {
public:
    Result<void> read_host(std::uint64_t now_ns, const RecordSink& sink) override {
        for (const int family : {AF_INET, AF_INET6}) {
            const auto now = read_neigh_counts(family);
            if (!now && family == AF_INET6)
                return {}; // a kernel without IPv6
            if (!now)
                return std::unexpected(
                    now.error().in("how full the neighbour tables are is not known"));
            report(family, *now, now_ns, sink);
        }
        return {};
    }

private:
    void report(int family, const NeighCounts& now, std::uint64_t now_ns, const RecordSink& sink) {
        const auto [it, first] = x_last.try_emplace(family, now);
        const NeighLimits limits = read_neigh_limits(family);
        neigh_total total{};
        total.head = {now_ns, ABI_NEIGH_TOTAL, sizeof(total), 0};
        total.family = static_cast<std::uint32_t>(family);
        total.refused = now.refused - it->second.refused;
        total.forced = now.forced - it->second.forced;
        total.failed = now.failed - it->second.failed;
        total.entries = now.entries;
        total.gc_thresh1 = limits.thresh1;
        total.gc_thresh2 = limits.thresh2;
        total.gc_thresh3 = limits.thresh3;
        it->second = now;
        if (!first)
            sink(bytes_of(total));
    }

    std::map<int, NeighCounts> x_last; // two families
};

} // namespace

const Signal neigh_signal = {
    .name = "neigh",
    .question = "do the addresses on the links answer, each with one link-layer address",
    .elf = &elf_of<neigh_skel>,
    .hooks = kHooks,
    .kinds = kKinds,
    .reader = [] { return std::unique_ptr<Reader>(new NeighReader); }};

} // namespace culprit
