// SPDX-License-Identifier: MIT
// qdisc-latency. Claim: packets wait in an egress queue of this host that does not drain
// (bufferbloat), filled by that process. Evidence: waiting times of timed packets, seconds in which
// hardly one passed without waiting, who has most of the bytes, who else waits. Looks alike: a
// burst that drains (some packets do not wait), a sender that only delays itself (info), fair
// queueing (others do not wait), qdiscs that send at a set time on purpose (fq and the like: left
// out).
#include <fmt/format.h>

#include "detect/queue_waits.h"
#include "detect/queues.h"
#include "detect/thresholds.h"
#include "model/format.h"
#include "util/text.h"

namespace culprit {

namespace {

std::string title_of(const Finding& finding, const QueueWait& wait, const QueueUsers& users,
                     const Names& names) {
    const qdisc_total& q = wait.queue;
    std::string text = fmt::format("packets wait {} in the egress queue of {} ({})",
                                   duration(wait.quantile_ns(0.5)), finding.where.device,
                                   qdisc_name(q.id, q.handle, q.parent));
    if (finding.culprit)
        text += fmt::format(": {} fills it", owner_name(finding.culprit->owner, names));
    else if (const QueueUser* hog = users.hog())
        text += fmt::format(": traffic from {} fills it", hog->source);
    if (!finding.affected.empty())
        text += fmt::format("; {}{}", owner_name(finding.affected.front().owner, names),
                            finding.affected.size() > 1 ? " and others wait" : " waits");
    return text;
}

void add_evidence(Finding& finding, const QueueWait& wait, const QueueUsers& users,
                  const Queues& queues, const Facts& facts) {
    const qdisc_stats* inner = queues.holding({wait.queue.netns, wait.queue.ifindex});
    const std::uint64_t median = wait.quantile_ns(0.5);
    finding.evidence.push_back(
        {fmt::format("half of {} timed packets waited longer than {}, 1 % longer than {}",
                     wait.timed, duration(median), duration(wait.quantile_ns(0.99))),
         double(median) / 1e6, "ms", "qdisc_enqueue, qdisc_dequeue"});
    finding.evidence.push_back(
        {fmt::format("the queue did not drain in {} of {} windows; largest backlog {} bytes{}",
                     wait.windows, facts.windows.size(), wait.backlog_bytes,
                     inner ? qdisc_limits(*inner) : ""),
         double(wait.backlog_bytes), "bytes", "qdisc_dequeue, RTM_GETQDISC"});
    if (inner && (inner->handle != wait.queue.handle || inner->parent != wait.queue.parent))
        finding.evidence.push_back(
            {"the backlog is in " + qdisc_name(inner->id, inner->handle, inner->parent),
             double(inner->backlog_bytes), "bytes", "RTM_GETQDISC"});
    const DeviceKey device(wait.queue.netns, wait.queue.ifindex);
    if (const auto counted = queues.counted(device); counted.drops)
        finding.evidence.push_back({fmt::format("it is full, too: {} of {} packets were dropped",
                                                counted.drops, counted.sent + counted.drops),
                                    double(counted.drops), "packets", "RTM_GETQDISC TCA_STATS2"});
    finding.evidence.push_back({"of the bytes in the queue: " + users.text(facts.total.names),
                                std::nullopt, "", "qdisc_dequeue"});
    for (const QueueUser* user : users.waiting()) {
        if (!user->party.owner.tgid)
            continue;
        finding.evidence.push_back(
            {fmt::format("packets of {} waited {} on average, {} at most",
                         owner_name(user->party.owner, facts.total.names),
                         duration(user->mean_ns()), duration(user->sojourn_max_ns)),
             double(user->mean_ns()) / 1e6, "ms", "qdisc_dequeue"});
        break;
    }
}

Severity severity_of(const QueueUsers& users, std::uint64_t median_ns) {
    const bool others = !users.waiting().empty();
    const bool long_wait = median_ns >= threshold::kQueueHurtNs;
    if (others && long_wait)
        return Severity::kCritical;
    return others || long_wait ? Severity::kWarning : Severity::kInfo;
}

Finding describe(const QueueWait& wait, const Queues& queues, const Facts& facts) {
    const qdisc_total& q = wait.queue;
    const Names& names = facts.total.names;
    const QueueUsers users = queues.users_of(q);
    Finding finding{.id = "qdisc-latency", .layer = Layer::kDataLink};
    finding.severity = severity_of(users, wait.quantile_ns(0.5));
    finding.confidence = 0.95;
    finding.where.device = device(q.netns, q.ifindex, names);
    finding.where.netns = q.netns;
    if (const QueueUser* hog = users.hog(); hog && hog->party.owner.tgid)
        finding.culprit = hog->party;
    for (const QueueUser* user : users.waiting())
        add_party(finding.affected, user->party);
    finding.title = title_of(finding, wait, users, names);
    finding.first_ns = wait.first_ns;
    finding.count = wait.timed;
    finding.rate_per_s = per_second(facts.total, double(wait.timed));
    add_evidence(finding, wait, users, queues, facts);
    finding.advice = {
        {"keep the queue short, and the others out of the way of who fills it: fq_codel or cake "
         "instead of a long fifo, at a rate just below the link's",
         in_netns(q.netns, names) + "tc -s qdisc show dev " + shell_word(finding.where.device)},
        {"or let the sender that fills it send slower", ""}};
    finding.verify = verify_in_netns(finding);
    return finding;
}

} // namespace

std::vector<Finding> detect_qdisc_latency(const Facts& facts) {
    std::vector<Finding> findings;
    const Queues queues(facts.total);
    for (const QueueWait& wait : standing_queues(facts))
        findings.push_back(describe(wait, queues, facts));
    return findings;
}

} // namespace culprit
