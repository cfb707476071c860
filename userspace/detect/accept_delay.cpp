// SPDX-License-Identifier: MIT
// accept-delay. Claim: established connections wait long in the accept queue of a process although
// it does not overflow. Evidence: the mean depth of the queue against the rate of accept()
// (Little's law), second by second: too long in most of them. Looks alike: a burst that is accepted
// at once (one second), a queue that overflows (listen-overflow), a process that accepts nothing at
// all (app-hang), a group at its CPU quota (cpu-throttled).
#include <fmt/format.h>

#include "detect/accept_course.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

struct Delay {
    std::size_t used = 0, late = 0; // seconds
    double seconds = 0, depth = 0, worst = 0;
    std::uint64_t accepted = 0;

    double mean() const { return accepted ? depth / double(accepted) : 0; } // of all connections
    bool is_fault() const {
        return late >= threshold::kAcceptWindowsMin &&
               double(late) >= threshold::kAcceptWindowsShare * double(used) &&
               mean() >= threshold::kAcceptWaitSeconds;
    }
};

Delay delay_of(const AcceptCourse& course) {
    Delay delay;
    for (const AcceptSpell& spell : course.spells) {
        if (!spell.is_used())
            continue;
        delay.used++;
        delay.seconds += spell.seconds;
        delay.depth += spell.depth * spell.seconds;
        delay.accepted += spell.accepted;
        delay.worst = std::max(delay.worst, spell.wait_seconds());
        const bool waits = spell.stands() || spell.wait_seconds() >= threshold::kAcceptWaitSeconds;
        delay.late += waits && spell.depth >= threshold::kAcceptDepthMin;
    }
    return delay;
}

std::string seconds_text(double seconds) {
    return duration(static_cast<std::uint64_t>(seconds * 1e9));
}

/// What the process does instead, as far as its main thread tells.
std::string business_of(const listen_total& sum) {
    return fmt::format(
        "it was running at {} and stopped at {} of {} looks, and used {} of CPU time",
        sum.owner_running, sum.owner_stopped, sum.owner_looks, duration(sum.owner_cpu_ns));
}

Finding describe(const ListenerFacts& l, const Delay& delay, const Window& total) {
    const listen_total& sum = l.sum;
    Finding finding = listener_finding("accept-delay", l, total);
    finding.layer = Layer::kApplication;
    finding.severity =
        delay.mean() >= threshold::kAcceptWaitCritical ? Severity::kCritical : Severity::kWarning;
    finding.confidence = 0.9;
    finding.title = fmt::format("{} accepts late on {}: connections wait {} for it",
                                owner_name(sum.owner, total.names), listener_name(l),
                                seconds_text(delay.mean()));
    finding.culprit = Party{sum.owner, sum.flow.netns};
    finding.count = delay.accepted;
    finding.rate_per_s = per_second(total, double(delay.accepted));
    finding.evidence.push_back(
        {fmt::format("a connection waits {} for accept() on average, {} in the worst second; long "
                     "in {} of the {} seconds with connections",
                     seconds_text(delay.mean()), seconds_text(delay.worst), delay.late, delay.used),
         delay.mean(), "seconds", "sk_ack_backlog / accept() rate"});
    finding.evidence.push_back(
        {fmt::format("{:.1f} wait on average, {} at most; the queue takes {} and does not overflow",
                     delay.seconds > 0 ? delay.depth / delay.seconds : 0, sum.depth, sum.limit + 1),
         double(sum.depth), "connections", "sk_ack_backlog"});
    if (sum.owner_looks)
        finding.evidence.push_back(
            {business_of(sum), double(sum.owner_running), "looks", "/proc/PID/stat"});
    finding.advice.push_back(
        {"accept in a loop of its own or in more workers: what the thread does between two "
         "accept() calls is the delay",
         sum.owner.tgid ? fmt::format("cat /proc/{}/stack /proc/{}/wchan; top -H -p {}",
                                      sum.owner.tgid, sum.owner.tgid, sum.owner.tgid)
                        : ""});
    return finding;
}

} // namespace

std::vector<Finding> detect_accept_delay(const Facts& facts) {
    const Listeners listeners(facts.total);
    std::vector<Finding> findings;
    for (const AcceptCourse& course : accept_courses(facts, listeners)) {
        const Delay delay = delay_of(course);
        if (delay.is_fault() && course.stands_seconds() < threshold::kHangSeconds)
            findings.push_back(describe(*course.listener, delay, facts.total));
    }
    return findings;
}

} // namespace culprit
