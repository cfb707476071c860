// SPDX-License-Identifier: MIT
// reassembly-failure. Claim: fragments come here, and the datagrams they are parts of do not
// complete. Evidence: the namespace's counters of reassembly; fragments that were thrown away when
// their time was over. Looks alike: one fragment lost now and then (ordinary loss: a small share),
// a fragment that comes twice (benign).
#include <algorithm>

#include <fmt/format.h>

#include "detect/drops.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

struct Reassembly {
    std::uint64_t fragments = 0, complete = 0, failed = 0, timeouts = 0;

    double share() const { return failed ? double(failed) / double(failed + complete) : 0; }
    bool is_fault() const {
        using namespace threshold;
        return (failed >= kReassemblyFailsMin && share() >= kReassemblyShare) ||
               (fragments >= kFragmentsAlone && !complete);
    }
};

Reassembly reassembly_of(const Counters& grew) {
    return {grew[counter("Ip.ReasmReqds")] + grew[counter("Ip6.ReasmReqds")],
            grew[counter("Ip.ReasmOKs")] + grew[counter("Ip6.ReasmOKs")],
            grew[counter("Ip.ReasmFails")] + grew[counter("Ip6.ReasmFails")],
            grew[counter("Ip.ReasmTimeout")]};
}

/// Where most of the fragments come from: by those that were thrown away.
void add_place(Finding& finding, const std::vector<DropFacts>& places, const Window& total) {
    std::map<std::string, std::uint64_t> sources;
    for (const DropFacts& place : places) {
        finding.where.kernel = place.symbol;
        finding.where.reason = place.reason;
        const std::string name = device(place.at.netns, place.main_device(), total.names);
        finding.where.device = name == "-" ? "" : name;
        finding.first_ns = place.first_ns;
        for (const auto& [drop, info] : place.samples)
            if (drop.flow.family)
                sources[address(drop.flow, true)] += info.count;
        if (!place.example.empty())
            finding.evidence.push_back(
                {"for example " + place.example, std::nullopt, "", "kfree_skb"});
    }
    const auto most = std::ranges::max_element(sources, {}, [](const auto& s) { return s.second; });
    if (most == sources.end())
        return;
    finding.where.remote = most->first;
    finding.title += fmt::format(", most from {}", most->first);
}

/// ip_defrag, ip_frag_queue, inet_frag_queue_insert, nf_ct_frag6_gather.
bool is_reassembly(const std::string& place) {
    return place.find("frag") != std::string::npos;
}

/// Parts of datagrams that this host itself throws away elsewhere.
void add_dropped_parts(Finding& finding, const Window& total) {
    std::map<DropPlace, std::uint64_t> places;
    for (const auto& [drop, info] : total.rows<drop_event>(ABI_DROP))
        if (drop.flow.protocol == IPPROTO_UDP && drop.flow.family && !drop.flow.remote_port &&
            !drop.flow.local_port && !is_benign(drop, total.names) &&
            !drop_reason(drop.reason, total.names).starts_with("FRAG_") &&
            !is_reassembly(symbol(drop.location, total.names)))
            places[{drop.reason, drop.flow.netns, drop.location}] += info.count;
    for (const auto& [place, count] : places)
        finding.evidence.push_back(
            {fmt::format("this host itself drops later fragments: {} at {}, {}",
                         drop_reason(place.reason, total.names),
                         symbol(place.location, total.names), netns_name(place.netns, total.names)),
             double(count), "packets", "kfree_skb"});
}

/// Anybody on the Internet can send parts of datagrams that nobody here waits for.
bool only_strangers(const std::vector<DropFacts>& places) {
    bool sampled = false;
    for (const DropFacts& place : places) {
        if (!place.affected.empty() || !std::ranges::all_of(place.samples, [](const auto& sample) {
                return is_from_stranger(sample.record);
            }))
            return false;
        sampled |= !place.samples.empty();
    }
    return sampled;
}

Finding describe(std::uint32_t netns, const Reassembly& r, const std::vector<DropFacts>& places,
                 const Window& total) {
    Finding finding{.id = "reassembly-failure", .layer = Layer::kNetwork};
    finding.severity = only_strangers(places)            ? Severity::kInfo
                       : !r.complete || r.share() >= 0.5 ? Severity::kCritical
                                                         : Severity::kWarning;
    finding.confidence = r.failed ? 0.9 : 0.8;
    finding.title = r.complete ? fmt::format("{} of the fragmented datagrams do not complete",
                                             percent(r.share()))
                               : "no fragmented datagram completes";
    finding.where.netns = netns;
    finding.count = r.failed;
    finding.rate_per_s = per_second(total, double(r.failed));
    finding.evidence.push_back(
        {fmt::format("{} fragments came: {} datagrams completed, {} failed, {} of them for want of "
                     "a part in time",
                     r.fragments, r.complete, r.failed, r.timeouts),
         double(r.failed), "datagrams", "Ip.ReasmReqds, ReasmOKs, ReasmFails, ReasmTimeout"});
    add_place(finding, places, total);
    add_dropped_parts(finding, total);
    const std::string in = in_netns(netns, total.names);
    if (r.failed > 2 * r.timeouts && r.failed >= threshold::kReassemblyFailsMin)
        finding.advice.push_back({"few ran out of time: the memory for fragments may be too small",
                                  in + "sysctl net.ipv4.ipfrag_high_thresh"});
    finding.advice.push_back({"a filter on the way lets only first fragments pass, or the path "
                              "loses packets: avoid fragments (smaller datagrams, EDNS 1232)",
                              in + "nstat -az 'Ip*Reasm*'"});
    finding.verify = verify_in_netns(finding);
    return finding;
}

} // namespace

std::vector<Finding> detect_reassembly_failure(const Facts& facts) {
    std::vector<Finding> findings;
    const auto all = facts.drops().of("reassembly-failure");
    for (const auto& [netns, counters] : facts.total.counters) {
        const Reassembly r = reassembly_of(counters.growth);
        if (!counters.error.empty() || !r.is_fault())
            continue;
        std::vector<DropFacts> places;
        std::ranges::copy_if(all, std::back_inserter(places),
                             [&](const DropFacts& d) { return d.at.netns == netns; });
        findings.push_back(describe(netns, r, places, facts.total));
    }
    return findings;
}

} // namespace culprit
