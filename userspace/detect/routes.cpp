// SPDX-License-Identifier: MIT
// A refused call is known by its lookup (fib_table_lookup), a refused packet by its drop; the
// lookup of a received packet tells which kind of route refused it.
#include "detect/routes.h"

#include <netinet/in.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "abi/dns.h"
#include "abi/retransmit.h"
#include "detect/flows.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

using ProcessId = std::pair<std::uint32_t, std::uint64_t>;

/// What else a process tried and reached.
struct Attempts {
    std::uint64_t connected = 0;
    std::map<std::pair<std::uint8_t, std::uint16_t>, std::uint64_t> tried; // by family and port
    std::map<std::string, std::uint64_t> reached;                          // by destination
    std::set<std::uint16_t> asked; // ports of name servers that answered
};

std::map<ProcessId, Attempts> attempts_of(const Window& total) {
    std::map<ProcessId, Attempts> all;
    for (const auto& [attempt, info] : total.rows<connect_event>(ABI_CONNECT)) {
        Attempts& one = all[{attempt.owner.tgid, attempt.owner.start_ns}];
        one.tried[{attempt.flow.family, attempt.flow.remote_port}] += info.count;
        if (attempt.result == ABI_RESULT_OK) {
            one.connected += info.count;
            one.reached[destination(attempt.flow)] += info.count;
        }
    }
    // those that still wait for an answer
    for (const auto& [again, info] : total.rows<retransmit_event>(ABI_RETRANSMIT))
        if (again.type == ABI_RETRANSMIT_SYN)
            all[{again.owner.tgid, again.owner.start_ns}]
                .tried[{again.flow.family, again.flow.remote_port}]++;
    for (const auto& [row, info] : total.rows<dns_total>(ABI_DNS_TOTAL))
        if (row.role == DNS_CLIENT && row.counts.answers)
            all[{row.owner.tgid, row.owner.start_ns}].asked.insert(row.flow.remote_port);
    return all;
}

std::uint64_t counted(const Window& total, std::uint32_t netns, std::size_t index) {
    const auto it = total.counters.find(netns);
    return it == total.counters.end() ? 0 : it->second.growth[index];
}

/// IPv4 datagrams only: the kernel counts IPv6 apart.
bool sends_by_ipv4(const route_total& row, const Window& total) {
    return row.flow.family == AF_INET6 &&
           counted(total, row.flow.netns, counter("Udp.OutDatagrams")) >= row.failed;
}

/// getaddrinfo() connects datagram sockets to the addresses it was told, to put them in order
/// (RFC 6724 section 6), and sends nothing. With the port of the service where it was given one, so
/// that what tells it is who calls: a process that has just asked a name server, or connects by
/// TCP. Who connects to send to a fixed address does neither.
bool orders_addresses(const route_total& row, const Attempts& attempts) {
    if (row.via != ABI_ROUTE_CONNECT)
        return false;
    const std::uint16_t port = row.flow.remote_port;
    return !port || attempts.connected ||
           (!attempts.asked.empty() && !attempts.asked.contains(port));
}

bool has_another_way(const route_total& row, const Attempts& attempts, const Window& total) {
    const auto other = static_cast<std::uint8_t>(row.flow.family == AF_INET ? AF_INET6 : AF_INET);
    if (row.flow.protocol == IPPROTO_TCP) {
        const auto it = attempts.tried.find({other, row.flow.remote_port});
        return it != attempts.tried.end() && 2 * it->second >= row.failed;
    }
    return orders_addresses(row, attempts) || sends_by_ipv4(row, total);
}

Refused refused_by(std::uint32_t error) {
    switch (error) {
    case EINVAL:
        return Refused::kBlackhole;
    case EACCES:
        return Refused::kProhibit;
    case EHOSTUNREACH:
        return Refused::kUnreachable;
    default:
        return Refused::kNoRoute;
    }
}

Refused refused_by(const Refusal& refusal) {
    constexpr std::uint8_t kBlackhole = 6, kProhibit = 8; // linux/rtnetlink.h: RTN_*
    return refusal.type == kBlackhole  ? Refused::kBlackhole
           : refusal.type == kProhibit ? Refused::kProhibit
                                       : Refused::kUnreachable;
}

bool covers(const Refusal& refusal, const abi_flow& flow) {
    if (refusal.family != flow.family || refusal.length > 8 * sizeof(flow.remote))
        return false;
    for (unsigned bit = 0; bit < refusal.length; bit++) {
        const unsigned mask = 0x80U >> (bit % 8);
        if ((refusal.prefix[bit / 8] ^ flow.remote[bit / 8]) & mask)
            return false;
    }
    return true;
}

/// The most special refusal of that destination among those that fit.
template <typename Fits>
const Refusal* covering(const Routing& routing, const abi_flow& flow, const Fits& fits) {
    const Refusal* best = nullptr;
    for (const Refusal& one : routing.refusals)
        if (fits(one) && covers(one, flow) && (!best || one.length >= best->length))
            best = &one;
    return best;
}

