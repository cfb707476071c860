// SPDX-License-Identifier: MIT
// Expressions of nftables' JSON: as text, and as conditions that a sampled packet can be held
// against.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

namespace culprit {

/// One statement as `nft` writes it, nearly: "tcp dport { 22, 80 }", "reject with tcp reset". Empty
/// for counters.
std::string statement_text(const nlohmann::json& statement);

/// Words of rule_total::conditions for one statement; empty for one that every packet passes.
std::string statement_conditions(const nlohmann::json& statement);

} // namespace culprit
