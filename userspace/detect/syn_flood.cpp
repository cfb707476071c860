// SPDX-License-Identifier: MIT
// syn-flood. Claim: a listener's SYN queue is full of requests that nobody completes. Evidence: the
// SYN queue was at its limit while SYNs were turned away without an accept queue overflow, or
// answered by cookies of which hardly any came back. Looks alike: a full accept queue
// (listen-overflow; a tiny backlog moves cookies too, but they are answered), SYN-ACKs lost on the
// way back (few sources; they cannot be told from here).
#include <fmt/format.h>

#include "detect/listeners.h"
#include "model/format.h"

namespace culprit {

namespace {

void add_queue(Finding& finding, const ListenerFacts& l) {
    const listen_total& sum = l.sum;
    finding.evidence.push_back(
        {fmt::format("SYN queue {} of {}, full at {} of {} looks", sum.syn_depth, sum.syn_limit,
                     sum.looks_syn_full, sum.looks),
         double(sum.syn_depth), "requests", "icsk_accept_queue.qlen"});
    finding.evidence.push_back({fmt::format("{} connections were established there", l.established),
                                double(l.established), "connections", "inet_sock_set_state"});
}

void add_counters(Finding& finding, const ListenerFacts& l) {
    const auto add = [&](const char* text, std::size_t index) {
        if (const std::uint64_t value = l.counted(index))
            finding.evidence.push_back({fmt::format("{} {}", value, text), double(value), "packets",
                                        std::string(kCounterNames[index])});
    };
    add("SYNs were answered by a cookie", counter("TcpExt.SyncookiesSent"));
    add("valid cookies came back", counter("TcpExt.SyncookiesRecv"));
    add("SYNs were dropped at a full SYN queue", counter("TcpExt.TCPReqQFullDrop"));
    add("packets were dropped by listeners in all", counter("TcpExt.ListenDrops"));
    add("of them at a full accept queue", counter("TcpExt.ListenOverflows"));
    finding.evidence.push_back({"counters do not tell the sources", std::nullopt, "", "TcpExt"});
}

Advice advice_for(const ListenerFacts& l) {
    const listen_total& sum = l.sum;
    if (!sum.syncookies)
        return {"SYN cookies are off, so the flood shuts real clients out: turn them on",
                "sysctl -w net.ipv4.tcp_syncookies=1"};
    return {"SYN cookies keep the service reachable; find the sources and filter them upstream",
            fmt::format("ss -tn state syn-recv 'sport = :{}'", sum.flow.local_port)};
}

} // namespace

std::vector<Finding> detect_syn_flood(const Facts& facts) {
    const Listeners listeners(facts.total);
    std::vector<Finding> findings;
    for (const ListenerFacts& l : listeners.all()) {
        if (l.trouble != ListenTrouble::kFlood)
            continue;
        const listen_total& sum = l.sum;
        const std::uint64_t cookies = l.counted(counter("TcpExt.SyncookiesSent"));
        Finding finding = listener_finding("syn-flood", l, facts.total);
        finding.severity = sum.syncookies ? Severity::kWarning : Severity::kCritical;
        finding.confidence = 0.9;
        finding.title =
            fmt::format("SYNs that nobody completes fill the SYN queue of {} on {}, cookies {}",
                        owner_name(sum.owner, facts.total.names), listener_name(l),
                        sum.syncookies ? "on" : "off");
        finding.count = std::max<std::uint64_t>(sum.drops, cookies);
        finding.rate_per_s =
            facts.total.seconds() > 0 ? double(finding.count) / facts.total.seconds() : 0;
        add_party(finding.affected, {sum.owner, sum.flow.netns});
        add_queue(finding, l);
        add_counters(finding, l);
        add_sufferers(finding, l, listeners, facts.total);
        finding.advice.push_back(advice_for(l));
        findings.push_back(std::move(finding));
    }
    return findings;
}

} // namespace culprit
