// SPDX-License-Identifier: MIT
// nagle-delack. Claim: a process writes a message in small pieces, and Nagle's algorithm holds the
// rest back until the peer's delayed ACK of the first piece comes, 40 ms and more each time.
// Evidence: looks at which less than a segment waited for the ACK of a small one, answers on the
// same connection, a round trip that is far shorter. Looks alike: a slow server (nothing is
// held back), a long path (the ACK needs that time anyway), a log that is sent line by line, where
// nobody waits for an answer (silent).
#include <fmt/format.h>

#include "detect/tcp_flows.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

bool is_fault(const FlowFacts& flow) {
    using namespace threshold;
    return flow.sum.nagle_wait >= kNagleLooksMin &&
           double(flow.sum.nagle_wait) >= kNagleShare * double(flow.sum.looks) &&
           flow.sum.bytes_received >= kNagleAnswered * flow.sum.nagle_wait &&
           flow.min_rtt_us() < kNagleRttUs;
}

Finding describe(const FlowFacts& flow, const TcpFlows& flows, const Window& total) {
    const double share = flow.at_looks(flow.sum.nagle_wait);
    Finding finding{.id = "nagle-delack", .layer = Layer::kApplication};
    finding.severity = Severity::kWarning;
    finding.confidence = 0.9;
    finding.culprit = flow.party();
    finding.affected = flows.parties_beyond(flow);
    finding.where = {.local = flow.serves() ? flow.service() : "",
                     .remote = flow.serves() ? flow.peer() : flow.service(),
                     .netns = flow.sum.flow.netns};
    finding.title =
        fmt::format("{} writes in small pieces to {} and waits for delayed ACKs {} of "
                    "the time",
                    owner_name(flow.sum.owner, total.names), finding.where.remote, percent(share));
    finding.first_ns = flow.first_ns;
    finding.count = flow.sum.nagle_wait;
    finding.rate_per_s = per_second(total, double(finding.count));
    finding.evidence.push_back(
        {fmt::format("at {} of {} looks ({}) Nagle's algorithm held back less than a segment until "
                     "a small one is acknowledged",
                     flow.sum.nagle_wait, flow.sum.looks, percent(share)),
         share, "ratio", "tcp_sock.nonagle, packets_out"});
    finding.evidence.push_back(
        {fmt::format("the peer answered with {}; a round trip takes {}",
                     size_text(double(flow.sum.bytes_received)),
                     duration(static_cast<std::uint64_t>(flow.min_rtt_us() * 1000))),
         double(flow.sum.bytes_received), "bytes", "tcp_sock.bytes_received, rtt_min"});
    finding.advice = {
        {"write each message with one call (writev, or a buffered writer that is "
         "flushed at its end)",
         ""},
        {"or set TCP_NODELAY on the socket: small segments leave at once, at the "
         "price of more packets",
         fmt::format("strace -f -e trace=write,sendto,sendmsg -p {}", flow.sum.owner.tgid)}};
    finding.verify = verify_in_netns(finding);
    return finding;
}

} // namespace

std::vector<Finding> detect_nagle_delack(const Facts& facts) {
    const TcpFlows& flows = facts.flows();
    std::vector<Finding> findings;
    for (const FlowFacts& flow : flows.all())
        if (is_fault(flow))
            findings.push_back(describe(flow, flows, facts.total));
    limit_per_process(findings);
    return findings;
}

} // namespace culprit
