// SPDX-License-Identifier: MIT
// time-wait-growth. Claim: one active closer fills a namespace with TIME_WAIT, and towards which
// limit. Evidence: sockets at the begin and the end of the run, connections that ended here first.
// Growth alone is healthy: a limit makes it a warning. Looks alike: a natural level (each lasts
// 60 s, so a rate levels off), a full table (tw-overflow), ports held by open connections and
// connects that fail already (port-exhaustion).
#include <netinet/tcp.h>

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "detect/sockets.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

constexpr double kTimeWaitSeconds = 60; // include/net/tcp.h: TCP_TIMEWAIT_LEN

/// TIME_WAIT of one service, seen from one end.
struct Story {
    socket_total row{};
    std::uint64_t at_begin = 0, at_end = 0, first_ns = 0;
    Shares owners; // by the listener behind the port
};

struct Population {
    std::uint64_t at_begin = 0, at_end = 0, all_at_end = 0;
    std::map<std::string, Story> stories;

    const Story& main() const {
        return std::ranges::max_element(stories, {},
                                        [](const auto& entry) { return entry.second.at_end; })
            ->second;
    }
};

std::map<std::uint32_t, Population> collect(const Window& total) {
    std::map<std::uint32_t, Population> found;
    for (const auto& [row, info] : total.rows<socket_total>(ABI_SOCKET_TOTAL)) {
        Population& all = found[row.flow.netns];
        all.all_at_end += row.state == TCP_LISTEN ? 0 : row.at_end;
        if (row.state != TCP_TIME_WAIT)
            continue;
        all.at_begin += row.at_begin;
        all.at_end += row.at_end;
        const bool server = row.role == ABI_ROLE_SERVER;
        Story& story = all.stories[server ? fmt::format("s{}", row.flow.local_port)
                                          : endpoint(row.flow, false)];
        story.row = row;
        story.at_begin += row.at_begin;
        story.at_end += row.at_end;
        story.first_ns = info.first_ns;
        story.owners.add(row.owner, row.at_end, info.first_ns);
    }
    std::erase_if(found, [](const auto& entry) { return entry.second.stories.empty(); });
    return found;
}

/// Growth of a namespace's TIME_WAIT in the second half of the run, where a burst that is over
/// shows; none when the run was too short to tell.
std::optional<double> late_growth(const Facts& facts, std::uint32_t netns) {
    if (facts.windows.size() < 2)
        return std::nullopt;
    const Window& middle = facts.windows[(facts.windows.size() - 1) / 2];
    const Window& last = facts.windows.back();
    const auto before = gauge_of(middle, netns, gauge("TCP.tw"));
    const auto now = gauge_of(last, netns, gauge("TCP.tw"));
    if (!before || !now || last.to_ns <= middle.to_ns)
        return std::nullopt;
    return (double(*now) - double(*before)) / (double(last.to_ns - middle.to_ns) / 1e9);
}

/// A level now and at the beginning.
struct Level {
    std::uint64_t used = 0, at_begin = 0;
};

Pressure pressure(const Facts& facts, std::uint32_t netns, const Level& level, std::uint64_t limit,
                  std::uint64_t entries) {
    Pressure p{.used = level.used, .limit = limit};
    const double growth = per_second(facts.total, double(level.used) - double(level.at_begin));
    p.growth_per_s = std::min(growth, late_growth(facts, netns).value_or(growth));
    p.levels_off = kTimeWaitSeconds * std::max(growth, per_second(facts.total, double(entries)));
    return p;
}

Pressure bucket_pressure(const Facts& facts, std::uint32_t netns, const Population& all) {
    const Window& total = facts.total;
    const Shares entries = entries_into_time_wait(
        total, [&](const close_event& closed) { return closed.flow.netns == netns; });
    const auto limit = gauge_of(total, netns, gauge("tcp_max_tw_buckets")).value_or(0);
    return pressure(facts, netns, {all.at_end, all.at_begin}, limit, entries.all);
}

/// Ports of the worst destination that TIME_WAIT keeps most of.
Pressure port_pressure(const Facts& facts, std::uint32_t netns, abi_flow& to) {
    const Window& total = facts.total;
    std::set<std::string> failing; // reported as port-exhaustion
    for (const auto& [attempt, info] : total.rows<connect_event>(ABI_CONNECT))
        if (has_no_port(attempt))
            failing.insert(endpoint(attempt.flow, false));
    Pressure worst;
    for (const PortUse& use : port_use(total)) {
        if (use.flow.netns != netns || 2 * use.time_wait < use.at_end ||
            failing.contains(endpoint(use.flow, false)))
            continue;
        const Shares entries = entries_into_time_wait(total, [&](const close_event& closed) {
            return closed.flow.netns == netns && role_of(closed) == ABI_ROLE_CLIENT &&
                   closed.service_port == use.flow.remote_port;
        });
        const Pressure p =
            pressure(facts, netns, {use.at_end, use.at_begin}, use.range, entries.all);
        if (p.share() <= worst.share())
            continue;
        worst = p;
        to = use.flow;
    }
    return worst;
}

