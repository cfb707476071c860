// SPDX-License-Identifier: MIT
// Destinations that ICMP errors say are out of reach, and which kind of trouble that is: shared by
// the detectors that say it and those whose symptoms it explains.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "detect/finding.h"
#include "detect/flows.h"

namespace culprit {

enum class UnreachableBy {
    kRouter,    // somebody says that there is no way, or that it is forbidden
    kLoop,      // packets run out of hops
    kNeighbour, // nobody answers on the link: of this host, so another finding's
    kFilter,    // rejected by this host's own firewall: another finding's
};

/// What one process gets from one destination.
struct Unreachable {
    Party party;
    abi_flow flow{}; // of one attempt
    std::string to;
    std::uint64_t all = 0, ok = 0; // attempts to connect that ended; with success
    std::uint64_t failed = 0;      // by an ICMP error; for UDP the errors
    std::uint64_t still = 0;       // connections under way that were told
    std::uint64_t silent = 0;      // attempts that ended without an answer
    std::uint64_t waiting = 0;     // attempts that repeat their SYN
    std::uint64_t told = 0;        // errors about it that another namespace of this host sent
    std::uint64_t first_ns = 0;
    std::map<std::uint32_t, std::uint64_t> errors; // errno -> times
    double failed_per_second = 0;
    UnreachableBy by = UnreachableBy::kRouter;

    /// Attempts that got no answer, told or not: routers say it once a second, and a socket that
    /// is busy at the moment does not hear it.
    std::uint64_t unanswered() const;
    bool only_datagrams() const { return !all && !waiting && !still; }
    bool is_fault() const;
    std::string errors_text() const; // "40 EHOSTUNREACH, 2 ENETUNREACH"
};

class Unreachables {
public:
    explicit Unreachables(const Window& total);

    const std::vector<Unreachable>& all() const& { return x_all; }
    void all() const&& = delete; // it would not outlive the loop over it
    /// Attempts to connect to there that got no answer are of the same fault.
    bool explains(const abi_flow& flow) const;

private:
    std::vector<Unreachable> x_all;
    std::set<std::pair<std::uint32_t, std::string>> x_faults; // netns, destination
};

/// What the findings about them have in common.
Finding unreachable_finding(const char* id, const Unreachable& one, const Window& total);

} // namespace culprit
