// SPDX-License-Identifier: MIT
// app-hang. Claim: a process accepts nothing and answers nothing: it is stopped or hangs. Evidence:
// connections wait in its accept queue for seconds and none is taken out, up to the end of the run;
// or it is stopped while what its peers sent fills its buffers. Looks alike: a slow process
// (accept-delay: it accepts some), a queue that overflows (listen-overflow says that it hangs),
// one forgotten connection of an idle service (nobody comes: `info`).
#include <netinet/in.h>

#include <set>

#include <fmt/format.h>

#include "abi/socket.h"
#include "detect/accept_course.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

std::uint64_t came(const AcceptCourse& course) {
    std::uint64_t sum = 0;
    for (const AcceptSpell& spell : course.spells)
        sum += spell.came;
    return sum;
}

Advice advice_for(bool stopped, std::uint32_t pid) {
    if (stopped)
        return {"let the process continue, or find out who stopped it (a signal, a debugger, a "
                "frozen cgroup)",
                pid ? fmt::format("kill -CONT {}", pid) : ""};
    return {"see what the process waits for, then restart it; a restart drops its connections",
            pid ? fmt::format("cat /proc/{}/stack /proc/{}/wchan; ls /proc/{}/task", pid, pid, pid)
                : ""};
}

Finding describe(const AcceptCourse& course, const Window& total) {
    const ListenerFacts& l = *course.listener;
    const listen_total& sum = l.sum;
    const bool stopped = l.is_stopped();
    const std::uint64_t arrived = came(course);
    Finding finding = listener_finding("app-hang", l, total);
    finding.layer = Layer::kApplication;
    finding.severity = !arrived && !stopped                           ? Severity::kInfo
                       : sum.depth >= threshold::kHangWaitingCritical ? Severity::kCritical
                                                                      : Severity::kWarning;
    finding.confidence = stopped ? 0.97 : arrived ? 0.85 : 0.5;
    finding.title = fmt::format(
        "{} {} on {}", owner_name(sum.owner, total.names),
        stopped ? "is stopped and accepts nothing" : "hangs: it accepts nothing", listener_name(l));
    finding.culprit = Party{sum.owner, sum.flow.netns};
    finding.count = sum.depth;
    finding.rate_per_s = per_second(total, double(arrived));
    finding.evidence.push_back(
        {fmt::format("for the last {} no connection was accepted while up to {} waited; {} came",
                     duration(static_cast<std::uint64_t>(course.stands_seconds() * 1e9)), sum.depth,
                     arrived),
         course.stands_seconds(), "seconds", "sk_ack_backlog"});
    if (sum.owner_looks)
        finding.evidence.push_back(
            {fmt::format("the process was stopped at {} and running at {} of {} looks, and used {} "
                         "of CPU time between them",
                         sum.owner_stopped, sum.owner_running, sum.owner_looks,
                         duration(sum.owner_cpu_ns)),
             double(sum.owner_stopped), "looks", "/proc/PID/stat"});
    finding.evidence.push_back({"its queue does not overflow yet: clients are connected and get no "
                                "answer",
                                std::nullopt, "", "sk_ack_backlog"});
    finding.advice.push_back(advice_for(stopped, sum.owner.tgid));
    return finding;
}

/// A stopped process whose peers go on sending.
Finding describe(const receiver_total& row, const RowInfo& info, const Window& total) {
    Finding finding{.id = "app-hang", .layer = Layer::kApplication};
    finding.confidence = 0.9;
    finding.title = fmt::format("{} is stopped and does not read what {} sends",
                                owner_name(row.owner, total.names), address(row.flow, false));
    finding.culprit = Party{row.owner, row.flow.netns};
    finding.where = {.local = endpoint(row.flow, true),
                     .remote = endpoint(row.flow, false),
                     .netns = row.flow.netns};
    finding.first_ns = info.first_ns;
    finding.count = 1;
    finding.evidence.push_back({fmt::format("{} bytes wait unread in its receive buffer of {}",
                                            row.unread_bytes, row.rcvbuf),
                                double(row.unread_bytes), "bytes", "iter/tcp"});
    finding.advice.push_back(advice_for(true, row.owner.tgid));
    finding.verify = verify_in_netns(finding);
    return finding;
}

} // namespace

std::vector<Finding> detect_app_hang(const Facts& facts) {
    const Listeners listeners(facts.total);
    std::set<std::pair<std::uint32_t, std::uint64_t>> told; // one finding for one process
    for (const ListenerFacts& l : listeners.all())
        if (l.trouble != ListenTrouble::kNone)
            told.emplace(l.sum.owner.tgid, l.sum.owner.start_ns);
    std::vector<Finding> findings;
    for (const AcceptCourse& course : accept_courses(facts, listeners)) {
        const abi_owner& owner = course.listener->sum.owner;
        if (course.stands_seconds() < threshold::kHangSeconds ||
            told.contains({owner.tgid, owner.start_ns}))
            continue;
        findings.push_back(describe(course, facts.total));
        if (owner.tgid)
            told.emplace(owner.tgid, owner.start_ns);
    }
    for (const auto& [row, info] : facts.total.rows<receiver_total>(ABI_RECEIVER_TOTAL))
        if (row.stopped && row.flow.protocol == IPPROTO_TCP && row.owner.tgid &&
            told.emplace(row.owner.tgid, row.owner.start_ns).second)
            findings.push_back(describe(row, info, facts.total));
    return findings;
}

} // namespace culprit
