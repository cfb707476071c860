// SPDX-License-Identifier: MIT
// A line of names, then one line of hexadecimal numbers per CPU; entries are the table's on each.
#include "kernel/neigh_tables.h"

#include <sys/socket.h>

#include <charconv>
#include <sstream>
#include <string>
#include <vector>

#include "kernel/features.h"
#include "util/text.h"

namespace culprit {

namespace {

std::vector<std::string> words_of(std::string_view line) {
    std::istringstream words{std::string(line)};
    std::vector<std::string> all;
    for (std::string word; words >> word;)
        all.push_back(word);
    return all;
}

std::uint64_t from_hex(const std::string& word) {
    std::uint64_t value = 0;
    std::from_chars(word.data(), word.data() + word.size(), value, 16);
    return value;
}

} // namespace

Result<NeighCounts> parse_neigh_stat(std::string_view text) {
    const std::vector<std::string> names = words_of(take_until(text, '\n'));
    NeighCounts counts;
    bool any = false;
    while (!text.empty()) {
        const std::vector<std::string> values = words_of(take_until(text, '\n'));
        for (std::size_t i = 0; i < std::min(names.size(), values.size()); i++) {
            const std::uint64_t value = from_hex(values[i]);
            if (names[i] == "entries")
                counts.entries = value;
            else if (names[i] == "res_failed")
                counts.failed += value;
            else if (names[i] == "forced_gc_runs")
                counts.forced += value;
            else if (names[i] == "table_fulls")
                counts.refused += value;
            any = true;
        }
    }
    if (!any)
        return fail(Code::kFailed, "the neighbour tables' counters are empty");
    return counts;
}

Result<NeighCounts> read_neigh_counts(int family) {
    const auto text = read_file(std::string("/proc/1/net/stat/") +
                                (family == AF_INET6 ? "ndisc_cache" : "arp_cache"));
    if (!text)
        return std::unexpected(text.error());
    return parse_neigh_stat(*text);
}

NeighLimits read_neigh_limits(int family) {
    const auto read = [&](const char* name) {
        std::istringstream text(read_file(std::string("/proc/sys/net/") +
                                          (family == AF_INET6 ? "ipv6" : "ipv4") +
                                          "/neigh/default/" + name)
                                    .value_or(""));
        std::uint64_t value = 0;
        text >> value;
        return value;
    };
    return {read("gc_thresh1"), read("gc_thresh2"), read("gc_thresh3")};
}

} // namespace culprit
