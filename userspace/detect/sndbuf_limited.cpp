// SPDX-License-Identifier: MIT
// sndbuf-limited. Claim: a process's send buffer is smaller than bandwidth times delay of the path
// need, so it sends one buffer per round trip and waits. Evidence: all that the buffer holds is in
// flight, while both windows have room. Looks alike: a process that has little to send (its buffer
// is not full), a small receive window (bdp-limited), loss (the congestion window is small), a
// short path (any buffer will do).
#include <fmt/format.h>

#include "detect/sockets.h"
#include "detect/tcp_flows.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

/// The kernel's own word, which it has of senders that wait in send(): the process has more to say,
/// the windows have room, the buffer has not.
bool waits_for_room(const FlowFacts& flow) {
    return flow.sum.sndbuf_locked &&
           double(flow.sum.sndbuf_limited_ns) >= threshold::kSndbufShare * flow.active_ns();
}

/// Of senders that do not wait there: all that the buffer holds is on its way.
bool is_all_in_flight(const FlowFacts& flow) {
    const double in_flight = flow.while_sending(flow.sum.in_flight);
    const double not_sent = flow.while_sending(flow.sum.not_sent);
    return in_flight + not_sent >= threshold::kPayloadShare * flow.while_sending(flow.sum.sndbuf) &&
           not_sent <= in_flight / 2;
}

bool is_full(const FlowFacts& flow) {
    using namespace threshold;
    const double in_flight = flow.while_sending(flow.sum.in_flight);
    return flow.active_ns() >= kSendingSeconds * 1e9 && flow.min_rtt_us() >= kBdpRttUs &&
           double(flow.sum.sending) >= kLimitedShare * double(flow.sum.looks) &&
           (waits_for_room(flow) || is_all_in_flight(flow)) &&
           flow.while_sending(flow.sum.cwnd) >= kRoomToGrow * in_flight &&
           flow.while_sending(flow.sum.snd_wnd) >= kRoomToGrow * in_flight;
}

void advise(Finding& finding, const FlowFacts& flow, std::uint64_t wmem_max, const Names& names) {
    if (flow.sum.sndbuf_locked)
        finding.advice = {{"do not set SO_SNDBUF: the kernel sizes the buffer by itself, and a "
                           "size set never grows",
                           in_netns(flow.sum.flow.netns, names) + "ss -tnmi"}};
    else
        finding.advice = {
            {fmt::format("allow larger buffers (now {}); each busy connection may then take that "
                         "much memory",
                         wmem_max),
             fmt::format("{}sysctl -w net.ipv4.tcp_wmem='4096 16384 {}'",
                         in_netns(flow.sum.flow.netns, names),
                         std::max<std::uint64_t>(threshold::kTcpWmemDefault, 2 * wmem_max))}};
}

/// Less than autotuning would give, or less of that than usual.
bool is_too_small(const FlowFacts& flow, std::uint64_t wmem_max, const Window& total) {
    constexpr double kAlmost = 0.9; // estimated from memory
    const double usual = default_buffer(total, threshold::kTcpWmemDefault);
    if (flow.sum.sndbuf_locked)
        return flow.while_sending(flow.sum.sndbuf) < (wmem_max ? double(wmem_max) : usual);
    return double(wmem_max) < kAlmost * usual;
}

Finding describe(const FlowFacts& flow, std::uint64_t wmem_max, const Window& total) {
    const double in_flight = flow.while_sending(flow.sum.in_flight);
    const double buffer = flow.while_sending(flow.sum.sndbuf);
    const bool locked = flow.sum.sndbuf_locked;
    const std::string who = owner_name(flow.sum.owner, total.names);
    const std::string rate = rate_text(in_flight / flow.rtt_us() * 1e6);
    Finding finding{.id = "sndbuf-limited"};
    finding.severity = is_too_small(flow, wmem_max, total) ? Severity::kWarning : Severity::kInfo;
    finding.confidence = 0.85;
    if (locked)
        finding.culprit = flow.party();
    else
        add_party(finding.affected, flow.party());
    finding.where = {.local = flow.serves() ? flow.service() : "",
                     .remote = flow.serves() ? flow.peer() : flow.service(),
                     .netns = flow.sum.flow.netns};
    finding.title = fmt::format(
        "{} cannot send more than {} to {}: {}", who, rate, finding.where.remote,
        locked ? fmt::format("it has set its send buffer to {} (SO_SNDBUF)", size_text(buffer))
               : fmt::format("net.ipv4.tcp_wmem allows {} of send buffer",
                             size_text(double(wmem_max))));
    finding.first_ns = flow.first_ns;
    finding.count = flow.sum.sending;
    finding.rate_per_s = per_second(total, double(finding.count));
    finding.evidence.push_back(
        {fmt::format("{} in flight and {} not sent, of a buffer of {} memory, per round trip of {}",
                     size_text(in_flight), size_text(flow.while_sending(flow.sum.not_sent)),
                     size_text(buffer), duration(static_cast<std::uint64_t>(flow.rtt_us() * 1000))),
         in_flight, "bytes", "sk_sndbuf, tcp_sock.packets_out"});
    finding.evidence.push_back(
        {fmt::format("the network would take {} (congestion window), the peer {}",
                     size_text(flow.while_sending(flow.sum.cwnd)),
                     size_text(flow.while_sending(flow.sum.snd_wnd))),
         flow.while_sending(flow.sum.cwnd), "bytes", "tcp_sock.snd_cwnd, snd_wnd"});
    advise(finding, flow, wmem_max, total.names);
    finding.verify = verify_in_netns(finding);
    return finding;
}

} // namespace

std::vector<Finding> detect_sndbuf_limited(const Facts& facts) {
    constexpr double kAtLimit = 0.9;
    const TcpFlows& flows = facts.flows();
    std::vector<Finding> findings;
    for (const FlowFacts& flow : flows.all()) {
        const std::uint64_t wmem_max =
            gauge_of(facts.total, flow.sum.flow.netns, gauge("tcp_wmem.max")).value_or(0);
        const bool at_limit =
            wmem_max && flow.while_sending(flow.sum.sndbuf) >= kAtLimit * double(wmem_max);
        if ((flow.sum.sndbuf_locked || at_limit) && is_full(flow))
            findings.push_back(describe(flow, wmem_max, facts.total));
    }
    limit_per_process(findings);
    return findings;
}

} // namespace culprit
