// SPDX-License-Identifier: MIT
// host-unreachable. Claim: a router (or the destination) says by ICMP that there is no way to where
// this process wants to go. Evidence: attempts to connect, datagrams and connections that such an
// error ended or is about. Looks alike: a neighbour on the own link that does not answer (this host
// tells itself so), a route that is missing here (no packet, so no ICMP), the own firewall's
// reject, a routing loop (ttl-exceeded).
#include <fmt/format.h>

#include "abi/icmp.h"
#include "detect/thresholds.h"
#include "detect/unreachable.h"
#include "model/format.h"

namespace culprit {

namespace {

constexpr std::uint8_t kUnreachable = 3;

/// ICMP codes of a filter (RFC 1812 5.2.7.1): administratively prohibited.
bool is_prohibited(std::uint8_t code) {
    return code == 9 || code == 10 || code == 13;
}

/// The message about it, when a namespace of this host sent it.
std::optional<Row<icmp_event>> sender_of(const Unreachable& one, const Window& total) {
    for (const auto& row : total.rows<icmp_event>(ABI_ICMP)) {
        const icmp_event& icmp = row.record;
        if (icmp.direction == ABI_SENT && icmp.type == kUnreachable &&
            address(icmp.flow, false) == address(one.flow, false) &&
            address(icmp.flow, true) == address(one.flow, true))
            return row;
    }
    return std::nullopt;
}

void add_router(Finding& finding, const Unreachable& one, const Window& total) {
    const auto sent = sender_of(one, total);
    if (!sent) {
        finding.evidence.push_back({"the router that says so is beyond this host, and the kernel "
                                    "does not keep its address",
                                    std::nullopt, "", "icmp_send"});
        finding.advice.push_back(
            {"the last hop that answers says so: look there",
             fmt::format("{}traceroute -n {}", in_netns(one.party.netns, total.names),
                         address(one.flow, false))});
        return;
    }
    const icmp_event& icmp = sent->record;
    finding.evidence.push_back(
        {fmt::format("sent by this host itself, namespace {}: ICMP type {} code {}{}",
                     netns_name(icmp.flow.netns, total.names), icmp.type, icmp.code,
                     is_prohibited(icmp.code) ? ", rejected by a filter" : ""),
         double(sent->info.count), "messages", "icmp_send"});
    finding.advice.push_back(
        {is_prohibited(icmp.code) ? "find the rule that rejects it"
                                  : "look at the route that namespace has to it",
         in_netns(icmp.flow.netns, total.names) +
             (is_prohibited(icmp.code) ? "nft -a list ruleset"
                                       : "ip route get " + address(one.flow, false))});
}

} // namespace

std::vector<Finding> detect_host_unreachable(const Facts& facts) {
    std::vector<Finding> findings;
    const Unreachables unreachables(facts.total);
    for (const Unreachable& one : unreachables.all()) {
        if (one.by != UnreachableBy::kRouter || !one.is_fault())
            continue;
        Finding finding = unreachable_finding("host-unreachable", one, facts.total);
        finding.confidence = one.failed + one.told ? 0.95 : 0.8;
        finding.title = fmt::format("{} cannot reach {}: a router says it is unreachable",
                                    owner_name(one.party.owner, facts.total.names), one.to);
        add_router(finding, one, facts.total);
        findings.push_back(std::move(finding));
    }
    limit_per_process(findings);
    return findings;
}

} // namespace culprit
