// SPDX-License-Identifier: MIT
// How name resolution fared, by process and server: what the detectors of DNS have in common.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "abi/dns.h"
#include "detect/finding.h"

namespace culprit {

/// Processes of one name in one namespace, and one server, over the whole run, all types of
/// question together: a command that is run again and again asks once each time.
struct Asking {
    Party party;                // that asked most
    std::vector<Party> parties; // a few of them
    std::uint64_t asked = 0;    // by that party
    abi_flow flow{};            // remote = the server
    dns_counts sum{};
    dns_counts forward{};     // of them without PTR: who looks up addresses expects to find none
    std::uint64_t by_tcp = 0; // questions
    abi_owner server{};       // the process behind it, when it is one of this host
    std::uint32_t server_netns = 0;
    std::uint64_t first_ns = 0;                    // of the events below, and of none other
    std::map<std::uint32_t, std::uint64_t> errors; // errno -> questions
    std::vector<std::string> names; // a few of those that went wrong, by outcome or code

    std::string server_text() const;
    double share(std::uint64_t part, std::uint64_t of) const {
        return of ? static_cast<double>(part) / static_cast<double>(of) : 0;
    }
};

/// Does this event tell of what the detector looks for? Names and time come from those that do.
using Concerns = bool (*)(const dns_event&);

/// All that ask, and whose server's process is known where it is on this host.
std::vector<Asking> askings(const Facts& facts, Concerns concerns);

/// Adds counts of the same kind.
void add(dns_counts& into, const dns_counts& more);

/// Answers that took longer than that, from the histogram: rounded up to a power of two.
std::uint64_t answers_above(const dns_counts& counts, std::uint64_t us);

/// A finding about what one process gets from one server, with all but severity, title and
/// evidence.
Finding about(const Asking& asking, const std::string& id, std::uint64_t count,
              const Window& total);

/// What a resolver of this host hands on to its clients is told once, of the resolver.
void fold_through_resolvers(std::vector<Finding>& findings);

/// The finding that tells of packets between the two that are dropped on this host.
std::optional<Excuse> dropped_here(const Asking& asking, const Window& total);

std::vector<Finding> detect_dns_slow(const Facts& facts);
std::vector<Finding> detect_dns_timeout(const Facts& facts);
std::vector<Finding> detect_dns_unreachable(const Facts& facts);
std::vector<Finding> detect_dns_servfail(const Facts& facts);
std::vector<Finding> detect_dns_refused(const Facts& facts);
std::vector<Finding> detect_dns_nxdomain(const Facts& facts);
std::vector<Finding> detect_dns_truncated(const Facts& facts);
std::vector<Finding> detect_dns_search_amplification(const Facts& facts);

} // namespace culprit
