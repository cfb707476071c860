// SPDX-License-Identifier: MIT
// From findings to one verdict: what was found, what was ruled out layer by layer, and what could
// not be looked at.
#include <algorithm>

#include <fmt/format.h>

#include "detect/finding.h"
#include "detect/impact.h"
#include "detect/thresholds.h"
#include "detect/traffic.h"
#include "model/format.h"

namespace culprit {

namespace {

const SignalStatus* status_of(const VerdictInput& input, std::string_view name) {
    const auto it = std::ranges::find(input.status, name, &SignalStatus::name);
    return it == input.status.end() ? nullptr : &*it;
}

/// One thing a layer's verdict rests on.
struct Check {
    Layer layer;
    const char* signal; // "" for what no signal of this version looks at
    const char* text;
    bool essential; // without it the layer cannot be called clear
};

constexpr Check kChecks[] = {
    {Layer::kPhysical, "nic", "transmissions refused by the driver, hung transmit queues", true},
    {Layer::kPhysical, "link", "carrier, errors by kind, the drivers' own counters of trouble",
     true},
    {Layer::kDataLink, "softnet", "input backlog of each CPU", true},
    {Layer::kDataLink, "program", "XDP programs, tc filters and TUN devices by name", false},
    {Layer::kDataLink, "qdisc",
     "egress queues: waiting times, backlog and drops, who fills them and who waits", true},
    {Layer::kDataLink, "drop", "drops by qdisc, tc, XDP, bridge and neighbour code", true},
    {Layer::kDataLink, "link", "frames for other VLANs, MTUs of both ends of a link", true},
    {Layer::kDataLink, "neigh",
     "neighbours that do not answer or answer twice, how full their tables are", true},
    {Layer::kNetwork, "drop", "drops by routing, firewall, fragmentation, a full connection table",
     true},
    {Layer::kNetwork, "firewall", "rules of the firewalls that dropped something", false},
    {Layer::kNetwork, "icmp", "ICMP errors sent here, and those that hit sockets", true},
    {Layer::kNetwork, "route", "calls that find no route: the kernel sends no packet then", false},
    {Layer::kNetwork, "program", "programs of cgroups by name", false},
    {Layer::kTransport, "connection", "results of connection attempts, endings of connections",
     true},
    {Layer::kTransport, "retransmit", "retransmissions by kind, process and peer", true},
    {Layer::kTransport, "reset", "resets sent and received", true},
    {Layer::kTransport, "drop", "drops in TCP and UDP: closed ports, full buffers, corruption",
     true},
    {Layer::kTransport, "listen", "accept and SYN queues of listening sockets, what they drop",
     true},
    {Layer::kTransport, "socket",
     "TIME_WAIT, CLOSE_WAIT, FIN_WAIT2, orphans and local ports, when the run began and ended",
     true},
    {Layer::kTransport, "socket", "receive buffers of UDP and TCP, when the run began and ended",
     true},
    {Layer::kTransport, "flow",
     "windows and buffers of both ends, round trips, order, peers that fell silent", true},
    {Layer::kApplication, "flow", "time between question and answer, readers that stand still",
     true},
    {Layer::kApplication, "listen", "processes that accept late or not at all", true},
    {Layer::kApplication, "cgroup", "CPU quotas of processes with sockets", false},
    {Layer::kApplication, "dns",
     "name resolution by process and server: latency, silence, response codes", true},
    {Layer::kApplication, "connection", "connections that end after the first bytes", false},
    {Layer::kApplication, "",
     "TLS and HTTP: what is said in a connection is payload, which is not read", false},
};

std::string why_not(const SignalStatus* status) {
    if (!status)
        return "the signal was not asked for";
    if (status->state != State::kOff && !status->unread.empty())
        return "it could be read only in part: " + status->unread.front();
    return status->why.empty() ? "the signal is off" : status->why.front();
}

std::vector<LayerVerdict> layers_of(const VerdictInput& input,
                                    const std::vector<Finding>& findings) {
    std::vector<LayerVerdict> layers;
    for (const Layer layer : {Layer::kPhysical, Layer::kDataLink, Layer::kNetwork,
                              Layer::kTransport, Layer::kApplication}) {
        LayerVerdict verdict{layer, LayerStatus::kClear, {}, {}};
        for (const Check& check : kChecks) {
            if (check.layer != layer)
                continue;
            const SignalStatus* status = *check.signal ? status_of(input, check.signal) : nullptr;
            if (status && status->state != State::kOff && status->unread.empty()) {
                verdict.checked.emplace_back(check.text);
                continue;
            }
            const std::string why = why_not(status);
            verdict.not_checked.push_back(
                *check.signal ? fmt::format("{} because {}", check.text, why) : check.text);
            if (check.essential)
                verdict.status = LayerStatus::kUnknown;
        }
        const bool found = std::ranges::any_of(findings, [&](const Finding& f) {
            return f.layer == layer && f.severity != Severity::kInfo;
        });
        if (found)
            verdict.status = LayerStatus::kSuspect;
        layers.push_back(std::move(verdict));
    }
    return layers;
}

bool is_essential(std::string_view signal) {
    return std::ranges::any_of(
        kChecks, [&](const Check& check) { return check.essential && check.signal == signal; });
}

std::vector<std::string> gaps_of(const VerdictInput& input) {
    std::vector<std::string> gaps = input.gaps;
    for (const SignalStatus& status : input.status)
        if (status.state == State::kOff)
            gaps.push_back(fmt::format("signal {} is off: {}", status.name,
                                       status.why.empty() ? "unknown reason" : status.why.front()));
        else if (!status.unread.empty() && is_essential(status.name))
            gaps.push_back(
                fmt::format("signal {} read only a part: {}", status.name, status.unread.front()));
    for (const auto& [id, lost] : input.facts.total.lost) {
        const Kind* kind = find_kind(id);
        if (kind && lost.ring_full)
            gaps.push_back(fmt::format("{} of {} {} records were lost (ring buffer full)",
                                       lost.ring_full, lost.seen, kind->name));
        if (kind && lost.folded)
            gaps.push_back(fmt::format(
                "{} {} records are counted without who and where: more than {} different ones",
                lost.folded, kind->name, Table::kRowsMax));
        if (kind && lost.map_full)
            gaps.push_back(fmt::format("{} entries for {} records were refused (kernel map full)",
                                       lost.map_full, kind->name));
    }
    return gaps;
}

} // namespace

Verdict judge(const VerdictInput& input) {
    const Window& total = input.facts.total;
    Verdict verdict;
    verdict.from_ns = total.from_ns;
    verdict.to_ns = total.to_ns;
    verdict.wall_offset_ns = total.wall_offset_ns;
    verdict.findings = detect_all(input.facts);
    if (!input.only.empty())
        std::erase_if(verdict.findings, [&](const Finding& f) { return f.id != input.only; });
    for (Finding& finding : verdict.findings)
        finding.traffic = traffic_at(finding.where, input.facts);
    verdict.layers = layers_of(input, verdict.findings);
    verdict.tcp = tcp_services(input.facts);
    verdict.dns = dns_services(input.facts);
    if (input.filtered)
        verdict.reconciliation_gaps.emplace_back(
            "counters are of whole namespaces and do not compare with a filtered view");
    else
        verdict.reconciliation = reconcile(input.facts);
    for (const auto& [netns, counters] : total.counters)
        if (!counters.error.empty() && verdict.reconciliation_gaps.size() < 8)
            verdict.reconciliation_gaps.push_back(fmt::format(
                "network namespace {}: {}", netns_name(netns, total.names), counters.error));
    verdict.lost = total.lost;
    verdict.incomplete = gaps_of(input);
    verdict.scope = scope_of(total);
    verdict.impact = impact_of(total, verdict.findings);
    verdict.thresholds = threshold::changed();
    verdict.names = total.names;
    const bool found = std::ranges::any_of(
        verdict.findings, [](const Finding& f) { return f.severity != Severity::kInfo; });
    verdict.outcome = found                         ? Outcome::kFindings
                      : !verdict.incomplete.empty() ? Outcome::kIncomplete
                                                    : Outcome::kHealthy;
    return verdict;
}

} // namespace culprit
