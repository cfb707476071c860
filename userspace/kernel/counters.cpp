// SPDX-License-Identifier: MIT
// snmp and netstat come as pairs of lines: "Tcp: A B C" and "Tcp: 1 2 3".
#include "kernel/counters.h"

#include <algorithm>
#include <string>

#include "util/text.h"

namespace culprit {

namespace {

std::string_view take(std::string_view& rest, char until) {
    const std::size_t at = std::min(rest.find(until), rest.size());
    const std::string_view head = rest.substr(0, at);
    rest.remove_prefix(std::min(at + 1, rest.size()));
    return head;
}

} // namespace

std::optional<std::size_t> find_counter(std::string_view name) {
    const auto it = std::ranges::find(kCounterNames, name);
    if (it == kCounterNames.end())
        return std::nullopt;
    return static_cast<std::size_t>(it - kCounterNames.begin());
}

void parse_counters(std::string_view text, Counters& into) {
    while (!text.empty()) {
        std::string_view names = take(text, '\n');
        std::string_view values = take(text, '\n');
        const std::string group(take(names, ':'));
        if (take(values, ':') != group)
            return;
        take(names, ' ');
        take(values, ' ');
        while (!names.empty() && !values.empty()) {
            const auto index = find_counter(group + "." + std::string(take(names, ' ')));
            const auto value = to_number(take(values, ' '));
            if (index && value)
                into[*index] = *value;
        }
    }
}

Counters growth(const Counters& now, const Counters& before) {
    Counters out{};
    for (std::size_t i = 0; i < out.size(); i++)
        out[i] = now[i] > before[i] ? now[i] - before[i] : 0;
    return out;
}

} // namespace culprit
