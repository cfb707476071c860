// SPDX-License-Identifier: MIT
// Destinations that ICMP errors say are out of reach, and which kind of trouble that is: shared by
// the detectors that say it and those whose symptoms it explains.
#pragma once

#include <map>
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
    std::uint64_t all = 0;    // attempts to connect
    std::uint64_t failed = 0; // of them ended by an ICMP error; for UDP the errors
    std::uint64_t still = 0;  // connections under way that it is about
    std::uint64_t first_ns = 0;
    std::map<std::uint32_t, std::uint64_t> errors; // errno -> times
    UnreachableBy by = UnreachableBy::kRouter;

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
    std::map<std::pair<std::uint32_t, std::string>, std::size_t> x_index; // netns, destination
};

/// What the findings about them have in common.
Finding unreachable_finding(const char* id, const Unreachable& one, const Window& total);

} // namespace culprit
