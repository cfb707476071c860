// SPDX-License-Identifier: MIT
// orphans. Claim: connections that no process has any more hold data their peer does not take.
// Evidence: sockets without a file in FIN_WAIT1, CLOSING or LAST_ACK with unsent data, for seconds;
// the host's limit of them. Looks alike: closing over a long path (gone after a round trip), loss
// (its probes look like retransmissions).
#include <netinet/tcp.h>

#include <map>

#include <fmt/format.h>

#include "detect/closing.h"
#include "detect/sockets.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

/// By namespace and peer.
std::map<std::string, ClosingGroup> collect(const Window& total) {
    std::map<std::string, ClosingGroup> found;
    for (const auto& [row, info] : total.rows<socket_total>(ABI_SOCKET_TOTAL))
        if (row.keeper == ABI_KEEPER_ORPHAN && row.unsent_bytes)
            found[fmt::format("{} {}", row.flow.netns, address(row.flow, false))].add(row, info);
    return found;
}

/// Of the whole host, whichever namespace was asked.
double limit_share(const Window& total, std::uint32_t netns) {
    const auto used = gauge_of(total, netns, gauge("TCP.orphan"));
    const auto limit = gauge_of(total, netns, gauge("tcp_max_orphans"));
    return used && limit && *limit ? double(*used) / double(*limit) : 0;
}

Finding describe(const Window& total, const ClosingGroup& group, double share) {
    Finding finding = closing_finding("orphans", group, total);
    finding.confidence = 0.9;
    add_party(finding.affected, {group.owner, group.largest.netns});
    finding.severity = share >= threshold::kLimitHigh ? Severity::kCritical : Severity::kWarning;
    const std::string peer = finding.where.remote.empty() ? "peers" : address(group.largest, false);
    finding.title =
        fmt::format("{} does not take the last data of {} closed connections", peer, group.at_end);
    finding.evidence.push_back(
        {fmt::format("{} sockets without a file hold {} unsent bytes, {} when the run began",
                     group.at_end, group.unsent_bytes, group.at_begin),
         double(group.unsent_bytes), "bytes", "iter/tcp"});
    finding.evidence.push_back({fmt::format("{} of them for at least {}, the oldest for {}; {} "
                                            "bytes of memory",
                                            group.aged, duration(SOCKET_AGED_NS),
                                            duration(group.oldest_ns), group.memory_bytes),
                                double(group.oldest_ns) / 1e9, "seconds", "iter/tcp"});
    if (share > 0)
        finding.evidence.push_back(
            {fmt::format("orphans of this host are {} of tcp_max_orphans", percent(share)), share,
             "ratio", "sockstat"});
    finding.advice.push_back(
        {"find out why the peer does not read; the kernel gives up after tcp_orphan_retries",
         in_netns(group.largest.netns, total.names) +
             "ss -tno state fin-wait-1 state last-ack state closing"});
    return finding;
}

} // namespace

std::vector<Finding> detect_orphans(const Facts& facts) {
    std::vector<Finding> findings;
    for (const auto& [key, group] : collect(facts.total)) {
        const double share = limit_share(facts.total, group.largest.netns);
        const bool many = group.aged >= threshold::kOrphansMin;
        const bool full = group.aged && share >= threshold::kLimitHigh;
        if (many || full)
            findings.push_back(describe(facts.total, group, share));
    }
    return findings;
}

} // namespace culprit
