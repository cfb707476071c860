// SPDX-License-Identifier: MIT
// Route lookups that found no way: samples and exact totals.
#include <cstring>
#include <string>
#include <unordered_map>
#include <vector>

#include "route.skel.h"
#include "signals/all.h"

#include "abi/route.h"

namespace culprit {

namespace {

constexpr const char* kVia[] = {"connect", "send", "received"};

constexpr Field kEventFields[] = {
    CULPRIT_FIELD(route_event, flow, Type::kFlow, "source and destination that were looked up"),
    CULPRIT_FIELD(route_event, owner, Type::kOwner, "the process that called connect() or sent"),
    CULPRIT_FIELD(
        route_event, error, Type::kRouteError,
        "ENETUNREACH: no route; EHOSTUNREACH, EACCES, EINVAL: an unreachable, prohibit or "
        "blackhole route"),
    CULPRIT_NAMED(route_event, via, "what wanted the route", kVia),
    CULPRIT_FIELD(route_event, table, Type::kNumber, "routing table that was asked last"),
};
constexpr Part kEventKey[] = {
    CULPRIT_PART(route_event, flow.netns),
    CULPRIT_PART(route_event, flow.remote),
    CULPRIT_PART(route_event, flow.remote_port),
    CULPRIT_PART(route_event, flow.family),
    CULPRIT_PART(route_event, flow.protocol),
    CULPRIT_PART(route_event, flow.ifindex),
    CULPRIT_OWNER_PART(route_event, owner),
    CULPRIT_PART(route_event, error),
    CULPRIT_PART(route_event, via),
};

constexpr Field kTotalFields[] = {
    CULPRIT_FIELD(route_total, flow, Type::kFlow, "the destination"),
    CULPRIT_FIELD(route_total, owner, Type::kOwner, "the process that called connect() or sent"),
    CULPRIT_FIELD(route_total, error, Type::kRouteError, "what the lookup answered"),
    CULPRIT_NAMED(route_total, via, "what wanted the route", kVia),
    CULPRIT_FIELD(route_total, table, Type::kNumber, "routing table that was asked last"),
    CULPRIT_FIELD(route_total, failed, Type::kNumber, "lookups that failed"),
};
constexpr Part kTotalKey[] = {CULPRIT_PART(route_total, flow),
                              CULPRIT_OWNER_PART(route_total, owner),
                              CULPRIT_PART(route_total, error), CULPRIT_PART(route_total, via)};
constexpr Part kTotalSums[] = {CULPRIT_PART(route_total, failed)};

constexpr Kind kRoute = {ABI_ROUTE,           "route", "route lookups that failed",
                         sizeof(route_event), true,    kEventFields,
                         kEventKey,           {}};
constexpr Kind kRouteTotal = {ABI_ROUTE_TOTAL,
                              "route_total",
                              "exact number of failed route lookups per destination and process",
                              sizeof(route_total),
                              false,
                              kTotalFields,
                              kTotalKey,
                              kTotalSums};
constexpr const Kind* kKinds[] = {&kRoute, &kRouteTotal};

constexpr Hook kHooks[] = {
    {"fib_table_lookup", "route_lookup4", true, ""},
    {"fib6_table_lookup", "route_lookup6", false, "IPv6 destinations without a route are not seen"},
};

class RouteTotals : public Totals {
public:
    void take(const MapReader& maps, std::uint64_t now_ns, const RecordSink& sink) override;

private:
    struct Seen {
        std::uint64_t failed = 0;
        bool idle = false; // nothing came since the last tick
    };

    void report(const route_key& key, const route_value& now, std::uint64_t now_ns,
                const RecordSink& sink);
    void take_undecided(const MapReader& maps, std::uint64_t now_ns, const RecordSink& sink);

    std::unordered_map<std::string, Seen> x_seen; // as many as the kernel's map has keys
};

std::string text_of(const route_key& key) {
    return {reinterpret_cast<const char*>(&key), sizeof(key)};
}

void RouteTotals::report(const route_key& key, const route_value& now, std::uint64_t now_ns,
                         const RecordSink& sink) {
    Seen& seen = x_seen[text_of(key)];
    seen.idle = now.failed == seen.failed;
    if (seen.idle)
        return;
    route_total total{};
    total.head = {now_ns, ABI_ROUTE_TOTAL, sizeof(total), 0};
    std::memcpy(total.flow.remote, key.remote, sizeof(key.remote));
    total.flow.remote_port = key.port;
    total.flow.family = key.family;
    total.flow.protocol = key.protocol;
    total.flow.netns = key.netns;
    total.flow.ifindex = key.ifindex;
    total.owner = now.owner;
    total.failed = now.failed - seen.failed;
    total.error = key.error;
    total.table = now.table;
    total.via = key.via;
    seen.failed = now.failed;
    sink(bytes_of(total));
}

/// A lookup that no later table answered, and that no later one of its CPU made known. While it may
/// still be under way it is left alone. The place has no lock: a lookup that another one of its CPU
/// puts there between the reading and the clearing is lost, one of those that rules decide.
void RouteTotals::take_undecided(const MapReader& maps, std::uint64_t now_ns,
                                 const RecordSink& sink) {
    constexpr std::uint64_t kUnderWayNs = 1'000'000;
    std::vector<std::pair<std::uint32_t, route_undecided>> found;
    maps.each("undecided", [&](const void* key, const std::byte* bytes, std::size_t, std::size_t) {
        route_undecided one;
        std::memcpy(&one, bytes, sizeof(one));
        if (one.lookup && one.since_ns + kUnderWayNs < now_ns)
            found.emplace_back(*static_cast<const std::uint32_t*>(key), one);
    });
    for (auto& [cpu, one] : found) {
        route_event& event = one.event;
        event.head = {one.since_ns, ABI_ROUTE, sizeof(event), static_cast<std::uint16_t>(cpu)};
        sink(bytes_of(event));
        route_total total{};
        total.head = {now_ns, ABI_ROUTE_TOTAL, sizeof(total), 0};
        total.flow = event.flow;
        total.flow.local_port = 0;
        std::memset(total.flow.local, 0, sizeof(total.flow.local));
        total.owner = event.owner;
        total.failed = 1;
        total.error = event.error;
        total.table = event.table;
        total.via = event.via;
        sink(bytes_of(total));
        one.lookup = 0;
        maps.put("undecided", &cpu, &one);
    }
}

void RouteTotals::take(const MapReader& maps, std::uint64_t now_ns, const RecordSink& sink) {
    take_undecided(maps, now_ns, sink);
    maps.each("routes", [&](const void* key, const std::byte* bytes, std::size_t, std::size_t) {
        route_value value;
        std::memcpy(&value, bytes, sizeof(value));
        report(*static_cast<const route_key*>(key), value, now_ns, sink);
    });
    // a failure between the reading above and this is lost, of a destination that had none for a
    // tick
    std::erase_if(x_seen, [&](const auto& one) {
        return one.second.idle && maps.erase("routes", one.first.data());
    });
    maps.each("other_routes", [&](const void*, const std::byte* bytes, std::size_t, std::size_t) {
        route_value value;
        std::memcpy(&value, bytes, sizeof(value));
        value.owner = {};
        report({}, value, now_ns, sink);
    });
}

} // namespace

const Signal route_signal = {"route",
                             "which destinations have no route, and who wants to go there",
                             &elf_of<route_skel>,
                             kHooks,
                             kKinds,
                             [] { return std::unique_ptr<Totals>(new RouteTotals); }};

} // namespace culprit
