// SPDX-License-Identifier: MIT
// snmp and netstat come as pairs of lines: "Tcp: A B C" and "Tcp: 1 2 3"; nf_conntrack as a table;
// snmp6 has a line per counter: "Ip6ReasmFails  3".
#include "kernel/counters.h"

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "util/text.h"

namespace culprit {

std::optional<std::size_t> find_counter(std::string_view name) {
    const auto it = std::ranges::find(kCounterNames, name);
    if (it == kCounterNames.end())
        return std::nullopt;
    return static_cast<std::size_t>(it - kCounterNames.begin());
}

void parse_counters(std::string_view text, Counters& into) {
    while (!text.empty()) {
        std::string_view names = take_until(text, '\n');
        std::string_view values = take_until(text, '\n');
        const std::string group(take_until(names, ':'));
        if (take_until(values, ':') != group)
            return;
        take_until(names, ' ');
        take_until(values, ' ');
        while (!names.empty() && !values.empty()) {
            const auto index = find_counter(group + "." + std::string(take_until(names, ' ')));
            const auto value = to_number(take_until(values, ' '));
            if (index && value)
                into[*index] = *value;
        }
    }
}

void parse_conntrack(std::string_view text, Counters& into) {
    std::istringstream lines{std::string(text)};
    std::vector<std::optional<std::size_t>> columns;
    std::string line, word;
    std::getline(lines, line);
    for (std::istringstream names(line); names >> word;)
        columns.push_back(find_counter("Conntrack." + word));
    while (std::getline(lines, line)) {
        std::istringstream values(line);
        for (std::size_t i = 0; i < columns.size() && values >> word; i++)
            if (const auto value = columns[i] ? hex_number(word) : std::nullopt)
                into[*columns[i]] += *value;
    }
}

void parse_counters6(std::string_view text, Counters& into) {
    while (!text.empty()) {
        std::string_view line = take_until(text, '\n');
        const std::string_view name = line.substr(0, line.find_first_of(" \t"));
        const auto value = to_number(line.substr(line.find_last_of(" \t") + 1));
        const std::size_t group = name.find('6') + 1; // "Ip6", "Icmp6", "Udp6"
        const auto index = group ? find_counter(std::string(name.substr(0, group)) + "." +
                                                std::string(name.substr(group)))
                                 : std::nullopt;
        if (index && value)
            into[*index] = *value;
    }
}

Counters growth(const Counters& now, const Counters& before) {
    Counters out{};
    for (std::size_t i = 0; i < out.size(); i++)
        out[i] = now[i] > before[i] ? now[i] - before[i] : 0;
    return out;
}

} // namespace culprit