const Refusal* covering(const Routing& routing, const abi_flow& flow) {
    return covering(routing, flow, [](const Refusal&) { return true; });
}

/// The route that refuses that destination with that answer. A rule refuses without a lookup, so
/// all that is known of it is that nothing was found.
const Refusal* refusal_for(const Window& total, const abi_flow& flow, Refused why) {
    const Routing* routing = routing_of(total, flow.netns);
    if (!routing)
        return nullptr;
    return covering(*routing, flow, [&](const Refusal& one) {
        return one.rule ? why == Refused::kNoRoute : refused_by(one) == why;
    });
}

/// What the lookups of received packets answered, by destination.
std::map<std::string, Refused> answers(const Window& total) {
    std::map<std::string, Refused> all;
    for (const auto& [row, info] : total.rows<route_total>(ABI_ROUTE_TOTAL))
        if (row.via == ABI_ROUTE_RECEIVED)
            all[address(row.flow, false)] = refused_by(row.error);
    return all;
}

Refused why_dropped(const DropFacts& drops, const std::map<std::string, Refused>& answered,
                    const Routing* routing) {
    if (drops.reason == "IP_INADDRERRORS")
        return Refused::kForwardingOff;
    for (const auto& [sample, info] : drops.samples)
        if (const auto it = answered.find(address(sample.flow, false)); it != answered.end())
            return it->second;
    // what this host sends itself is dropped for one reason, whatever the route says
    if (drops.reason == "IP_OUTNOROUTES")
        for (const auto& [sample, info] : drops.samples)
            if (const Refusal* refusal = routing ? covering(*routing, sample.flow) : nullptr)
                return refused_by(*refusal);
    if (drops.reason == "IP_INNOROUTES" || drops.reason == "IP_OUTNOROUTES")
        return Refused::kNoRoute;
    // kernels without reasons
    if (routing && !routing->devices.empty()) {
        const auto device = routing->devices.find(drops.main_device());
        if (device != routing->devices.end() && !device->second.forwarding)
            return Refused::kForwardingOff;
    }
    return drop_class(drops.reason, drops.function()) == "blackhole-route" ? Refused::kBlackhole
                                                                           : Refused::kNoRoute;
}

bool is_fault(const RefusedCalls& calls, const Window& total) {
    const std::uint64_t failed = calls.callers.all;
    return failed >= threshold::kNoRouteMin &&
           per_second(total, double(failed)) >= threshold::kNoRoutePerSecond &&
           double(failed) >= threshold::kNoRouteShare * double(failed + calls.connected);
}

std::string_view most(const std::map<std::string, std::uint64_t>& counts) {
    const auto it = std::ranges::max_element(counts, {}, [](const auto& c) { return c.second; });
    return it == counts.end() ? std::string_view() : std::string_view(it->first);
}

} // namespace

const Routing* routing_of(const Window& total, std::uint32_t netns) {
    const auto it = total.names.routing.find(netns);
    return it == total.names.routing.end() ? nullptr : &it->second;
}

std::vector<RefusedCalls> refused_calls(const Window& total) {
    const auto attempts = attempts_of(total);
    std::map<std::tuple<std::uint32_t, std::string, std::uint32_t>, RefusedCalls> found;
    for (const auto& [row, info] : total.rows<route_total>(ABI_ROUTE_TOTAL)) {
        if (row.via == ABI_ROUTE_RECEIVED || !row.flow.family || is_to_many(row.flow))
            continue;
        const auto it = attempts.find({row.owner.tgid, row.owner.start_ns});
        const Attempts& others = it == attempts.end() ? Attempts{} : it->second;
        if (has_another_way(row, others, total))
            continue;
        RefusedCalls& calls = found[{row.flow.netns, address(row.flow, false), row.error}];
        if (!calls.to.family || row.failed > calls.callers.all)
            calls.to = row.flow;
        calls.why = refused_by(row.error);
        calls.callers.add(row.owner, row.failed, info.first_ns);
        const auto reached = others.reached.find(destination(row.flow));
        calls.connected += reached == others.reached.end() ? 0 : reached->second;
        calls.first_ns = calls.first_ns ? std::min(calls.first_ns, info.first_ns) : info.first_ns;
        calls.sends = calls.sends || row.via == ABI_ROUTE_SEND;
    }
    std::vector<RefusedCalls> out;
    for (auto& [key, calls] : found) {
        if (!is_fault(calls, total))
            continue;
        if (const Refusal* refusal = refusal_for(total, calls.to, calls.why)) {
            calls.by = refusal_text(*refusal);
            calls.why = refused_by(*refusal);
        }
        calls.callers.sort();
        out.push_back(std::move(calls));
    }
    return out;
}

