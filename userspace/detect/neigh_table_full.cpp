// SPDX-License-Identifier: MIT
// neigh-table-full. Claim: the kernel's table of neighbours is full, so new addresses cannot be
// reached. Evidence: its own count of entries that could not be made (table_fulls; the kernel log
// says "neighbor table overflow"), or packets dropped for want of one. One table per family serves
// all network namespaces, whatever their number. Looks alike: a neighbour that does not answer
// (neigh-failure), a crowded table that still makes room by collecting old entries (info).
#include <netinet/in.h>

#include <algorithm>

#include <fmt/format.h>

#include "abi/neigh.h"
#include "detect/drops.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

/// What is dropped for want of an entry in that family's table.
DropFacts drops_of(const Facts& facts, std::uint32_t family) {
    constexpr std::uint16_t kEthernetIp6 = 0x86dd;
    DropFacts all;
    for (const DropFacts& drops : facts.drops().of("neigh-table-full")) {
        const bool six =
            drops.function().find('6') != std::string_view::npos ||
            (!drops.samples.empty() && drops.samples.front().record.ethertype == kEthernetIp6);
        if (six != (family == AF_INET6))
            continue;
        all.packets += drops.packets;
        if (all.example.empty())
            all.example = drops.example;
        for (const Party& party : drops.affected)
            add_party(all.affected, party);
    }
    return all;
}

std::string sysctl_of(const neigh_total& table) {
    return table.family == AF_INET6 ? "net.ipv6.neigh.default.gc_thresh"
                                    : "net.ipv4.neigh.default.gc_thresh";
}

void add_advice(Finding& finding, const neigh_total& table) {
    const std::string name = sysctl_of(table);
    const std::uint64_t size = std::max<std::uint64_t>(table.gc_thresh3, table.entries);
    constexpr std::uint64_t kMost = 1 << 30; // a sysctl of 31 bits
    std::uint64_t proposed = 1024;           // the kernel's own default
    while (proposed / 4 < size && proposed < kMost)
        proposed *= 2;
    finding.advice.push_back(
        {fmt::format("{}3 is {}, proposed is {}; in the initial network namespace, for all", name,
                     table.gc_thresh3 ? fmt::format("{}", table.gc_thresh3) : "not known here",
                     proposed),
         fmt::format("sysctl -w {0}1={1} {0}2={2} {0}3={3}", name, proposed / 8, proposed / 2,
                     proposed)});
    finding.advice.push_back({"or find what fills it: a subnet that is scanned, or far too large",
                              "ip neigh show | awk '{print $3, $NF}' | sort | uniq -c"});
}

Finding describe(const neigh_total& table, const DropFacts& drops, const Facts& facts) {
    const bool full = table.refused || drops.packets;
    Finding finding{.id = "neigh-table-full", .layer = Layer::kDataLink};
    finding.severity = !full                     ? Severity::kInfo
                       : !drops.affected.empty() ? Severity::kCritical
                                                 : Severity::kWarning;
    finding.confidence = table.refused ? 0.95 : 0.8;
    const char* name = table.family == AF_INET6 ? "IPv6 (ndisc_cache)" : "IPv4 (arp_cache)";
    finding.title = fmt::format(
        "the host's table of {} neighbours is {}{}", name, full ? "full" : "nearly full",
        table.gc_thresh3 ? fmt::format(": {} of {} entries", table.entries, table.gc_thresh3) : "");
    if (!drops.affected.empty())
        finding.title += fmt::format("; {} cannot reach new addresses",
                                     owner_name(drops.affected.front().owner, facts.total.names));
    finding.where.kernel = table.family == AF_INET6 ? "ndisc_cache" : "arp_cache";
    finding.affected = drops.affected;
    finding.first_ns = facts.total.from_ns;
    finding.count = std::max<std::uint64_t>(table.refused, drops.packets);
    finding.rate_per_s = per_second(facts.total, double(finding.count));
    finding.evidence.push_back(
        {fmt::format("{} entries could not be made, {} rounds of forced collection", table.refused,
                     table.forced),
         double(table.refused), "entries", "/proc/net/stat table_fulls"});
    if (drops.packets)
        finding.evidence.push_back(
            {fmt::format("{} packets were dropped for want of an entry{}", drops.packets,
                         drops.example.empty() ? "" : ", for example " + drops.example),
             double(drops.packets), "packets", "kfree_skb NEIGH_CREATEFAIL"});
    add_advice(finding, table);
    finding.verify = "diagnose --only neigh-table-full --for 30s";
    return finding;
}

} // namespace

std::vector<Finding> detect_neigh_table_full(const Facts& facts) {
    std::vector<Finding> findings;
    for (const std::uint32_t family : {AF_INET, AF_INET6}) {
        neigh_total table{};
        table.family = family;
        for (const auto& [row, info] : facts.total.rows<neigh_total>(ABI_NEIGH_TOTAL))
            if (row.family == family)
                table = row;
        const DropFacts drops = drops_of(facts, family);
        const bool crowded =
            table.forced && table.gc_thresh3 &&
            double(table.entries) >= threshold::kNeighCrowded * double(table.gc_thresh3);
        if (table.refused || drops.packets || crowded)
            findings.push_back(describe(table, drops, facts));
    }
    return findings;
}

} // namespace culprit
