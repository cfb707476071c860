// SPDX-License-Identifier: MIT
// csum-errors. Claim: packets arrive corrupted. Evidence: drops for a wrong checksum and the
// kernel's counters, as a share of what arrived; device and peer. Looks alike: packets made here
// whose checksum the device was to fill in are no error (the kernel knows them); a stray or two on
// a long run is the physics of any link.
#include <algorithm>

#include <fmt/format.h>

#include "detect/receivers.h"
#include "detect/thresholds.h"
#include "model/format.h"
#include "util/text.h"

namespace culprit {

namespace {

std::uint64_t received(const Window& total, std::uint32_t netns, std::uint64_t corrupt) {
    return std::max(grown(total, netns, counter("Tcp.InSegs")) +
                        udp_growth(total, netns).delivered + corrupt,
                    grown(total, netns, counter("Ip.InReceives")) +
                        grown(total, netns, counter("Ip6.InReceives")));
}

Finding describe(const DropFacts& drops, const Window& total) {
    const std::uint32_t netns = drops.at.netns;
    const std::uint64_t all = received(total, netns, drops.packets);
    const double share = double(drops.packets) / double(all);
    const Tally sources = sources_of(drops.samples);
    const std::string on = device(netns, drops.main_device(), total.names);
    Finding finding{.id = "csum-errors", .layer = Layer::kNetwork};
    finding.severity = share >= threshold::kCsumCritical  ? Severity::kCritical
                       : share >= threshold::kCsumWarning ? Severity::kWarning
                                                          : Severity::kInfo;
    finding.confidence = 0.95;
    finding.where = {.remote = sources.first(),
                     .device = drops.main_device() ? on : "",
                     .kernel = drops.symbol,
                     .reason = drops.reason,
                     .netns = netns};
    finding.title = fmt::format("packets arrive corrupted{}{}: {} with a wrong checksum, {} of all",
                                finding.where.device.empty() ? "" : " by " + on,
                                sources.counts.empty() ? "" : " from " + sources.first(),
                                drops.packets, percent(share));
    finding.affected = drops.affected;
    finding.first_ns = drops.first_ns ? drops.first_ns : total.from_ns;
    finding.count = drops.packets;
    finding.rate_per_s = per_second(total, double(drops.packets));
    finding.evidence.push_back(
        {fmt::format("{} of {} packets that arrived had a wrong checksum", drops.packets, all),
         share, "ratio", "kfree_skb"});
    finding.evidence.push_back({fmt::format("the namespace counts {} of TCP and {} of UDP",
                                            grown(total, netns, counter("Tcp.InCsumErrors")),
                                            udp_growth(total, netns).csum),
                                std::nullopt, "", "Tcp.InCsumErrors, Udp.InCsumErrors"});
    if (!sources.counts.empty())
        finding.evidence.push_back(
            {"they come from " + sources.text(), std::nullopt, "", "kfree_skb"});
    finding.advice.push_back(
        {"cable, transceiver and port first; then the devices on the way that rewrite packets "
         "(NAT, tunnels, a virtual switch's offloads)",
         fmt::format("{}ip -s -s link show {}", in_netns(netns, total.names),
                     shell_word(finding.where.device))});
    finding.verify = verify_in_netns(finding);
    return finding;
}

} // namespace

std::vector<Finding> detect_csum_errors(const Facts& facts) {
    std::vector<Finding> findings;
    for (const auto& [netns, drops] : drops_by_netns(facts, "csum-errors")) {
        const auto counted = facts.total.counters.find(netns);
        const bool known = counted != facts.total.counters.end() && counted->second.error.empty();
        if (known && drops.packets >= threshold::kCsumMin)
            findings.push_back(describe(drops, facts.total));
    }
    return findings;
}

} // namespace culprit
