// SPDX-License-Identifier: MIT
// receiver-limited. Claim: a process reads more slowly than it is sent to, and so sets the pace.
// Evidence: the senders' time spent waiting for its window, how full that window is of what was not
// read. Looks alike: a reader that does not read at all (zero-window); a window too small for its
// path (bdp-limited: nothing lies unread); loss and network latency (the window is open).
//
// A player, a rate limit and a slow consumer look the same: who asked for the data sets the pace on
// purpose, and that is worth knowing only. What clients send to a server is another matter once it
// lies on the way for seconds: they wait, or what they send is old when it is read. Only a stream
// that nobody answers, at a pace that disks and links have, may be a backup.
#include <fmt/format.h>

#include "detect/slow_readers.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

Severity severity_of(const SlowReader& reader) {
    const bool batch = !reader.asked && reader.read_per_s >= threshold::kReaderPace;
    const double enough = batch ? threshold::kReaderLagBatch : threshold::kReaderLagSeconds;
    return reader.serves && reader.lag_s() >= enough ? Severity::kWarning : Severity::kInfo;
}

Finding describe(const SlowReader& reader, const Window& total) {
    Finding finding = reader_finding("receiver-limited", reader, total);
    const double lag = reader.lag_s();
    finding.severity = severity_of(reader);
    finding.confidence = reader.here ? 0.9 : 0.7;
    finding.title = fmt::format("{} reads {} and sets the pace", reader_name(reader, total.names),
                                rate_text(reader.read_per_s));
    if (!reader.senders.empty())
        finding.title +=
            fmt::format(" of {}{}", owner_name(reader.senders.front().owner, total.names),
                        reader.senders.size() > 1 ? " and others" : "");
    finding.evidence.push_back({fmt::format("what is sent is read {:.1f} s later", lag), lag,
                                "seconds", "tcp_sock.write_seq, copied_seq"});
    finding.advice.push_back(
        {"if the pace is not meant: let it read faster or with more threads; a larger buffer only "
         "hides it for a while",
         reader.party.owner.tgid ? fmt::format("top -H -p {}", reader.party.owner.tgid) : ""});
    return finding;
}

} // namespace

std::vector<Finding> detect_receiver_limited(const Facts& facts) {
    const TcpFlows& flows = facts.flows();
    std::vector<Finding> findings;
    for (const SlowReader& reader : slow_readers(flows, facts))
        if (reader.is_slow())
            findings.push_back(describe(reader, facts.total));
    limit_per_process(findings);
    return findings;
}

} // namespace culprit
