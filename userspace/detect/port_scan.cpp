// SPDX-License-Identifier: MIT
// port-scan. Claim: one source tries many ports of a host. Evidence: a process of this host whose
// attempts to that many different ports of one address are refused or get no answer; or a remote
// source that this host refused on many ports, or whose packets to many ports its firewall drops.
// Looks alike: one service that is down (one port: conn-refused), peers that moved (many hosts, a
// port each), answers to a process that is gone (they come to ephemeral ports).
#include <map>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "abi/reset.h"
#include "detect/flows.h"
#include "detect/scans.h"
#include "detect/sockets.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

const abi_owner& busiest(const Scan& scan) {
    return std::ranges::max_element(scan.processes, {},
                                    [](const auto& one) { return one.second.first; })
        ->second.second;
}

Finding describe(const Scan& scan, const Window& total) {
    const std::string to = address(scan.flow, false);
    const abi_owner& owner = busiest(scan);
    Finding finding{.id = "port-scan", .severity = Severity::kWarning};
    finding.confidence = scan.processes.size() == 1 ? 0.95 : 0.85;
    finding.title = fmt::format("{}{} tries {} ports of {} that do not answer: a port scan",
                                owner_name(owner, total.names),
                                scan.processes.size() > 1 ? fmt::format(" and {} more of its name",
                                                                        scan.processes.size() - 1)
                                                          : "",
                                scan.closed.size(), to);
    finding.culprit = Party{owner, scan.flow.netns};
    finding.where = {.remote = to, .netns = scan.flow.netns};
    finding.first_ns = scan.first_ns;
    finding.count = scan.in_vain;
    finding.rate_per_s = per_second(total, double(scan.in_vain));
    finding.evidence.push_back(
        {fmt::format("{} of {} attempts were refused or not answered, at {} different ports from "
                     "{} to {}",
                     scan.in_vain, scan.all, scan.closed.size(), *scan.closed.begin(),
                     *scan.closed.rbegin()),
         double(scan.closed.size()), "ports", "inet_sock_set_state"});
    finding.advice.push_back(
        {"find out who started it; a scan that nobody here ordered means that this host may be "
         "taken over",
         fmt::format("ps -o pid,ppid,user,lstart,args -p {}", owner.tgid)});
    finding.verify = verify_in_netns(finding);
    return finding;
}

/// A source that this host turns away.
struct Source {
    std::string target;
    std::set<std::uint16_t> ports; // examples
    std::uint64_t refused = 0, dropped = 0, first_ns = 0;
};
using Sources = std::map<std::pair<std::uint32_t, std::string>, Source>; // netns, address

Source& note(Sources& sources, std::uint32_t netns, const std::string& from, const std::string& to,
             std::uint64_t first_ns) {
    Source& source = sources[{netns, from}];
    source.target = to;
    source.first_ns = source.first_ns ? std::min(source.first_ns, first_ns) : first_ns;
    return source;
}

/// A record of resets has the port of one of them, so each second gives an example. Ephemeral ports
/// are those of clients that ended: their servers' last packets are no scan.
void add_refused(Sources& sources, const Facts& facts) {
    constexpr std::uint64_t kEphemeral = 32768; // the usual beginning
    for (const Window& window : facts.windows)
        for (const auto& [reset, info] : window.rows<reset_event>(ABI_RESET)) {
            const std::uint64_t low =
                gauge_of(facts.total, reset.flow.netns, gauge("ip_local_port_range.low"))
                    .value_or(kEphemeral);
            if (reset.direction != ABI_SENT || reset.tcp_state || !reset.flow.family ||
                reset.flow.local_port >= low)
                continue;
            Source& source = note(sources, reset.flow.netns, address(reset.flow, false),
                                  address(reset.flow, true), info.first_ns);
            source.ports.insert(reset.flow.local_port);
            source.refused += info.count;
        }
}

void add_dropped(Sources& sources, const Window& total) {
    constexpr unsigned kSyn = 2, kAck = 16;
    for (const auto& [drop, info] : total.rows<drop_event>(ABI_DROP)) {
        const bool asks = drop.flow.protocol == IPPROTO_TCP &&
                          (drop.tcp_flags & (kSyn | kAck)) == kSyn && drop.path != ABI_PATH_OUTPUT;
        if (!asks || !drop.flow.family)
            continue;
        Source& source = note(sources, drop.flow.netns, address(drop.flow, true),
                              address(drop.flow, false), info.first_ns);
        source.ports.insert(drop.flow.remote_port);
        source.dropped += info.count;
    }
}

Finding describe(const Source& source, std::uint32_t netns, const std::string& from,
                 const Window& total) {
    Finding finding{.id = "port-scan", .severity = Severity::kInfo};
    finding.confidence = 0.6;
    finding.title = fmt::format("{} tries many closed ports of {}", from, source.target);
    finding.where = {.local = source.target, .remote = from, .netns = netns};
    finding.first_ns = source.first_ns;
    finding.count = source.refused + source.dropped;
    finding.rate_per_s = per_second(total, double(finding.count));
    finding.evidence.push_back(
        {fmt::format("refused {} times, dropped {} times, among them at {} different ports from {} "
                     "to {}",
                     source.refused, source.dropped, source.ports.size(), *source.ports.begin(),
                     *source.ports.rbegin()),
         double(finding.count), "packets", "tcp_send_reset, kfree_skb"});
    finding.advice.push_back({"scans from the Internet are normal life; one from the own network "
                              "is worth a look at its source",
                              ""});
    finding.verify = verify_in_netns(finding);
    return finding;
}

} // namespace

std::vector<Finding> detect_port_scan(const Facts& facts) {
    std::vector<Finding> findings;
    std::set<std::string> told; // addresses that a process of this host scans
    const Scans scans(facts.total);
    for (const auto& [key, scan] : scans.all()) {
        findings.push_back(describe(scan, facts.total));
        told.insert(address(scan.flow, false));
    }
    limit_per_process(findings);
    Sources sources;
    add_refused(sources, facts);
    add_dropped(sources, facts.total);
    constexpr std::size_t kSourcesMax = 5; // the Internet has many
    std::vector<Finding> remote;
    for (const auto& [key, source] : sources)
        if (source.ports.size() >= threshold::kScanPortsSeen &&
            source.refused + source.dropped >= threshold::kScanAnswers &&
            !told.contains(source.target))
            remote.push_back(describe(source, key.first, key.second, facts.total));
    std::ranges::stable_sort(remote, std::greater{}, &Finding::count);
    remote.resize(std::min(remote.size(), kSourcesMax));
    std::ranges::move(remote, std::back_inserter(findings));
    return findings;
}

} // namespace culprit
