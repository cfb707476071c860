// SPDX-License-Identifier: MIT
// How TCP services fare, as text and JSON: a part of the verdict, and `show tcp`.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "detect/tcp_services.h"
#include "present/present.h"

namespace culprit {

/// The services with a yellow or red figure, a line or two each, at most `limit`; how many are
/// green. Empty when no service was seen.
std::string tcp_summary(const std::vector<TcpService>& services, const Names& names,
                        std::size_t limit, const Style& style);

/// All figures of each service by phase, then its peers.
std::string tcp_text(const std::vector<TcpService>& services, const Names& names, std::size_t limit,
                     const Style& style);

/// The public contract "culprit.tcp/1", one document, ends with a newline.
std::string tcp_json(const Verdict& verdict);

/// The services of that, and of culprit.diagnosis/1.
nlohmann::ordered_json tcp_to_json(const std::vector<TcpService>& services, const Names& names);

} // namespace culprit
