// SPDX-License-Identifier: MIT
// close-wait-leak. Claim: a process does not close connections that its peers closed. Evidence:
// sockets of one process in CLOSE_WAIT for seconds, more than before or none ever closed. Looks
// alike: connections that still wait for accept() (a hung server, they have no file), a server that
// closes a little late (they leave), peers stuck in FIN_WAIT2, which this explains.
#include <netinet/tcp.h>

#include <map>
#include <tuple>

#include <fmt/format.h>

#include "detect/closing.h"
#include "detect/sockets.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

struct Leak {
    ClosingGroup group;
    std::uint64_t left = 0; // closed by the process after its peer did
};

using Key = std::tuple<std::uint32_t, std::uint32_t, std::uint64_t>;

std::map<Key, Leak> collect(const Window& total) {
    std::map<Key, Leak> found;
    for (const auto& [row, info] : total.rows<socket_total>(ABI_SOCKET_TOTAL))
        if (row.state == TCP_CLOSE_WAIT && row.keeper == ABI_KEEPER_PROCESS)
            found[{row.flow.netns, row.owner.tgid, row.owner.start_ns}].group.add(row, info);
    for (const auto& [closed, info] : total.rows<close_event>(ABI_CLOSE)) {
        const auto leak = found.find({closed.flow.netns, closed.owner.tgid, closed.owner.start_ns});
        if (leak != found.end() && closed.closer == ABI_CLOSER_REMOTE)
            leak->second.left += info.count;
    }
    return found;
}

bool is_fault(const Leak& leak) {
    const ClosingGroup& group = leak.group;
    if (group.at_end > threshold::kCloseWaitMany)
        return true;
    return group.aged >= threshold::kCloseWaitMin && (group.grew() || !leak.left);
}

Finding describe(const Window& total, const Leak& leak) {
    const ClosingGroup& group = leak.group;
    Finding finding = closing_finding("close-wait-leak", group, total);
    finding.severity =
        group.at_end > threshold::kCloseWaitMany ? Severity::kCritical : Severity::kWarning;
    finding.confidence = group.owner.tgid ? 0.95 : 0.7;
    finding.title = fmt::format("{} does not close {} connections that its peers closed",
                                owner_name(group.owner, total.names), group.at_end);
    finding.culprit = Party{group.owner, group.largest.netns};
    finding.evidence.push_back(
        {fmt::format("{} sockets in CLOSE_WAIT with an open file, {} when the run began",
                     group.at_end, group.at_begin),
         double(group.at_end), "sockets", "iter/tcp"});
    finding.evidence.push_back(
        {fmt::format("{} of them for at least {}, the oldest for {}", group.aged,
                     duration(SOCKET_AGED_NS), duration(group.oldest_ns)),
         double(group.oldest_ns) / 1e9, "seconds", "iter/tcp"});
    finding.evidence.push_back({fmt::format("it closed {} others after their peers", leak.left),
                                double(leak.left), "connections", "inet_sock_set_state"});
    if (group.unread_bytes)
        finding.evidence.push_back({fmt::format("{} bytes are not read", group.unread_bytes),
                                    double(group.unread_bytes), "bytes", "iter/tcp"});
    finding.advice.push_back(
        {"the process must close() a connection when read() returns 0; until that is repaired a "
         "restart frees them",
         group.owner.tgid ? fmt::format("ls /proc/{}/fd | wc -l", group.owner.tgid) : ""});
    return finding;
}

} // namespace

std::vector<Finding> detect_close_wait_leak(const Facts& facts) {
    std::vector<Finding> findings;
    for (const auto& [key, leak] : collect(facts.total))
        if (is_fault(leak))
            findings.push_back(describe(facts.total, leak));
    return findings;
}

} // namespace culprit
