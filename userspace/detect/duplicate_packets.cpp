// SPDX-License-Identifier: MIT
// duplicate-packets. Claim: the path delivers packets twice. Evidence: receivers report duplicates
// (DSACK, RFC 2883) of segments that were sent once: more than were sent again. Looks alike:
// segments sent again for nothing (each has its retransmission), reordering (no duplicates). What
// is duplicated on its way to this host is seen by its sender only.
#include <fmt/format.h>

#include "detect/path_trouble.h"
#include "detect/receivers.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

bool is_fault(const PathTrouble& path) {
    using namespace threshold;
    return path.doubled() >= kDuplicateMin &&
           double(path.doubled()) >= kDuplicateShare * double(path.segs_out);
}

Finding describe(const PathTrouble& path, const Window& total) {
    const double share = FlowFacts::ratio(path.doubled(), path.segs_out);
    Finding finding = path_finding("duplicate-packets", path, path.doubled(), total);
    finding.severity = Severity::kWarning;
    finding.confidence = 0.85;
    finding.title = fmt::format("the path to {} delivers {} of the segments twice",
                                path.peer_text(), percent(share));
    finding.evidence.push_back(
        {fmt::format("receivers reported {} segments they had already; only {} were sent again",
                     path.spurious, path.retransmits),
         double(path.spurious), "segments", "tcp_sock.dsack_dups, total_retrans"});
    finding.evidence.push_back(
        {fmt::format("the namespace counts {} such reports and {} segments sent again",
                     grown(total, path.netns, counter("TcpExt.TCPDSACKRecv")),
                     grown(total, path.netns, counter("Tcp.RetransSegs"))),
         std::nullopt, "", "TcpExt.TCPDSACKRecv, Tcp.RetransSegs"});
    finding.advice = {
        {"look for a loop or a mirror on the link layer, or a bond or tunnel that "
         "sends on all its links",
         path.peers.size() == 1 ? "ping -c 20 " + path.peer_text() + "   # (DUP!)" : ""}};
    return finding;
}

} // namespace

std::vector<Finding> detect_duplicate_packets(const Facts& facts) {
    std::vector<Finding> findings;
    for (const PathTrouble& path : path_troubles(facts, is_fault))
        findings.push_back(describe(path, facts.total));
    return findings;
}

} // namespace culprit
