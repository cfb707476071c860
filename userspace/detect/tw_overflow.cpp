// SPDX-License-Identifier: MIT
// tw-overflow. Claim: a namespace has no room for more TIME_WAIT; connections vanish at once, and
// what their peers still send meets no socket. Evidence: TcpExt.TCPTimeWaitOverflow grew; who came
// to TIME_WAIT meanwhile. Looks alike: a service that died, a storm of resets.
#include <fmt/format.h>

#include "abi/reset.h"
#include "detect/sockets.h"
#include "model/format.h"

namespace culprit {

namespace {

/// Answers to what belongs to no socket any more.
std::uint64_t stray_answers(const Window& total, std::uint32_t netns) {
    std::uint64_t count = 0;
    for (const auto& [reset, info] : total.rows<reset_event>(ABI_RESET))
        if (reset.direction == ABI_SENT && !reset.tcp_state && reset.flow.netns == netns)
            count += info.count;
    return count;
}

Finding describe(const Window& total, std::uint32_t netns, std::uint64_t overflows) {
    const Shares entries = entries_into_time_wait(
        total, [&](const close_event& closed) { return closed.flow.netns == netns; });
    const Share closer = entries.main();
    const auto limit = gauge_of(total, netns, gauge("tcp_max_tw_buckets"));
    Finding finding{.id = "tw-overflow", .severity = Severity::kWarning};
    finding.confidence = 0.95;
    finding.culprit = Party{closer.owner, netns};
    finding.title =
        fmt::format("TIME_WAIT is full{}, by {}", limit ? fmt::format(" at {}", *limit) : "",
                    owner_name(closer.owner, total.names));
    finding.where.netns = netns;
    finding.first_ns = closer.first_ns ? closer.first_ns : total.from_ns;
    finding.count = overflows;
    finding.rate_per_s = per_second(total, double(overflows));
    finding.evidence.push_back({fmt::format("{} connections found no room in TIME_WAIT", overflows),
                                double(overflows), "connections", "TcpExt.TCPTimeWaitOverflow"});
    if (entries.all)
        finding.evidence.push_back({fmt::format("{} of {} connections that closed first were its",
                                                closer.count, entries.all),
                                    double(closer.count) / double(entries.all), "ratio",
                                    "inet_sock_set_state"});
    if (const std::uint64_t strays = stray_answers(total, netns))
        finding.evidence.push_back(
            {fmt::format("{} resets were sent for packets without a socket: late FINs are such",
                         strays),
             double(strays), "resets", "tcp_send_reset"});
    finding.advice.push_back({"keep connections open and use them again (keep-alive, a pool)", ""});
    if (limit)
        finding.advice.push_back(
            {fmt::format("or make room: tcp_max_tw_buckets is {}, proposed is {}; each takes about "
                         "250 bytes",
                         *limit, 4 * *limit),
             fmt::format("{}sysctl -w net.ipv4.tcp_max_tw_buckets={}", in_netns(netns, total.names),
                         4 * *limit)});
    finding.verify = verify_in_netns(finding);
    return finding;
}

} // namespace

std::vector<Finding> detect_tw_overflow(const Facts& facts) {
    std::vector<Finding> findings;
    for (const auto& [netns, counters] : facts.total.counters)
        if (const auto overflows = counters.growth[counter("TcpExt.TCPTimeWaitOverflow")])
            findings.push_back(describe(facts.total, netns, overflows));
    return findings;
}

} // namespace culprit