/// Worth knowing although no limit is near.
bool is_notable(const Window& total, const Population& all) {
    const double growth = per_second(total, double(all.at_end) - double(all.at_begin));
    const bool large_share =
        double(all.at_end) >= threshold::kTimeWaitShare * double(all.all_at_end);
    return all.at_end >= threshold::kTimeWaitMany ||
           (all.at_end >= threshold::kTimeWaitShareMin &&
            (large_share || growth >= threshold::kTimeWaitPerSecond));
}

void blame(Finding& finding, const Window& total, const Story& story) {
    const bool server = story.row.role == ABI_ROLE_SERVER;
    const std::uint16_t port = server ? story.row.flow.local_port : story.row.flow.remote_port;
    const Shares entries = entries_into_time_wait(total, [&](const close_event& closed) {
        return closed.flow.netns == story.row.flow.netns && role_of(closed) == story.row.role &&
               closed.service_port == port;
    });
    const Share closer = entries.all ? entries.main() : story.owners.main();
    finding.culprit = Party{closer.owner, story.row.flow.netns};
    const std::string who = owner_name(closer.owner, total.names);
    finding.title =
        server ? fmt::format("{} closes first: {} connections of its port {} are in TIME_WAIT", who,
                             story.at_end, port)
               : fmt::format("{} closes first: {} connections to {} are in TIME_WAIT", who,
                             story.at_end, endpoint(story.row.flow, false));
    (server ? finding.where.local : finding.where.remote) = endpoint(story.row.flow, server);
    if (entries.all)
        finding.evidence.push_back(
            {fmt::format("{} of {} connections that came to TIME_WAIT at that port were closed by "
                         "it, {:.0f} per second",
                         closer.count, entries.all, per_second(total, double(closer.count))),
             double(closer.count) / double(entries.all), "ratio", "inet_sock_set_state"});
    if (story.at_begin)
        finding.evidence.push_back(
            {fmt::format("{} were there before; who closed those is not known", story.at_begin),
             double(story.at_begin), "sockets", "iter/tcp"});
    finding.confidence = closer.owner.tgid ? 0.95 : 0.7;
    finding.first_ns = closer.first_ns ? closer.first_ns : story.first_ns;
}

void advise(Finding& finding, const Window& total, const Story& story, const Pressure& ports) {
    const std::uint32_t netns = finding.where.netns;
    const std::string sysctl = in_netns(netns, total.names) + "sysctl -w net.ipv4.";
    if (story.row.role == ABI_ROLE_SERVER) {
        finding.advice.push_back(
            {"let the client close first, or keep connections open for more than one request", ""});
    } else {
        finding.advice.push_back(
            {"keep connections open and use them again (keep-alive, a pool)", ""});
        const auto reuse = gauge_of(total, netns, gauge("tcp_tw_reuse"));
        if (reuse && *reuse != 1)
            finding.advice.push_back(
                {fmt::format("or let new connections take over ports in TIME_WAIT: tcp_tw_reuse is "
                             "{}, proposed is 1",
                             *reuse),
                 sysctl + "tcp_tw_reuse=1"});
    }
    const auto low = gauge_of(total, netns, gauge("ip_local_port_range.low"));
    if (ports.is_high() && low && *low > threshold::kPortRangeLow)
        finding.advice.push_back(
            {fmt::format("or give it more ports: there are {}", ports.limit),
             sysctl + fmt::format("ip_local_port_range='{} 65535'", threshold::kPortRangeLow)});
}

} // namespace

std::vector<Finding> detect_time_wait_growth(const Facts& facts) {
    const Window& total = facts.total;
    std::vector<Finding> findings;
    for (const auto& [netns, all] : collect(total)) {
        abi_flow to{};
        const Pressure buckets = bucket_pressure(facts, netns, all);
        const Pressure ports = port_pressure(facts, netns, to);
        const bool limited = buckets.is_high() || ports.is_high();
        if (!limited && !is_notable(total, all))
            continue;
        Finding finding{.id = "time-wait-growth",
                        .severity = limited ? Severity::kWarning : Severity::kInfo};
        finding.where.netns = netns;
        finding.count = all.at_end;
        finding.rate_per_s = per_second(total, double(all.at_end) - double(all.at_begin));
        const Story& story = all.main();
        blame(finding, total, story);
        finding.evidence.insert(
            finding.evidence.begin(),
            {fmt::format("{} of {} sockets are in TIME_WAIT, {} when the run began", all.at_end,
                         all.all_at_end, all.at_begin),
             double(all.at_end), "sockets", "iter/tcp"});
        if (buckets.limit)
            finding.evidence.push_back({buckets.text("TIME_WAIT sockets there may be"),
                                        buckets.share(), "ratio", "tcp_max_tw_buckets"});
        if (ports.limit)
            finding.evidence.push_back({ports.text("local ports to " + endpoint(to, false)),
                                        ports.share(), "ratio", "ip_local_port_range"});
        advise(finding, total, story, ports);
        finding.verify = verify_in_netns(finding);
        findings.push_back(std::move(finding));
    }
    return findings;
}

} // namespace culprit
