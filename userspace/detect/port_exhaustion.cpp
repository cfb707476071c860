// SPDX-License-Identifier: MIT
// port-exhaustion. Claim: there are no local ports left to one destination, or soon none; to blame
// is who holds them, not who needs one. Evidence: connects that failed before a SYN for want of a
// port, sockets to that destination against the port range. Looks alike: a refused connection
// (answered), ports kept by TIME_WAIT while connects still succeed (time-wait-growth).
#include <map>

#include <fmt/format.h>

#include "detect/sockets.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

struct Failures {
    abi_flow flow{};
    Shares victims;
    std::uint64_t first_ns = 0;
};

/// By namespace and destination.
using Key = std::pair<std::uint32_t, std::string>;

std::map<Key, Failures> collect(const Window& total) {
    std::map<Key, Failures> found;
    for (const auto& [attempt, info] : total.rows<connect_event>(ABI_CONNECT)) {
        if (!has_no_port(attempt))
            continue;
        Failures& failures = found[{attempt.flow.netns, endpoint(attempt.flow, false)}];
        failures.flow = attempt.flow;
        failures.victims.add(attempt.owner, info.count, info.first_ns);
        failures.first_ns =
            failures.first_ns ? std::min(failures.first_ns, info.first_ns) : info.first_ns;
    }
    return found;
}

Shares closers_to(const Window& total, const abi_flow& to) {
    return entries_into_time_wait(total, [&](const close_event& closed) {
        return closed.flow.netns == to.netns && role_of(closed) == ABI_ROLE_CLIENT &&
               closed.service_port == to.remote_port;
    });
}

Pressure pressure_of(const Window& total, const PortUse& use) {
    return {.used = std::max(use.at_begin, use.at_end),
            .limit = use.range,
            .growth_per_s = per_second(total, double(use.at_end) - double(use.at_begin))};
}

bool closed_mostly(const PortUse& use) {
    return use.at_end && 2 * use.time_wait >= use.at_end;
}

void blame(Finding& finding, const Window& total, const PortUse& use) {
    const bool by_closing = closed_mostly(use);
    const Shares shares = by_closing ? closers_to(total, use.flow) : use.holders;
    const Share holder = shares.main();
    const Pressure pressure = pressure_of(total, use);
    finding.culprit = Party{holder.owner, use.flow.netns};
    finding.where = {.local = address(use.flow, true),
                     .remote = endpoint(use.flow, false),
                     .netns = use.flow.netns};
    finding.evidence.push_back({use.at_end ? pressure.text("local ports are in use")
                                           : "no socket to that destination was there at the end",
                                pressure.share(), "ratio", "ip_local_port_range"});
    if (holder.count)
        finding.evidence.push_back(
            {by_closing
                 ? fmt::format(
                       "{} of them in TIME_WAIT; {} of {} that came there were closed by {}",
                       use.time_wait, holder.count, shares.all,
                       owner_name(holder.owner, total.names))
                 : fmt::format("{} holds {} of the {} open ones",
                               owner_name(holder.owner, total.names), holder.count, shares.all),
             double(holder.count), "sockets", by_closing ? "inet_sock_set_state" : "iter/tcp"});
    if (use.at_end && pressure.share() < threshold::kPortsSeen)
        finding.evidence.push_back(
            {"the others are not in the list of connections: ports that are only bound",
             {},
             "",
             "iter/tcp"});
    finding.advice.push_back(
        {by_closing ? "keep connections open and use them again (keep-alive, a pool)"
                    : "close what is not needed, share connections, or use more addresses",
         ""});
    const auto low = gauge_of(total, use.flow.netns, gauge("ip_local_port_range.low"));
    const auto high = gauge_of(total, use.flow.netns, gauge("ip_local_port_range.high"));
    if (low && high && (*low > threshold::kPortRangeLow || *high < 65535))
        finding.advice.push_back(
            {fmt::format("or give it more ports: ip_local_port_range is {} {}", *low, *high),
             fmt::format("{}sysctl -w net.ipv4.ip_local_port_range='{} 65535'",
                         in_netns(use.flow.netns, total.names), threshold::kPortRangeLow)});
}

Finding describe(const Window& total, const PortUse& use, const Failures* failures) {
    Finding finding{.id = "port-exhaustion",
                    .severity = failures ? Severity::kCritical : Severity::kWarning};
    blame(finding, total, use);
    const bool known = finding.culprit->owner.tgid;
    finding.confidence = failures ? (known ? 0.95 : 0.8) : 0.85;
    const std::string to = endpoint(use.flow, false);
    const std::string who = owner_name(finding.culprit->owner, total.names);
    finding.title = !known ? fmt::format("no local port is left to {}", to)
                    : failures
                        ? fmt::format("{} holds the local ports to {}: none is left", who, to)
                        : fmt::format("{} holds most of the local ports to {}", who, to);
    if (!failures) {
        finding.first_ns = total.from_ns;
        finding.count = use.at_end;
        finding.rate_per_s = pressure_of(total, use).growth_per_s;
    } else {
        finding.first_ns = failures->first_ns;
        finding.count = failures->victims.all;
        finding.rate_per_s = per_second(total, double(finding.count));
        for (const Share& victim : failures->victims.parts)
            add_party(finding.affected, {victim.owner, use.flow.netns});
        finding.evidence.insert(
            finding.evidence.begin(),
            {fmt::format("{} connects failed with EADDRNOTAVAIL before a SYN was sent",
                         finding.count),
             double(finding.count), "connects", "inet_sock_set_state"});
    }
    finding.verify = verify_in_netns(finding);
    return finding;
}

/// Of the destination, from the address with the most sockets; one of none when there are none.
PortUse worst_use(const std::vector<PortUse>& all, const Failures& failures,
                  const std::string& to) {
    PortUse worst{.flow = failures.flow};
    for (const PortUse& use : all)
        if (use.flow.netns == failures.flow.netns && endpoint(use.flow, false) == to &&
            use.at_end >= worst.at_end)
            worst = use;
    return worst;
}

} // namespace

std::vector<Finding> detect_port_exhaustion(const Facts& facts) {
    const Window& total = facts.total;
    const auto failing = collect(total);
    const auto uses = port_use(total);
    std::vector<Finding> findings;
    for (const auto& [key, failures] : failing) {
        Failures sorted = failures;
        sorted.victims.sort();
        findings.push_back(describe(total, worst_use(uses, failures, key.second), &sorted));
    }
    for (const PortUse& use : uses) {
        const Pressure pressure = pressure_of(total, use);
        if (!closed_mostly(use) && pressure.is_high() && pressure.growth_per_s > 0 &&
            !failing.contains({use.flow.netns, endpoint(use.flow, false)}))
            findings.push_back(describe(total, use, nullptr));
    }
    return findings;
}

} // namespace culprit
