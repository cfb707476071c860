// SPDX-License-Identifier: MIT
// listen-overflow. Claim: a process takes connections out of its accept queue too slowly or not at
// all, so the queue is full and the kernel drops new ones. Evidence: the socket's own drop counter
// grew, its queue was seen full, and the namespace counted overflows. Looks alike: a SYN flood (the
// SYN queue is full, the accept queue is not), a process without file descriptors (fd-exhaustion
// says that), loss on the way (the listener drops nothing).
#include <fmt/format.h>

#include "detect/listeners.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

const char* why(const ListenerFacts& l) {
    if (l.is_stopped())
        return "is stopped and does not accept";
    return l.accepted ? "accepts too slowly" : "accepts nothing";
}

double per_second(std::uint64_t count, const Window& total) {
    return total.seconds() > 0 ? double(count) / total.seconds() : 0;
}

void add_rates(Finding& finding, const ListenerFacts& l, const Window& total) {
    const listen_total& sum = l.sum;
    const double accepts = per_second(l.accepted, total);
    const char* of = l.shared() ? " by all sockets of this address together" : "";
    finding.evidence.push_back(
        {fmt::format("per second {:.1f} packets dropped, {:.1f} connections established and {:.1f} "
                     "accepted{}",
                     per_second(sum.drops, total), per_second(l.established, total), accepts, of),
         accepts, "connections/s", "inet_sock_set_state, sk_ack_backlog"});
    // Little's law: mean wait = mean depth / rate
    if (const double depth = sum.looks ? double(sum.depth_sum) / double(sum.looks) : 0;
        accepts > 0 && !l.shared())
        finding.evidence.push_back(
            {fmt::format("a connection waits {} for accept() on average",
                         duration(static_cast<std::uint64_t>(depth / accepts * 1e9))),
             depth / accepts, "seconds", "sk_ack_backlog"});
}

void add_owner(Finding& finding, const ListenerFacts& l) {
    const listen_total& sum = l.sum;
    if (!sum.owner_looks)
        return;
    finding.evidence.push_back(
        {fmt::format("the process was stopped at {} and running at {} of {} looks, and used {} of "
                     "CPU time between them",
                     sum.owner_stopped, sum.owner_running, sum.owner_looks,
                     duration(sum.owner_cpu_ns)),
         double(sum.owner_stopped), "looks", "/proc/PID/stat"});
}

Advice limit_advice(const ListenerFacts& l) {
    const listen_total& sum = l.sum;
    if (sum.limit >= sum.somaxconn)
        return {fmt::format("the queue is capped by net.core.somaxconn ({}); raise it and the "
                            "process's listen() backlog if bursts are the reason",
                            sum.somaxconn),
                fmt::format("sysctl -w net.core.somaxconn={}", sum.somaxconn * 4)};
    return {fmt::format("the process's own listen() backlog ({}) caps the queue, "
                        "net.core.somaxconn allows {}; raise it for bursts",
                        sum.limit, sum.somaxconn),
            ""};
}

Advice cause_advice(const ListenerFacts& l) {
    const std::uint32_t pid = l.sum.owner.tgid;
    if (l.is_stopped())
        return {"let the process continue, or find out who stopped it",
                fmt::format("kill -CONT {}", pid)};
    return {"see what the process does instead of accept()",
            pid ? fmt::format("cat /proc/{}/stack /proc/{}/wchan", pid, pid) : ""};
}

} // namespace

std::vector<Finding> detect_listen_overflow(const Facts& facts) {
    const Listeners listeners(facts.total);
    std::vector<Finding> findings;
    for (const ListenerFacts& l : listeners.all()) {
        if (l.trouble != ListenTrouble::kOverflow)
            continue;
        const listen_total& sum = l.sum;
        Finding finding = listener_finding("listen-overflow", l, facts.total);
        finding.severity =
            sum.drops >= threshold::kOverflowCritical ? Severity::kCritical : Severity::kWarning;
        finding.confidence = sum.drops && l.counters ? 0.97 : 0.85;
        finding.title =
            fmt::format("{} {} on {}: its accept queue is full",
                        owner_name(sum.owner, facts.total.names), why(l), listener_name(l));
        finding.culprit = Party{sum.owner, sum.flow.netns};
        add_accept_queue(finding, l);
        add_sufferers(finding, l, listeners, facts.total);
        add_rates(finding, l, facts.total);
        add_owner(finding, l);
        finding.advice = {cause_advice(l), limit_advice(l)};
        findings.push_back(std::move(finding));
    }
    return findings;
}

} // namespace culprit
