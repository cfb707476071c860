// SPDX-License-Identifier: MIT
// dns-search-amplification. Claim: a resolver's search list makes several questions of one lookup,
// nearly all in vain. Evidence: names that do not exist and are another name asked for by the same
// process with a suffix behind it. Looks alike: names that do not exist in themselves
// (dns-nxdomain); one search domain, whose first question in vain is normal.
#include <algorithm>
#include <set>
#include <string_view>
#include <tuple>

#include <fmt/format.h>

#include "detect/resolution.h"
#include "detect/thresholds.h"
#include "model/format.h"
#include "util/dns.h"

namespace culprit {

namespace {

struct Lookups {
    Party party;
    abi_flow flow{};
    std::map<std::string, std::uint64_t, std::less<>> found, missing; // name -> answers
    std::uint64_t first_ns = 0;
};

using Key = std::tuple<std::uint32_t, std::uint32_t, std::uint64_t>;

std::map<Key, Lookups> collect(const Window& total) {
    std::map<Key, Lookups> all;
    for (const auto& [event, info] : total.rows<dns_event>(ABI_DNS)) {
        constexpr std::uint8_t kNxdomain = 3;
        const std::string name = dns_name(std::as_bytes(std::span(event.name)));
        if (event.outcome != DNS_ANSWERED || name.size() < 2)
            continue;
        Lookups& one = all[{event.flow.netns, event.owner.tgid, event.owner.start_ns}];
        one.party = {event.owner, event.flow.netns};
        one.flow = event.flow;
        one.first_ns = one.first_ns ? std::min(one.first_ns, info.first_ns) : info.first_ns;
        (event.rcode == kNxdomain ? one.missing : one.found)[name] += info.count;
    }
    return all;
}

/// What a search list made of names: answers, and the suffixes.
struct InVain {
    std::uint64_t answers = 0;
    std::set<std::string> suffixes;
    std::string example; // name that was meant
};

/// Cut at each dot: is what is before it a name of its own, and found?
InVain in_vain(const Lookups& lookups) {
    InVain out;
    for (const auto& [name, answers] : lookups.missing)
        for (std::size_t dot = name.find('.'); dot + 1 < name.size();
             dot = name.find('.', dot + 1)) {
            const std::string_view meant = std::string_view(name).substr(0, dot + 1);
            if (!lookups.found.contains(meant))
                continue;
            out.answers += answers;
            out.suffixes.insert(name.substr(dot + 1));
            out.example = meant;
            break;
        }
    return out;
}

std::uint64_t sum_of(const std::map<std::string, std::uint64_t, std::less<>>& names) {
    std::uint64_t sum = 0;
    for (const auto& [name, answers] : names)
        sum += answers;
    return sum;
}

Finding describe(const Lookups& lookups, const InVain& vain, double share, const Window& total) {
    Finding finding{.id = "dns-search-amplification", .layer = Layer::kApplication};
    finding.severity = Severity::kWarning;
    finding.confidence = 0.85;
    finding.title = fmt::format("{} asks for each name with {} search domains behind it",
                                owner_name(lookups.party.owner, total.names), vain.suffixes.size());
    finding.culprit = lookups.party;
    finding.where = {.remote = endpoint(lookups.flow, false), .netns = lookups.party.netns};
    finding.first_ns = lookups.first_ns;
    finding.count = vain.answers;
    finding.rate_per_s = per_second(total, static_cast<double>(vain.answers));
    finding.evidence.push_back(
        {fmt::format("{} of the answers seen ({}) were NXDOMAIN for a name that exists without "
                     "the suffix, such as {}",
                     vain.answers, percent(share), vain.example),
         share, "ratio", "dns"});
    finding.evidence.push_back(
        {fmt::format("search domains: {}", fmt::join(vain.suffixes, ", ")), {}, "", "dns"});
    finding.advice.push_back(
        {"write names with a dot at the end, or lower ndots or the number of search domains in "
         "the resolver's configuration; names without dots may need them",
         in_netns(lookups.party.netns, total.names) + "grep -E 'search|ndots' /etc/resolv.conf"});
    finding.verify = fmt::format("diagnose --only dns-search-amplification --pid {} --for 30s",
                                 lookups.party.owner.tgid);
    return finding;
}

} // namespace

std::vector<Finding> detect_dns_search_amplification(const Facts& facts) {
    std::vector<Finding> findings;
    for (const auto& [key, lookups] : collect(facts.total)) {
        const InVain vain = in_vain(lookups);
        const std::uint64_t all = sum_of(lookups.found) + sum_of(lookups.missing);
        const double share = all ? static_cast<double>(vain.answers) / static_cast<double>(all) : 0;
        if (vain.answers >= threshold::kDnsMissingMin && share >= threshold::kDnsSearchShare &&
            vain.suffixes.size() > 1)
            findings.push_back(describe(lookups, vain, share, facts.total));
    }
    return findings;
}

} // namespace culprit
