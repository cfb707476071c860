// SPDX-License-Identifier: MIT
// udp-rcvbuf-overflow. Claim: datagrams are lost because a process reads its UDP socket too slowly,
// or not at all. Evidence: drops for want of receive buffer, by the socket they were for; what each
// socket refused between two looks; Udp.RcvbufErrors. Looks alike: a closed port
// (udp-port-unreachable), corruption (csum-errors), loss on the way; a burst that fits the buffer
// is no loss.
#include <netinet/in.h>

#include <algorithm>
#include <tuple>

#include <fmt/format.h>

#include "detect/receivers.h"
#include "detect/sockets.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

/// One process at one port of one namespace.
struct Reader {
    abi_flow flow{}; // of its socket
    abi_owner owner{};
    std::uint64_t drops = 0, sampled = 0, first_ns = 0;
    std::uint64_t rcvbuf = 0, memory_bytes = 0;
    bool stopped = false, looked_at = false;
    Tally sources;
};

using Key = std::tuple<std::uint16_t, std::uint32_t, std::uint64_t>; // port, process
using Readers = std::map<Key, Reader>;

void add_sockets(const Window& total, std::uint32_t netns, Readers& readers) {
    for (const auto& [row, info] : total.rows<receiver_total>(ABI_RECEIVER_TOTAL)) {
        if (row.flow.netns != netns || row.flow.protocol != IPPROTO_UDP || !row.drops)
            continue;
        Reader& reader = readers[{row.flow.local_port, row.owner.tgid, row.owner.start_ns}];
        reader.flow = row.flow;
        reader.owner = row.owner;
        reader.drops += row.drops;
        reader.rcvbuf = std::max<std::uint64_t>(reader.rcvbuf, row.rcvbuf);
        reader.memory_bytes = std::max<std::uint64_t>(reader.memory_bytes, row.memory_bytes);
        reader.stopped = reader.stopped || row.stopped;
        reader.looked_at = true;
    }
}

/// Of the sample's process, or the only one at its port when that is not known.
Reader& reader_of(const drop_event& drop, Readers& readers) {
    const Key own = {drop.flow.remote_port, drop.owner.tgid, drop.owner.start_ns};
    if (!drop.owner.tgid) {
        const auto at_port = [&](const auto& r) {
            return std::get<0>(r.first) == drop.flow.remote_port;
        };
        const auto first = std::ranges::find_if(readers, at_port);
        if (first != readers.end() && std::ranges::count_if(readers, at_port) == 1)
            return first->second;
    }
    Reader& reader = readers[own];
    if (!reader.flow.family) {
        reader.flow = drop.flow;
        std::swap(reader.flow.local, reader.flow.remote);
        std::swap(reader.flow.local_port, reader.flow.remote_port);
        reader.owner = drop.owner;
    }
    return reader;
}

void add_samples(const DropFacts& drops, Readers& readers) {
    std::uint64_t samples = 0;
    for (const auto& [drop, info] : drops.samples) {
        if (!drop.flow.family)
            continue;
        Reader& reader = reader_of(drop, readers);
        reader.first_ns =
            reader.first_ns ? std::min(reader.first_ns, info.first_ns) : info.first_ns;
        reader.sampled += info.count;
        samples += info.count;
        reader.sources.add(address(drop.flow, true), info.count);
    }
    for (auto& [key, reader] : readers)
        if (!reader.looked_at && samples) // closed before the last look: its share of the samples
            reader.drops = drops.packets * reader.sampled / samples;
}

std::string title_of(const Reader& reader, const Window& total) {
    const std::string who = owner_name(reader.owner, total.names);
    const std::string at = endpoint(reader.flow, true);
    if (reader.stopped)
        return fmt::format("{} is stopped and does not read its UDP socket {}", who, at);
    return fmt::format("{} reads its UDP socket {} too slowly", who, at);
}

void add_advice(Finding& finding, const Reader& reader, const Window& total) {
    if (reader.stopped)
        finding.advice.push_back({"let it run again, or find out who stopped it",
                                  fmt::format("kill -CONT {}", reader.owner.tgid)});
    else
        finding.advice.push_back(
            {"let it read faster: several datagrams per call (recvmmsg), less work between two "
             "reads, more threads with SO_REUSEPORT",
             ""});
    const auto limit = host_limit(total, gauge("rmem_max"));
    finding.advice.push_back(
        {fmt::format("a larger buffer bridges bursts only{}{}",
                     reader.rcvbuf ? fmt::format("; this one is {} bytes", reader.rcvbuf) : "",
                     limit ? fmt::format(", setsockopt(SO_RCVBUF) gives up to {}", 2 * *limit)
                           : ""),
         limit ? fmt::format("sysctl -w net.core.rmem_max={}", 4 * *limit) : ""});
}

