// SPDX-License-Identifier: MIT
// fd-exhaustion. Claim: a process cannot accept connections because it has no file descriptor left.
// Evidence: as many open files as RLIMIT_NOFILE allows, while one of its accept queues is full.
// Looks alike: a slow or hung process (listen-overflow; its descriptors are below the limit). A
// process near its limit whose queues are not full is healthy.
#include <fmt/format.h>

#include "detect/listeners.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

std::vector<Finding> detect_fd_exhaustion(const Facts& facts) {
    const Listeners listeners(facts.total);
    std::vector<Finding> findings;
    for (const ListenerFacts& l : listeners.all()) {
        if (l.trouble != ListenTrouble::kNoFiles)
            continue;
        const listen_total& sum = l.sum;
        Finding finding = listener_finding("fd-exhaustion", l, facts.total);
        finding.severity =
            sum.drops >= threshold::kOverflowCritical ? Severity::kCritical : Severity::kWarning;
        finding.confidence = 0.95;
        finding.title = fmt::format("{} has no file descriptors left and cannot accept on {}",
                                    owner_name(sum.owner, facts.total.names), listener_name(l));
        finding.culprit = Party{sum.owner, sum.flow.netns};
        finding.evidence.push_back(
            {fmt::format("{} open files, its limit is {}", sum.open_files, sum.files_limit),
             double(sum.open_files), "files", "/proc/PID/fd, /proc/PID/limits"});
        add_accept_queue(finding, l);
        add_sufferers(finding, l, listeners, facts.total);
        finding.advice.push_back({"find out whether it leaks descriptors (many of one kind)",
                                  fmt::format("ls -l /proc/{}/fd", sum.owner.tgid)});
        finding.advice.push_back(
            {"raise the limit of the running process, and LimitNOFILE of its service",
             fmt::format("prlimit --pid {} --nofile={}", sum.owner.tgid, sum.files_limit * 4)});
        findings.push_back(std::move(finding));
    }
    return findings;
}

} // namespace culprit
