// SPDX-License-Identifier: MIT
// What the firewall dropped, packet by packet as far as sampled: by which rule, refused or silent,
// and who waits for it. Shared by the findings about firewalls.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "detect/drops.h"
#include "detect/finding.h"
#include "detect/rules.h"

namespace culprit {

/// Drops of one namespace's firewall that belong together: by the same rule, or by none in
/// particular. Facts::firewall_drops() has all of them, without what a full connection table
/// dropped.
struct FirewallDrops {
    DropFacts drops;
    std::vector<rule_total> rules; // that may have done it; one when it is known
    bool rejected = false;         // the sender was told
    bool needed = false;           // a client that is not on this host tries again and again
    std::uint32_t path = ABI_PATH_UNKNOWN; // of most packets
    std::string to;                        // their destination, when they have the same
    std::vector<std::string> unread;       // rules that could not be read

    const rule_total* rule() const { return rules.size() == 1 ? &rules.front() : nullptr; }
};

/// The fullest that the connection table of that namespace was.
struct TableUse {
    std::uint64_t count = 0, max = 0;
    double share() const { return max ? double(count) / double(max) : 0; }
};
TableUse conntrack_use(std::uint32_t netns, const Facts& facts);

/// The drops are those of a connection table that has no room: the kernel's own counts say so.
bool is_conntrack_drop(const DropFacts& drops, const Facts& facts);

/// Destinations where attempts to connect are answered by this host's firewall, not by who is
/// there.
std::set<std::string> rejected_destinations(const Window& total);

} // namespace culprit