void add_evidence(Finding& finding, const Reader& reader, const DropFacts& drops,
                  const Window& total) {
    finding.evidence.push_back(
        {fmt::format("{} datagrams lost for want of receive buffer, {:.1f} per second",
                     finding.count, finding.rate_per_s),
         double(finding.count), "datagrams", reader.looked_at ? "sk_drops" : "kfree_skb"});
    if (reader.rcvbuf)
        finding.evidence.push_back({fmt::format("its buffer held {} of {} bytes when looked at",
                                                reader.memory_bytes, reader.rcvbuf),
                                    double(reader.memory_bytes) / double(reader.rcvbuf), "ratio",
                                    "sk_rmem_alloc"});
    if (!reader.sources.counts.empty())
        finding.evidence.push_back(
            {"they come from " + reader.sources.text(), std::nullopt, "", "kfree_skb"});
    const UdpGrowth counted = udp_growth(total, finding.where.netns);
    finding.evidence.push_back(
        {fmt::format("the namespace counts {} such errors, {} datagrams were delivered",
                     counted.rcvbuf, counted.delivered),
         double(counted.rcvbuf), "datagrams", "Udp.RcvbufErrors"});
    finding.where.kernel = drops.symbol;
    finding.where.reason = drops.reason;
}

Finding describe(const Reader& reader, const DropFacts& drops, const Window& total,
                 std::uint32_t netns) {
    const std::uint64_t delivered = udp_growth(total, netns).delivered;
    const double share = double(reader.drops) / double(reader.drops + delivered);
    const double rate = per_second(total, double(reader.drops));
    Finding finding{.id = "udp-rcvbuf-overflow"};
    const bool often = share >= threshold::kUdpLostShare || rate >= threshold::kUdpLostPerSecond;
    finding.severity = reader.stopped || share >= threshold::kUdpLostCritical ? Severity::kCritical
                       : often                                                ? Severity::kWarning
                                                                              : Severity::kInfo;
    finding.confidence = reader.owner.tgid ? 0.95 : 0.8;
    finding.title = fmt::format("{}: {} datagrams lost", title_of(reader, total), reader.drops);
    finding.culprit = Party{reader.owner, netns};
    finding.where.netns = netns;
    finding.where.local = endpoint(reader.flow, true);
    finding.first_ns = reader.first_ns ? reader.first_ns : total.from_ns;
    finding.count = reader.drops;
    finding.rate_per_s = rate;
    add_evidence(finding, reader, drops, total);
    add_advice(finding, reader, total);
    finding.verify = fmt::format("diagnose --only udp-rcvbuf-overflow --port {} --for 30s",
                                 reader.flow.local_port);
    return finding;
}

/// Not one socket's buffer but the memory of all of them (udp_mem) was used up.
Finding describe_memory(std::uint64_t refused, std::uint32_t netns, const Window& total) {
    Finding finding{.id = "udp-rcvbuf-overflow", .severity = Severity::kCritical};
    const auto high = host_limit(total, gauge("udp_mem.high"));
    const auto used = gauge_of(total, netns, gauge("UDP.mem"));
    finding.confidence = 0.9;
    finding.title = fmt::format("the host's memory for UDP is used up: {} datagrams lost", refused);
    finding.where = {.reason = "PROTO_MEM", .netns = netns};
    finding.first_ns = total.from_ns;
    finding.count = refused;
    finding.rate_per_s = per_second(total, double(refused));
    finding.evidence.push_back({fmt::format("{} datagrams refused for want of memory", refused),
                                double(refused), "datagrams", "Udp.MemErrors"});
    if (used && high)
        finding.evidence.push_back({fmt::format("{} of {} pages in use at the end", *used, *high),
                                    double(*used) / double(*high), "ratio",
                                    "sockstat UDP mem, udp_mem"});
    finding.advice.push_back({"find the sockets that hold it: their processes do not read",
                              in_netns(netns, total.names) + "ss -lunmp"});
    if (high)
        finding.advice.push_back(
            {"or allow more pages", fmt::format("sysctl -w net.ipv4.udp_mem='{} {} {}'", *high,
                                                *high * 3 / 2, *high * 2)});
    finding.verify = verify_in_netns(finding);
    return finding;
}

void detect_in(const DropFacts& drops, std::uint32_t netns, const Window& total,
               std::vector<Finding>& findings) {
    const UdpGrowth counted = udp_growth(total, netns);
    if (counted.memory >= threshold::kUdpLostMin)
        findings.push_back(describe_memory(counted.memory, netns, total));
    const std::uint64_t lost = std::max(drops.packets, counted.rcvbuf);
    Readers readers;
    add_sockets(total, netns, readers);
    add_samples(drops, readers);
    for (auto& [key, reader] : readers) {
        reader.drops = std::min(reader.drops, lost); // sockets count other drops too
        if (reader.drops >= threshold::kUdpLostMin)
            findings.push_back(describe(reader, drops, total, netns));
    }
}

} // namespace

std::vector<Finding> detect_udp_rcvbuf_overflow(const Facts& facts) {
    auto places = drops_by_netns(facts, "udp-rcvbuf-overflow");
    for (const auto& [netns, counters] : facts.total.counters)
        if (const UdpGrowth counted = udp_growth(facts.total, netns);
            counted.rcvbuf || counted.memory)
            places[netns].at.netns = netns; // kernels without reasons
    std::vector<Finding> findings;
    for (const auto& [netns, drops] : places)
        detect_in(drops, netns, facts.total, findings);
    return findings;
}

} // namespace culprit