std::vector<RefusedPackets> refused_packets(const Facts& facts) {
    const auto answered = answers(facts.total);
    std::vector<RefusedPackets> out;
    for (const char* id : {"no-route", "blackhole-route", "forwarding-disabled"})
        for (DropFacts& drops : facts.drops().of(id)) {
            RefusedPackets packets;
            packets.why = why_dropped(drops, answered, routing_of(facts.total, drops.at.netns));
            for (const auto& [sample, info] : drops.samples)
                if (const Refusal* refusal = refusal_for(facts.total, sample.flow, packets.why);
                    refusal && packets.by.empty())
                    packets.by = refusal_text(*refusal);
            packets.drops = std::move(drops);
            out.push_back(std::move(packets));
        }
    return out;
}

Finding refused_calls_finding(const char* id, const RefusedCalls& calls, const Window& total) {
    const std::uint64_t failed = calls.callers.all;
    const double share = double(failed) / double(failed + calls.connected);
    Finding finding{.id = id,
                    .layer = Layer::kNetwork,
                    .severity = share >= 0.9 ? Severity::kCritical : Severity::kWarning,
                    .confidence = 0.95};
    const Share& first = calls.callers.parts.front();
    finding.culprit = Party{first.owner, calls.to.netns};
    for (const Share& other : calls.callers.parts)
        if (!same_process(other.owner, first.owner))
            add_party(finding.affected, {other.owner, calls.to.netns});
    finding.where = {.remote = endpoint(calls.to, false), .netns = calls.to.netns};
    finding.first_ns = calls.first_ns;
    finding.count = failed;
    finding.rate_per_s = per_second(total, double(failed));
    finding.evidence.push_back(
        {fmt::format("{} of {} {} to {} failed at the route lookup, before a packet was sent",
                     failed, failed + calls.connected, calls.sends ? "calls" : "connects",
                     address(calls.to, false)),
         share, "ratio", "fib_table_lookup"});
    finding.evidence.push_back({!calls.by.empty() ? "that namespace has a " + calls.by
                                : calls.why == Refused::kNoRoute
                                    ? "no route or rule for it in that namespace"
                                    : "which route or rule it is could not be read",
                                std::nullopt, "", "rtnetlink"});
    finding.verify =
        fmt::format("diagnose --only {} --addr {} --for 30s", id, address(calls.to, false));
    return finding;
}

std::uint64_t waiting_attempts(const DropFacts& drops) {
    constexpr unsigned kSyn = 2, kAck = 16;
    return static_cast<std::uint64_t>(std::ranges::count_if(drops.samples, [](const auto& row) {
        return row.record.flow.protocol == IPPROTO_TCP &&
               (row.record.tcp_flags & (kSyn | kAck)) == kSyn &&
               row.info.count >= threshold::kWaitingPackets;
    }));
}

bool is_awaited(const DropFacts& drops) {
    return waiting_attempts(drops) >= threshold::kWaitingMin;
}

/// Of the packets, those for somebody in particular: of a broadcast nobody misses one.
double for_one(const DropFacts& drops) {
    std::uint64_t all = 0, one = 0;
    for (const auto& [sample, info] : drops.samples) {
        all += info.count;
        one += is_to_many(sample.flow) ? 0 : info.count;
    }
    return all ? double(drops.packets) * double(one) / double(all) : double(drops.packets);
}

bool is_much(const DropFacts& drops, const Window& total) {
    const std::uint64_t received = counted(total, drops.at.netns, counter("Ip.InReceives"));
    const double missed = for_one(drops);
    return missed >= double(threshold::kDropInfoMin) &&
           missed >= threshold::kDropReceivedShare * double(received);
}

std::string main_source(const DropFacts& drops) {
    std::map<std::string, std::uint64_t> counts;
    for (const auto& [sample, info] : drops.samples)
        if (sample.flow.family)
            counts[address(sample.flow, true)] += info.count;
    return std::string(most(counts));
}

std::string main_destination(const DropFacts& drops) {
    std::map<std::string, std::uint64_t> counts;
    for (const auto& [sample, info] : drops.samples)
        if (sample.flow.family)
            counts[endpoint(sample.flow, false)] += info.count;
    return std::string(most(counts));
}

std::optional<Finding> refused_packets_finding(const char* id, const RefusedPackets& packets,
                                               std::string title, std::vector<Advice> advice,
                                               const Window& total) {
    const DropStory story{.id = id,
                          .layer = Layer::kNetwork,
                          .title = std::move(title),
                          .advice = std::move(advice),
                          .needed = is_awaited(packets.drops)};
    auto finding = drop_finding(story, packets.drops, total);
    if (!finding)
        return finding;
    finding->where.remote = main_destination(packets.drops);
    if (!packets.by.empty())
        finding->evidence.push_back(
            {"that namespace has a " + packets.by, std::nullopt, "", "rtnetlink"});
    if (const std::uint64_t waiting = waiting_attempts(packets.drops))
        finding->evidence.push_back(
            {fmt::format("{} connection attempts repeat their SYN and lose it here", waiting),
             double(waiting), "attempts", "kfree_skb"});
    return finding;
}

} // namespace culprit
