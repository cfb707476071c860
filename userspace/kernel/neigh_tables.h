// SPDX-License-Identifier: MIT
// The kernel's two tables of neighbours, IPv4 and IPv6, which all network namespaces share.
#pragma once

#include <cstdint>
#include <string_view>

#include "util/result.h"

namespace culprit {

/// /proc/net/stat/arp_cache (net/core/neighbour.c: neigh_stat_seq_show()): absolute counts.
struct NeighCounts {
    std::uint64_t entries = 0;
    std::uint64_t failed = 0;  // did not resolve
    std::uint64_t forced = 0;  // rounds of forced garbage collection
    std::uint64_t refused = 0; // entries that could not be made: the table was full
};

/// Adds up the lines of the CPUs. Columns are found by their names: older kernels have fewer.
Result<NeighCounts> parse_neigh_stat(std::string_view text);

/// Of AF_INET or AF_INET6. Only the initial network namespace has the file.
Result<NeighCounts> read_neigh_counts(int family);

/// gc_thresh1 to 3: collected rarely below the first, at once above the second, full at the third.
/// 0 where it cannot be read: outside the initial network namespace.
struct NeighLimits {
    std::uint64_t thresh1 = 0, thresh2 = 0, thresh3 = 0;
};
NeighLimits read_neigh_limits(int family);

} // namespace culprit
