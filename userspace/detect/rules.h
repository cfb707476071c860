// SPDX-License-Identifier: MIT
// Which firewall rule a dropped packet fell to: by the rules' counters, and by what they ask of a
// packet.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "abi/drop.h"
#include "abi/firewall.h"
#include "model/window.h"

namespace culprit {

enum class Fit { kNo, kMaybe, kYes };

/// What the conditions of a rule (rule_total::conditions) say of a packet; kMaybe where they ask
/// for something that a sample does not tell.
Fit fits(std::string_view conditions, const drop_event& packet, const Names& names);

/// The rules of one namespace's firewall that may drop, in their order.
class Rules {
public:
    Rules(const Window& total, std::uint32_t netns);

    /// The rules that may have dropped this packet; a policy only where no rule surely takes it.
    std::vector<const rule_total*> candidates(const drop_event& packet) const;
    /// The one among candidates it must have been, or was most likely; none when it is open.
    static const rule_total* choose(const std::vector<const rule_total*>& candidates);
    /// What could not be read.
    const std::vector<std::string>& unread() const { return x_unread; }

private:
    std::vector<rule_total> x_all;
    std::vector<std::string> x_unread;
    const Names* x_names;
};

/// Its counter grew while packets were dropped, so it dropped some for certain.
inline bool is_proven(const rule_total& rule) {
    return rule.counted && rule.packets;
}

/// "inet filter input"
std::string chain_name(const rule_total& rule);
/// "table inet filter chain input handle 5: tcp dport 5432 drop"
std::string rule_name(const rule_total& rule);
std::string rule_text(const rule_total& rule);
std::string rule_comment(const rule_total& rule);
/// "nft COMMAND inet filter input TAIL"; without a tail of that kind where a name is not one that a
/// shell would leave alone.
std::string nft_command(const rule_total& rule, std::string_view command, std::string_view tail);

} // namespace culprit
