// SPDX-License-Identifier: MIT
// rcvbuf-prune. Claim: TCP had to squeeze or throw away what it had received, because a process
// reads too slowly for its receive buffer or the memory for TCP is short. Evidence: the kernel's
// counters of pruning, drops for want of buffer, sockets with a full buffer. Looks alike: loss on
// the way (nothing is pruned); a closed window, where the sender waits and nothing is thrown away.
#include <netinet/in.h>

#include <algorithm>

#include <fmt/format.h>

#include "abi/flow.h"
#include "detect/receivers.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

struct Pruning {
    std::uint32_t netns = 0;
    std::uint64_t calls = 0;     // the queue was over its buffer
    std::uint64_t collapsed = 0; // segments copied together to save room
    std::uint64_t lost = 0;      // segments thrown away
    std::uint64_t pressure = 0;  // times the memory of all TCP sockets ran short
};

Pruning pruning_in(const Window& total, std::uint32_t netns, const DropFacts& drops) {
    const auto count = [&](std::size_t index) { return grown(total, netns, index); };
    Pruning pruning{.netns = netns};
    pruning.calls = count(counter("TcpExt.PruneCalled"));
    pruning.collapsed = count(counter("TcpExt.TCPRcvCollapsed"));
    pruning.lost =
        std::max(count(counter("TcpExt.RcvPruned")) + count(counter("TcpExt.OfoPruned")) +
                     count(counter("TcpExt.TCPRcvQDrop")) + count(counter("TcpExt.TCPOFODrop")) +
                     count(counter("TcpExt.TCPBacklogDrop")),
                 drops.packets);
    pruning.pressure = count(counter("TcpExt.TCPMemoryPressures"));
    return pruning;
}

double fill_of(const receiver_total& row) {
    return row.rcvbuf ? double(row.memory_bytes) / double(row.rcvbuf) : 0;
}

/// Whose buffer is fullest. Those of dropped packets come first: they are certain.
std::optional<receiver_total> fullest(const Window& total, std::uint32_t netns) {
    std::optional<receiver_total> most;
    for (const auto& [row, info] : total.rows<receiver_total>(ABI_RECEIVER_TOTAL))
        if (row.flow.netns == netns && row.flow.protocol == IPPROTO_TCP &&
            fill_of(row) >= threshold::kPruneFull && (!most || fill_of(row) > fill_of(*most)))
            most = row;
    return most;
}

/// Who left most of his buffer unread, clearly more than anybody else there, whenever his
/// connections were looked at.
Party slowest_reader(const Window& total, std::uint32_t netns) {
    constexpr double kClearly = 2;
    Party slowest;
    double most = 0, next = 0;
    for (const auto& [flow, info] : total.rows<flow_total>(ABI_FLOW_TOTAL)) {
        if (flow.flow.netns != netns || !flow.rcvbuf)
            continue;
        const double unread = double(flow.unread) / double(flow.rcvbuf);
        next = std::max(next, std::min(most, unread));
        if (unread <= most)
            continue;
        most = unread;
        slowest = {flow.owner, netns};
    }
    return most > kClearly * next ? slowest : Party{};
}

Party reader_of(const std::optional<receiver_total>& full, const DropFacts& drops,
                const Window& total, std::uint32_t netns) {
    for (const Party& party : drops.affected)
        if (party.owner.tgid)
            return party;
    return full ? Party{full->owner, netns} : slowest_reader(total, netns);
}

void add_evidence(Finding& finding, const Pruning& pruning,
                  const std::optional<receiver_total>& full) {
    finding.evidence.push_back(
        {fmt::format("receive queues were over their buffer {} times; {} segments were copied "
                     "together to save room, {} thrown away",
                     pruning.calls, pruning.collapsed, pruning.lost),
         double(pruning.calls), "times",
         "TcpExt.PruneCalled, TCPRcvCollapsed, RcvPruned, TCPRcvQDrop, TCPBacklogDrop"});
    if (full)
        finding.evidence.push_back(
            {fmt::format("{} bytes unread at {}, {} of its {} bytes of buffer in use",
                         full->unread_bytes, endpoint(full->flow, true), full->memory_bytes,
                         full->rcvbuf),
             fill_of(*full), "ratio", "sk_rmem_alloc"});
    if (pruning.pressure)
        finding.evidence.push_back(
            {fmt::format("the memory for TCP ran short {} times", pruning.pressure),
             double(pruning.pressure), "times", "TcpExt.TCPMemoryPressures"});
}

Finding describe(const Pruning& pruning, const DropFacts& drops, const Window& total) {
    const auto full = fullest(total, pruning.netns);
    const Party reader = reader_of(full, drops, total, pruning.netns);
    Finding finding{.id = "rcvbuf-prune"};
    finding.severity =
        pruning.lost >= threshold::kPruneLostCritical ? Severity::kCritical : Severity::kWarning;
    finding.confidence = reader.owner.tgid ? 0.9 : 0.7;
    const bool stopped = full && full->stopped;
    finding.title = reader.owner.tgid
                        ? fmt::format("{} {}", owner_name(reader.owner, total.names),
                                      stopped ? "is stopped and does not read its TCP connections"
                                              : "reads too slowly for its TCP receive buffer")
                        : std::string("TCP receive buffers overflow");
    finding.culprit = reader;
    finding.where = {.local = full ? endpoint(full->flow, true) : "",
                     .remote = full ? endpoint(full->flow, false) : "",
                     .kernel = drops.symbol,
                     .reason = drops.reason,
                     .netns = pruning.netns};
    finding.first_ns = drops.first_ns ? drops.first_ns : total.from_ns;
    finding.count = std::max(pruning.calls, pruning.lost);
    finding.rate_per_s = per_second(total, double(finding.count));
    add_evidence(finding, pruning, full);
    finding.advice.push_back({"let it read faster, or leave the buffer to the kernel: a size set "
                              "with SO_RCVBUF never grows",
                              fmt::format("{}ss -tnmp", in_netns(pruning.netns, total.names))});
    if (pruning.pressure)
        finding.advice.push_back({"or allow TCP more memory", "sysctl net.ipv4.tcp_mem"});
    finding.verify = verify_in_netns(finding);
    return finding;
}

/// Now and then a queue is squeezed on any busy host: segments thrown away hurt, and so does
/// squeezing all the time.
bool is_fault(const Pruning& pruning, const Window& total) {
    const double calls = per_second(total, double(pruning.calls));
    const double segments = double(grown(total, pruning.netns, counter("Tcp.InSegs")));
    return pruning.lost >= threshold::kPruneLostMin ||
           (calls >= threshold::kPrunePerSecond && segments > 0 &&
            double(pruning.collapsed) / segments >= threshold::kPruneShare);
}

} // namespace

std::vector<Finding> detect_rcvbuf_prune(const Facts& facts) {
    auto places = drops_by_netns(facts, "rcvbuf-prune");
    std::vector<Finding> findings;
    for (const auto& [netns, counters] : facts.total.counters) {
        const DropFacts& drops = places[netns];
        const Pruning pruning = pruning_in(facts.total, netns, drops);
        if (is_fault(pruning, facts.total))
            findings.push_back(describe(pruning, drops, facts.total));
    }
    return findings;
}

} // namespace culprit
