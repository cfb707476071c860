// SPDX-License-Identifier: MIT
// softnet-drop. Claim: packets arrive at a CPU faster than it takes them, and its input backlog
// overflows. Evidence: the kernel's count of each CPU, the drops at that place, the flow that most
// of them belong to, CPU time of ksoftirqd. Looks alike: a full receive buffer of a socket, a full
// ring of a device (other places). Rounds of softirq that ran out of time are worth knowing only.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "abi/softnet.h"
#include "detect/drops.h"
#include "detect/thresholds.h"
#include "model/format.h"
#include "util/text.h"

namespace culprit {

namespace {

double share_of(const softnet_total& cpu) {
    return double(cpu.dropped) / double(std::max<std::uint64_t>(cpu.processed + cpu.dropped, 1));
}

/// Those that dropped, worst first.
std::vector<softnet_total> dropping_cpus(const Window& total) {
    std::vector<softnet_total> cpus;
    for (const auto& [row, info] : total.rows<softnet_total>(ABI_SOFTNET_TOTAL))
        if (row.dropped)
            cpus.push_back(row);
    std::ranges::stable_sort(cpus, std::greater{}, &softnet_total::dropped);
    return cpus;
}

Evidence cpu_evidence(const softnet_total& cpu) {
    std::string text = fmt::format("CPU {} dropped {} of {} packets ({})", cpu.number, cpu.dropped,
                                   cpu.processed + cpu.dropped, percent(share_of(cpu)));
    if (cpu.flow_limit)
        text += fmt::format("; {} of them by the limit per flow", cpu.flow_limit);
    if (cpu.watched_ns)
        text += fmt::format("; ksoftirqd/{} used {} of the CPU", cpu.number,
                            percent(double(cpu.ksoftirqd_ns) / double(cpu.watched_ns)));
    return {text, static_cast<double>(cpu.dropped), "packets", "/proc/net/softnet_stat"};
}

/// The flow most of the samples belong to: it fills the backlog.
std::optional<Evidence> main_flow(const DropFacts& drops) {
    std::map<std::string, std::uint64_t> flows;
    std::uint64_t all = 0;
    for (const auto& [drop, info] : drops.samples) {
        if (!drop.flow.family)
            continue;
        flows[fmt::format("{} -> {} {}", address(drop.flow, true), endpoint(drop.flow, false),
                          ip_protocol(drop.flow.protocol))] += info.count;
        all += info.count;
    }
    const auto most = std::ranges::max_element(flows, {}, [](const auto& f) { return f.second; });
    if (most == flows.end())
        return std::nullopt;
    const double share = double(most->second) / double(all);
    return Evidence{fmt::format("{} of the sampled drops are {}", percent(share), most->first),
                    share, "ratio", "kfree_skb"};
}

std::vector<Advice> advice_for(const DropFacts& drops, const softnet_total* cpu,
                               const Names& names) {
    constexpr std::uint32_t kDefault = 1000;
    const std::uint32_t now = cpu && cpu->max_backlog ? cpu->max_backlog : kDefault;
    const std::string dev = device(drops.at.netns, drops.main_device(), names);
    return {{fmt::format("a longer backlog takes longer bursts; it is {} now", now),
             fmt::format("sysctl -w net.core.netdev_max_backlog={}", 2 * now)},
            {"let several CPUs take the packets of that device",
             fmt::format("echo ff | {}tee {}", in_netns(drops.at.netns, names),
                         shell_word("/sys/class/net/" + dev + "/queues/rx-0/rps_cpus"))}};
}

/// Kernels sum up rounds that ran out of budget (300 packets) or time with packets left.
std::optional<Finding> squeezed(const softnet_total& cpu, const Window& total) {
    constexpr double kBudget = 300;
    const double taken = double(cpu.time_squeeze) * kBudget;
    if (cpu.time_squeeze < threshold::kSqueezeMin ||
        taken < threshold::kSqueezeShare * double(cpu.processed))
        return std::nullopt;
    Finding finding{.id = "softnet-drop", .layer = Layer::kDataLink, .confidence = 0.5};
    finding.severity = Severity::kInfo;
    finding.title =
        fmt::format("CPU {} receives at its limit: packets were left over {} times; none is lost",
                    cpu.number, cpu.time_squeeze);
    finding.count = cpu.time_squeeze;
    finding.rate_per_s = per_second(total, double(cpu.time_squeeze));
    finding.evidence.push_back(
        {fmt::format("softirq gave up {} times with packets left, in {} packets", cpu.time_squeeze,
                     cpu.processed),
         static_cast<double>(cpu.time_squeeze), "times", "/proc/net/softnet_stat"});
    finding.advice = {{"give each round more time, or spread the interrupts of the device",
                       "sysctl net.core.netdev_budget net.core.netdev_budget_usecs"}};
    finding.verify = "diagnose --only softnet-drop --for 30s";
    return finding;
}

} // namespace

std::vector<Finding> detect_softnet_drop(const Facts& facts) {
    std::vector<Finding> findings;
    const auto cpus = dropping_cpus(facts.total);
    // a CPU's backlog is everybody's: whose packets died is chance
    for (const DropFacts& drops :
         facts.drops().of("softnet-drop", [](const DropFacts&) { return "all"; })) {
        const softnet_total* worst = cpus.empty() ? nullptr : &cpus.front();
        DropStory story{.id = "softnet-drop", .layer = Layer::kDataLink};
        story.title = worst ? fmt::format("the input backlog of CPU {} overflows: {} of its "
                                          "packets are dropped",
                                          worst->number, percent(share_of(*worst)))
                            : "the input backlog of a CPU overflows";
        story.needed = worst && share_of(*worst) >= threshold::kBacklogShare;
        story.advice = advice_for(drops, worst, facts.total.names);
        auto finding = drop_finding(story, drops, facts.total);
        if (!finding)
            continue;
        if (worst && share_of(*worst) < threshold::kBacklogShareMin)
            finding->severity = Severity::kInfo;
        for (std::size_t i = 0; i < cpus.size() && i < 3; i++)
            finding->evidence.push_back(cpu_evidence(cpus[i]));
        if (auto flow = main_flow(drops))
            finding->evidence.push_back(std::move(*flow));
        findings.push_back(std::move(*finding));
    }
    if (findings.empty())
        for (const auto& [row, info] : facts.total.rows<softnet_total>(ABI_SOFTNET_TOTAL))
            if (auto finding = squeezed(row, facts.total))
                findings.push_back(std::move(*finding));
    return findings;
}

} // namespace culprit
