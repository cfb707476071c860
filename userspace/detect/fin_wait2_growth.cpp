// SPDX-License-Identifier: MIT
// fin-wait2-growth. Claim: peers acknowledge that this side closed, and do not close themselves.
// Evidence: sockets in FIN_WAIT2 for seconds. Looks alike: a peer on this host that leaks its
// sockets in CLOSE_WAIT (close-wait-leak is the cause and this is not reported).
#include <netinet/tcp.h>

#include <map>

#include <fmt/format.h>

#include "detect/closing.h"
#include "detect/sockets.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

/// By namespace, role and both ends.
std::map<std::string, ClosingGroup> collect(const Window& total) {
    std::map<std::string, ClosingGroup> found;
    for (const auto& [row, info] : total.rows<socket_total>(ABI_SOCKET_TOTAL))
        if (row.state == TCP_FIN_WAIT2)
            found[fmt::format("{} {} {} {}", row.flow.netns, row.role, endpoint(row.flow, true),
                              endpoint(row.flow, false))]
                .add(row, info);
    return found;
}

Finding describe(const Window& total, const ClosingGroup& group) {
    Finding finding = closing_finding("fin-wait2-growth", group, total);
    finding.confidence = 0.9;
    add_party(finding.affected, {group.owner, group.largest.netns});
    finding.severity =
        group.at_end > threshold::kFinWait2Many ? Severity::kWarning : Severity::kInfo;
    const std::string& peer = finding.where.remote;
    finding.title = fmt::format("{} does not close {} connections that this side closed",
                                peer.empty() ? "the peer" : peer, group.at_end);
    finding.evidence.push_back(
        {fmt::format("{} sockets in FIN_WAIT2, {} when the run began; {} for at least {}",
                     group.at_end, group.at_begin, group.aged, duration(SOCKET_AGED_NS)),
         double(group.at_end), "sockets", "iter/tcp"});
    finding.evidence.push_back({fmt::format("the oldest for {}", duration(group.oldest_ns)),
                                double(group.oldest_ns) / 1e9, "seconds", "iter/tcp"});
    const auto timeout = gauge_of(total, group.largest.netns, gauge("tcp_fin_timeout"));
    finding.advice.push_back({"repair the peer: it must close() when read() returns 0", ""});
    if (timeout && *timeout > threshold::kFinTimeoutProposed)
        finding.advice.push_back(
            {fmt::format("what this side has closed for good goes after tcp_fin_timeout: {} s now, "
                         "proposed is {} s",
                         *timeout, threshold::kFinTimeoutProposed),
             fmt::format("{}sysctl -w net.ipv4.tcp_fin_timeout={}",
                         in_netns(group.largest.netns, total.names),
                         threshold::kFinTimeoutProposed)});
    return finding;
}

} // namespace

std::vector<Finding> detect_fin_wait2_growth(const Facts& facts) {
    std::vector<Finding> findings;
    for (const auto& [key, group] : collect(facts.total)) {
        if (group.aged < threshold::kFinWait2Min)
            continue;
        if (2 * peers_in_close_wait(facts.total, group) < group.at_end)
            findings.push_back(describe(facts.total, group));
    }
    return findings;
}

} // namespace culprit
