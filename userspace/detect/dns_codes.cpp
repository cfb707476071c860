// SPDX-License-Identifier: MIT
// dns-servfail, dns-refused, dns-nxdomain, dns-truncated. Claim: a name server answers, but not
// what the process asks for, in a share that is not normal. Evidence: exact counts of answers by
// code. Looks alike: a few names that do not exist, reverse lookups of addresses without a name
// (left out of dns-nxdomain), search lists (dns-search-amplification).
#include <fmt/format.h>

#include "detect/resolution.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

constexpr std::uint8_t kServfail = 2, kNxdomain = 3, kRefused = 5;

/// What one kind of answer means.
struct Code {
    const char* id;
    __u64 dns_counts::*count;
    Concerns concerns;
    const char* title; // process, server
    const char* what;
    const char* advice;
    const char* command; // of the namespace; server, port
};

constexpr Code kCodes[] = {
    {"dns-servfail", &dns_counts::servfail, [](const dns_event& e) { return e.rcode == kServfail; },
     "name server {1} fails to answer {0}", "SERVFAIL",
     "the server cannot reach the servers it asks itself, or their signatures are wrong: compare "
     "with checking disabled",
     "dig @{} -p {} +cd NAME"},
    {"dns-refused", &dns_counts::refused, [](const dns_event& e) { return e.rcode == kRefused; },
     "name server {1} refuses to answer {0}", "REFUSED",
     "the server's access list leaves this client out, or it does not serve that zone",
     "dig @{} -p {} NAME"},
    {"dns-nxdomain", &dns_counts::nxdomain, [](const dns_event& e) { return e.rcode == kNxdomain; },
     "{0} asks name server {1} for names that do not exist", "NXDOMAIN",
     "correct the name in the process's configuration, or the zone that should have it",
     "dig @{} -p {} NAME"},
    {"dns-truncated", &dns_counts::truncated, [](const dns_event& e) { return e.truncated != 0; },
     "answers of name server {1} to {0} do not fit into a datagram", "truncated",
     "the answers are large: ask with EDNS over at least 1232 bytes, or make them smaller; each "
     "costs a TCP connection now",
     "dig @{} -p {} +bufsize=1232 +ignore NAME"},
};

bool is_fault(const Asking& asking, const Code& code, const Window& total) {
    const bool missing = code.count == &dns_counts::nxdomain;
    const dns_counts& counts = missing ? asking.forward : asking.sum;
    const std::uint64_t count = counts.*code.count;
    if (count < (missing ? threshold::kDnsMissingMin : threshold::kDnsMin))
        return false;
    if (missing && per_second(total, static_cast<double>(count)) < threshold::kDnsMissingPerSecond)
        return false;
    return asking.share(count, counts.answers) >=
           (missing ? threshold::kDnsMissingShare : threshold::kDnsShare);
}

Finding describe(const Asking& asking, const Code& code, const Window& total) {
    const std::uint64_t count = asking.sum.*code.count;
    const double share = asking.share(count, asking.sum.answers);
    const std::string id = code.id;
    Finding finding = about(asking, id, count, total);
    const bool denied = id == "dns-servfail" || id == "dns-refused";
    finding.severity =
        denied && share >= threshold::kDnsHurtShare ? Severity::kCritical : Severity::kWarning;
    finding.confidence = denied ? 0.95 : 0.85;
    if (id == "dns-nxdomain")
        finding.culprit = asking.party;
    finding.title = fmt::format(fmt::runtime(code.title),
                                owner_name(asking.party.owner, total.names), asking.server_text());
    finding.where.reason = code.what;
    finding.evidence.insert(
        finding.evidence.begin(),
        {fmt::format("{} of {} answers were {} ({}), {} questions went by TCP", count,
                     asking.sum.answers, code.what, percent(share), asking.by_tcp),
         share, "ratio", "sock_recv_length"});
    finding.advice.push_back(
        {code.advice, in_netns(asking.party.netns, total.names) +
                          fmt::format(fmt::runtime(code.command), address(asking.flow, false),
                                      asking.flow.remote_port)});
    return finding;
}

/// A resolver of this host asks for names that do not exist because its clients do.
void leave_out_resolvers(std::vector<Asking>& faulty) {
    const std::vector<Asking> all = faulty;
    std::erase_if(faulty, [&](const Asking& asking) {
        return std::ranges::any_of(all, [&](const Asking& client) {
            return client.server.tgid && same_process(client.server, asking.party.owner);
        });
    });
}

std::vector<Finding> detect(const Facts& facts, const Code& code) {
    std::vector<Asking> faulty = askings(facts, code.concerns);
    std::erase_if(faulty,
                  [&](const Asking& asking) { return !is_fault(asking, code, facts.total); });
    const bool missing = code.count == &dns_counts::nxdomain;
    if (missing)
        leave_out_resolvers(faulty);
    std::vector<Finding> findings;
    for (const Asking& asking : faulty)
        findings.push_back(describe(asking, code, facts.total));
    if (!missing)
        fold_through_resolvers(findings);
    limit_per_process(findings);
    return findings;
}

} // namespace

std::vector<Finding> detect_dns_servfail(const Facts& facts) {
    return detect(facts, kCodes[0]);
}
std::vector<Finding> detect_dns_refused(const Facts& facts) {
    return detect(facts, kCodes[1]);
}
std::vector<Finding> detect_dns_nxdomain(const Facts& facts) {
    return detect(facts, kCodes[2]);
}
std::vector<Finding> detect_dns_truncated(const Facts& facts) {
    return detect(facts, kCodes[3]);
}

} // namespace culprit
