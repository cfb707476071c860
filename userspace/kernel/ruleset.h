// SPDX-License-Identifier: MIT
// The firewall rules of a network namespace that may drop packets, as nftables gives them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "abi/firewall.h"
#include "util/result.h"

namespace culprit {

struct FirewallRule {
    std::uint64_t handle = 0;  // 0: a chain's policy
    std::uint64_t packets = 0; // its counter
    bool counted = false;      // that counter counts exactly what it drops
    abi_rule_verdict verdict = ABI_RULE_DROP;
    std::uint32_t paths = 0;                   // rule_total::paths
    std::string family, table, chain, comment; // hostile
    std::string text, conditions;              // rule_total; hostile
};

/// Those of `nft -j list ruleset`, rules before policies.
Result<std::vector<FirewallRule>> parse_ruleset(std::string_view json);

/// Rules beyond that are not read: a host with so many has other things to do.
inline constexpr std::size_t kRulesMax = 1000;

/// Those of the namespace this thread is in. kUnsupported: nftables is not in use here, and asking
/// would load it.
Result<std::vector<FirewallRule>> read_ruleset();

/// Tables of iptables-legacy there, which nothing but iptables itself can read; empty when none.
std::string legacy_tables();

} // namespace culprit
