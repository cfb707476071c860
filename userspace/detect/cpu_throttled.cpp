// SPDX-License-Identifier: MIT
// cpu-throttled. Claim: a process answers late because its cgroup uses up its CPU quota. Evidence:
// the kernel's count of periods in which the cgroup, or one above it, was throttled, while
// connections wait for its accept(), its sockets hold unread bytes, or it answers late. Looks
// alike: a slow process (its cgroup is not throttled), a host without CPU time left (no quota), a
// batch job at its quota that nobody waits for (`info`).
#include <map>
#include <tuple>

#include <fmt/format.h>

#include "abi/cgroup.h"
#include "abi/socket.h"
#include "detect/accept_course.h"
#include "detect/tcp_flows.h"
#include "detect/thresholds.h"
#include "kernel/cgroup.h"
#include "model/format.h"
#include "util/text.h"

namespace culprit {

namespace {

/// A process under a quota, over the whole run.
struct Throttled {
    cgroup_total sum{};
    RowInfo info;
    std::vector<Evidence> waits; // who waits for it
    bool drops = false;          // its accept queue overflows meanwhile
    std::uint32_t netns = 0;
    std::vector<Party> fellows; // others of that cgroup

    double share() const { return sum.periods ? double(sum.throttled) / double(sum.periods) : 0; }
    bool is_often() const {
        return sum.throttled >= threshold::kThrottledMin && share() >= threshold::kThrottledShare;
    }
};

void add_listeners(Throttled& one, const Listeners& listeners) {
    for (const ListenerFacts& l : listeners.all()) {
        if (!same_process(l.sum.owner, one.sum.owner))
            continue;
        one.netns = l.sum.flow.netns;
        const double depth = l.sum.looks ? double(l.sum.depth_sum) / double(l.sum.looks) : 0;
        one.drops |= l.trouble == ListenTrouble::kOverflow;
        if (depth >= threshold::kAcceptDepthMin || l.trouble == ListenTrouble::kOverflow)
            one.waits.push_back(
                {fmt::format("on {} {:.1f} connections wait for accept() on average, {} at most of "
                             "{}; {} were accepted, {} dropped",
                             listener_name(l), depth, l.sum.depth, l.sum.limit + 1, l.accepted,
                             l.sum.drops),
                 depth, "connections", "sk_ack_backlog"});
    }
}

void add_unread(Throttled& one, const Window& total) {
    std::uint64_t bytes = 0;
    for (const auto& [row, info] : total.rows<receiver_total>(ABI_RECEIVER_TOTAL))
        if (same_process(row.owner, one.sum.owner)) {
            bytes += row.unread_bytes;
            one.netns = row.flow.netns;
        }
    if (bytes)
        one.waits.push_back({fmt::format("{} bytes wait unread in full receive buffers", bytes),
                             double(bytes), "bytes", "iter/tcp, iter/udp"});
}

void add_answers(Throttled& one, const TcpFlows& flows) {
    constexpr std::uint64_t kLooks = 3; // a single late answer is one client's, or a long poll
    flow_total sum{};
    for (const FlowFacts& flow : flows.all()) {
        if (!flow.serves() || !same_process(flow.sum.owner, one.sum.owner))
            continue;
        one.netns = flow.sum.flow.netns;
        sum.answers += flow.sum.answers;
        sum.waiting += flow.sum.waiting;
        sum.waiting_max_ns = std::max(sum.waiting_max_ns, flow.sum.waiting_max_ns);
        for (std::size_t i = 0; i < FLOW_SLOTS; i++)
            sum.answer_slots[i] += flow.sum.answer_slots[i];
    }
    const double late = answer_quantile_ns(sum.answer_slots, 0.9);
    const bool slow = sum.answers >= threshold::kAnswersMin &&
                      late >= double(threshold::kThrottledAnswerNs.value);
    const bool waits =
        sum.waiting >= kLooks && sum.waiting_max_ns >= 2 * threshold::kThrottledAnswerNs;
    if (slow || waits)
        one.waits.push_back(
            {fmt::format("a tenth of its {} answers comes after {}, and questions wait up to {}",
                         sum.answers, duration(static_cast<std::uint64_t>(late)),
                         duration(sum.waiting_max_ns)),
             late / 1e9, "seconds", "flow_total"});
}

std::string folder_of(const cgroup_total& sum) {
    return safe_text(until_nul(sum.path));
}

bool is_plain(std::string_view path) {
    return path.size() < CGROUP_PATH_BYTES && std::ranges::all_of(path, [](char c) {
               return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                      std::string_view("/._-:@").find(c) != std::string_view::npos;
           });
}

/// A word about who set it, where the path tells.
std::string setter(std::string_view path) {
    if (const std::string container = container_of(path); !container.empty())
        return fmt::format(" (the CPU limit of {})", safe_text(container));
    if (const std::string unit = unit_of(path); !unit.empty())
        return fmt::format(" (CPUQuota of {})", safe_text(unit));
    return "";
}

Advice advice_for(const cgroup_total& sum) {
    const std::string_view path = until_nul(sum.path);
    const std::uint64_t twice = 2 * sum.quota_us;
    Advice advice{
        fmt::format("give it more CPU time{}, or the process less work: {} of CPU time in "
                    "{} now, twice as much to begin with; takes effect at once, and takes "
                    "CPU time from others on a busy host",
                    setter(path), duration(1000 * sum.quota_us), duration(1000 * sum.period_us)),
        ""};
    if (is_plain(path))
        advice.command = sum.version == 2
                             ? fmt::format("echo {} {} > {}/cpu.max", twice, sum.period_us, path)
                             : fmt::format("echo {} > {}/cpu.cfs_quota_us", twice, path);
    return advice;
}

/// One finding per cgroup: who is waited for most stands for all.
std::vector<Throttled> by_cgroup(std::vector<Throttled> processes) {
    std::ranges::stable_sort(processes, [](const Throttled& a, const Throttled& b) {
        return a.drops != b.drops ? a.drops : a.waits.size() > b.waits.size();
    });
    std::map<std::pair<std::uint64_t, std::string>, std::size_t> places; // in `groups`
    std::vector<Throttled> groups;
    for (Throttled& one : processes) {
        const auto [known, fresh] =
            places.try_emplace({one.sum.cgroup, folder_of(one.sum)}, groups.size());
        if (fresh)
            groups.push_back(std::move(one));
        else
            groups[known->second].fellows.push_back({one.sum.owner, one.netns});
    }
    return groups;
}

Severity severity_of(const Throttled& one) {
    if (one.waits.empty())
        return Severity::kInfo;
    return one.drops || one.share() >= threshold::kThrottledCritical ? Severity::kCritical
                                                                     : Severity::kWarning;
}

Finding describe(const Throttled& one, const Window& total) {
    const cgroup_total& sum = one.sum;
    Finding finding{.id = "cpu-throttled", .layer = Layer::kApplication};
    finding.severity = severity_of(one);
    finding.confidence = one.waits.empty() ? 0.6 : 0.92;
    const std::size_t others = one.fellows.size();
    finding.title =
        fmt::format("{}{} for CPU time: its cgroup's quota is used up in {} of the periods",
                    owner_name(sum.owner, total.names),
                    others ? fmt::format(" and {} more of its cgroup wait", others) : " waits",
                    percent(one.share()));
    finding.culprit = Party{sum.owner, one.netns};
    for (const Party& fellow : one.fellows)
        add_party(finding.affected, fellow);
    finding.where = {.reason = "CPU quota of " + folder_of(sum), .netns = one.netns};
    finding.first_ns = one.info.first_ns;
    finding.count = sum.throttled;
    finding.rate_per_s = per_second(total, double(sum.throttled));
    finding.evidence.push_back(
        {fmt::format("{} was throttled in {} of {} periods and waited {}, of all CPUs together",
                     folder_of(sum), sum.throttled, sum.periods, duration(sum.throttled_ns)),
         one.share(), "ratio", "cpu.stat"});
    finding.evidence.push_back(
        {fmt::format("its quota is {} of CPU time in {} ({:.2f} CPUs)",
                     duration(1000 * sum.quota_us), duration(1000 * sum.period_us),
                     sum.period_us ? double(sum.quota_us) / double(sum.period_us) : 0),
         double(sum.quota_us), "us", sum.version == 2 ? "cpu.max" : "cpu.cfs_quota_us"});
    for (const Evidence& wait : one.waits)
        finding.evidence.push_back(wait);
    if (one.waits.empty())
        finding.evidence.push_back(
            {"nobody is seen to wait for it", std::nullopt, "", "sk_ack_backlog"});
    finding.advice.push_back(advice_for(sum));
    finding.verify =
        fmt::format("diagnose --only cpu-throttled --pid {} --for 30s", sum.owner.tgid);
    return finding;
}

} // namespace

std::vector<Finding> detect_cpu_throttled(const Facts& facts) {
    const Listeners listeners(facts.total);
    std::map<ProcessKey, Throttled> worst; // of several quotas the one that binds most
    for (const auto& [row, info] : facts.total.rows<cgroup_total>(ABI_CGROUP_TOTAL)) {
        Throttled one{.sum = row, .info = info};
        Throttled& known = worst[{row.owner.tgid, row.owner.start_ns}];
        if (row.owner.tgid && one.is_often() && one.sum.throttled > known.sum.throttled)
            known = one;
    }
    const TcpFlows& flows = facts.flows();
    std::vector<Throttled> processes;
    for (auto& [process, one] : worst) {
        if (!one.sum.owner.tgid)
            continue;
        add_listeners(one, listeners);
        add_unread(one, facts.total);
        add_answers(one, flows);
        processes.push_back(std::move(one));
    }
    std::vector<Finding> findings;
    for (const Throttled& one : by_cgroup(std::move(processes)))
        findings.push_back(describe(one, facts.total));
    return findings;
}

} // namespace culprit
