// SPDX-License-Identifier: MIT
// reordering. Claim: the path delivers segments in another order than they were sent, so senders
// repeat what was not lost and slow down. Evidence: times the senders' sockets saw it (by SACK or
// timestamps), that hardly anything of what was repeated was lost. Looks alike: loss (what is
// repeated is not reported as a duplicate), duplication (duplicates that nobody repeated), the odd
// reordering of any path with several lanes (a share below one in a thousand).
#include <fmt/format.h>

#include "detect/path_trouble.h"
#include "detect/receivers.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

bool is_fault(const PathTrouble& path) {
    using namespace threshold;
    return path.reordered >= kReorderMin &&
           double(path.reordered) >= kReorderShare * double(path.segs_out) &&
           double(path.lost()) <= kReorderReal * double(path.reordered);
}

Finding describe(const PathTrouble& path, const Window& total) {
    const double share = FlowFacts::ratio(path.reordered, path.segs_out);
    Finding finding = path_finding("reordering", path, path.reordered, total);
    finding.severity = Severity::kWarning;
    finding.confidence = 0.85;
    finding.title = fmt::format("segments to {} arrive out of order, {} times in {} sent",
                                path.peer_text(), path.reordered, path.segs_out);
    finding.evidence.push_back({fmt::format("senders saw it {} times, {} of the segments sent",
                                            path.reordered, percent(share)),
                                share, "ratio", "tcp_sock.reord_seen"});
    finding.evidence.push_back(
        {fmt::format("{} segments were sent again, {} of them for nothing by the receivers' word",
                     path.retransmits, std::min(path.spurious, path.retransmits)),
         double(path.retransmits), "segments", "tcp_sock.dsack_dups"});
    finding.evidence.push_back(
        {fmt::format("the namespace counts {} by SACK and {} by timestamps",
                     grown(total, path.netns, counter("TcpExt.TCPSACKReorder")),
                     grown(total, path.netns, counter("TcpExt.TCPTSReorder"))),
         std::nullopt, "", "TcpExt.TCPSACKReorder, TCPTSReorder"});
    finding.advice = {{"look for load balancing per packet on the way (bonding in round robin, "
                       "equal-cost routes, tunnels over several links, queues of a card)",
                       path.peers.size() == 1 ? "mtr -rwzc 100 " + path.peer_text() : ""}};
    return finding;
}

} // namespace

std::vector<Finding> detect_reordering(const Facts& facts) {
    std::vector<Finding> findings;
    for (const PathTrouble& path : path_troubles(facts, is_fault))
        findings.push_back(describe(path, facts.total));
    return findings;
}

} // namespace culprit
