// SPDX-License-Identifier: MIT
// no-route. Claim: processes of this host want to go where no route leads, or where a route or rule
// says unreachable or prohibited; or packets that this host should forward find no route. Evidence:
// failed route lookups of calls, by destination and process; drops of received packets for want of
// a route, with attempts that repeat. Looks alike: an IPv6 address tried first where only IPv4
// works and datagram sockets connected for their address only (routes.cpp leaves both out), a
// blackhole (blackhole-route), forwarding that is off (forwarding-disabled).
#include <fmt/format.h>

#include "detect/routes.h"
#include "model/format.h"

namespace culprit {

namespace {

bool is_ours(Refused why) {
    return why == Refused::kNoRoute || why == Refused::kUnreachable || why == Refused::kProhibit;
}

const char* what(Refused why) {
    return why == Refused::kProhibit      ? "a prohibit route"
           : why == Refused::kUnreachable ? "an unreachable route"
                                          : "no route";
}

Advice advice_for(Refused why, const std::string& to, std::uint32_t netns, const Names& names) {
    const std::string look =
        fmt::format("{}ip route get {}", in_netns(netns, names), to.empty() ? "ADDRESS" : to);
    return why == Refused::kNoRoute
               ? Advice{"add a route to it, or correct the address; what the kernel says now", look}
               : Advice{"remove the route or rule that refuses it, or correct the address", look};
}

Finding calls_finding(const RefusedCalls& calls, const Window& total) {
    const std::string to = address(calls.to, false);
    Finding finding = refused_calls_finding("no-route", calls, total);
    finding.title =
        fmt::format("{} wants to reach {}, and there is {}",
                    owner_name(finding.culprit->owner, total.names), endpoint(calls.to, false),
                    calls.why == Refused::kNoRoute ? "no route to it"
                                                   : what(calls.why) + std::string(" for it"));
    finding.advice.push_back(advice_for(calls.why, to, calls.to.netns, total.names));
    return finding;
}

std::string address_part(const std::string& end) {
    if (end.starts_with('['))
        return end.substr(1, end.find(']') - 1);
    return end.substr(0, end.find(':'));
}

std::optional<Finding> packets_finding(const RefusedPackets& packets, const Window& total) {
    const std::string to = main_destination(packets.drops);
    const bool sent = packets.drops.reason == "IP_OUTNOROUTES" &&
                      !packets.drops.function().starts_with("ip6_pkt");
    return refused_packets_finding(
        "no-route", packets,
        fmt::format("{} for packets {} {}", what(packets.why),
                    sent ? "of open connections to" : "that this host should forward to",
                    to.empty() ? "somewhere" : to),
        {advice_for(packets.why, address_part(to), packets.drops.at.netns, total.names)}, total);
}

} // namespace

std::vector<Finding> detect_no_route(const Facts& facts) {
    std::vector<Finding> findings;
    for (const RefusedCalls& calls : refused_calls(facts.total))
        if (is_ours(calls.why))
            findings.push_back(calls_finding(calls, facts.total));
    for (const RefusedPackets& packets : refused_packets(facts))
        if (is_ours(packets.why))
            if (auto finding = packets_finding(packets, facts.total))
                findings.push_back(std::move(*finding));
    limit_per_process(findings);
    return findings;
}

} // namespace culprit
