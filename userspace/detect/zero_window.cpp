// SPDX-License-Identifier: MIT
// zero-window. Claim: a process does not read its TCP connections, so their windows are closed and
// the senders stand still. Evidence: how long a window was closed without a break, what lies
// unread, who waits. Looks alike: a reader with a pace of its own (opens the window within a
// second, see receiver-limited); loss (the repeated segments are probes); a window too small for
// its path (bdp-limited: it is never closed).
//
// Who is hurt? A server that does not take what its clients send hurts them. A client that does not
// take what it asked for may mean it (a player that reads in large pieces): of this host it is
// worth a warning when it does not go on until the end, and one elsewhere is its user's business. A
// stopped process means no harm and does it. Who only passes on what the next one does not take is
// not told of.
#include <fmt/format.h>

#include "detect/slow_readers.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

Severity severity_of(const SlowReader& reader) {
    if (!reader.serves && !reader.here)
        return Severity::kInfo;
    if (reader.stopped)
        return Severity::kCritical;
    if (!reader.serves)
        return reader.closed_at_end_ns >= threshold::kClosedHurtNs ? Severity::kWarning
                                                                   : Severity::kInfo;
    return reader.closed_ns >= threshold::kClosedHurtNs ? Severity::kCritical : Severity::kWarning;
}

std::string title_of(const SlowReader& reader, const Names& names) {
    const std::string& place = reader.local.empty() ? reader.remote : reader.local;
    std::string text = reader_name(reader, names);
    if (reader.stopped)
        text += " is stopped and";
    text += reader.here ? fmt::format(" does not read its connections {} {}",
                                      reader.local.empty() ? "to" : "on", place)
                        : std::string(" does not take what it is sent");
    text += fmt::format(": window closed for {}", duration(reader.closed_ns));
    if (!reader.senders.empty())
        text += fmt::format("; {}{}", owner_name(reader.senders.front().owner, names),
                            reader.senders.size() > 1 ? " and others wait" : " waits");
    return text;
}

void advise(Finding& finding, const SlowReader& reader, const Names& names) {
    if (!reader.here) {
        finding.advice.push_back({"look at the process at the peer: the network delivers, it does "
                                  "not read",
                                  ""});
        return;
    }
    if (reader.stopped)
        finding.advice.push_back({"let it go on; what it was stopped for comes first",
                                  fmt::format("kill -CONT {}", reader.party.owner.tgid)});
    else if (reader.party.owner.tgid)
        finding.advice.push_back(
            {"find out what it waits for instead of reading",
             fmt::format("cat /proc/{0}/wchan /proc/{0}/stack", reader.party.owner.tgid)});
    finding.advice.push_back(
        {"see the unread bytes (Recv-Q)", in_netns(reader.netns, names) + "ss -tnmp"});
}

Finding describe(const SlowReader& reader, const Window& total) {
    Finding finding = reader_finding("zero-window", reader, total);
    finding.severity = severity_of(reader);
    finding.confidence = reader.here && !reader.senders.empty() ? 0.97 : 0.85;
    finding.title = title_of(reader, total.names);
    const auto counters = total.counters.find(reader.netns);
    if (counters != total.counters.end() && counters->second.error.empty()) {
        const Counters& grown = counters->second.growth;
        const std::uint64_t told = grown[counter("TcpExt.TCPToZeroWindowAdv")],
                            probes = grown[counter("TcpExt.TCPWinProbe")];
        finding.evidence.push_back(
            {fmt::format("the namespace closed windows {} times and probed closed ones {} times",
                         told, probes),
             double(reader.here ? told : probes), "times",
             "TcpExt.TCPToZeroWindowAdv, TCPWinProbe"});
    }
    advise(finding, reader, total.names);
    return finding;
}

} // namespace

std::vector<Finding> detect_zero_window(const Facts& facts) {
    const TcpFlows& flows = facts.flows();
    std::vector<Finding> findings;
    for (const SlowReader& reader : slow_readers(flows, facts))
        if (reader.is_closed())
            findings.push_back(describe(reader, facts.total));
    limit_per_process(findings);
    return findings;
}

} // namespace culprit
