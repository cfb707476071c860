// SPDX-License-Identifier: MIT
// How name resolution fares, as text and JSON: `show dns`.
#pragma once

#include <string>
#include <vector>

#include "present/present.h"

namespace culprit {

/// What of the run's gaps concerns these figures.
std::vector<std::string> dns_notes(const Verdict& verdict);

/// Who asks which server and what comes of it, then the name servers of this host; at most `limit`
/// of each.
std::string dns_text(const Verdict& verdict, std::size_t limit, const Style& style);

/// The public contract "culprit.dns/1", one document, ends with a newline.
std::string dns_json(const Verdict& verdict, std::size_t limit);

} // namespace culprit
