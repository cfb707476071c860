// SPDX-License-Identifier: MIT
// sockstat has lines of pairs: "TCP: inuse 3 orphan 0 tw 17 alloc 5 mem 1".
#include "kernel/gauges.h"

#include <algorithm>
#include <sstream>
#include <string>

#include "kernel/features.h"
#include "util/text.h"

namespace culprit {

void Gauges::update(const Gauges& newer) {
    for (std::size_t i = 0; i < x_values.size(); i++)
        if (newer.x_values[i] != kGaugeUnknown)
            x_values[i] = newer.x_values[i];
}

std::optional<std::size_t> find_gauge(std::string_view name) {
    const auto it = std::ranges::find(kGaugeNames, name);
    if (it == kGaugeNames.end())
        return std::nullopt;
    return static_cast<std::size_t>(it - kGaugeNames.begin());
}

void parse_sockstat(std::string_view text, Gauges& into) {
    std::istringstream lines{std::string(text)};
    for (std::string line; std::getline(lines, line);) {
        std::istringstream words(line);
        std::string group, name, value;
        words >> group;
        while (group.ends_with(':') && words >> name >> value) {
            const auto index = find_gauge(group.substr(0, group.size() - 1) + "." + name);
            const auto number = to_number(value);
            if (index && number)
                into.set(*index, *number);
        }
    }
}

void parse_conntrack_count(std::string_view text, Gauges& into) {
    take_until(text, '\n');
    if (const auto entries = hex_number(take_until(text, ' ')))
        into.set(gauge("nf_conntrack_count"), *entries);
}

void read_limits(Gauges& into) {
    const auto set = [&](std::string_view name, const std::string& text) {
        if (const auto number = to_number(text))
            into.set(*find_gauge(name), *number);
    };
    const auto words = [](const std::string& path) {
        std::istringstream text(read_file(path).value_or(""));
        std::string first, second;
        text >> first >> second;
        return std::pair(first, second);
    };
    for (const char* name : {"tcp_max_tw_buckets", "tcp_max_orphans", "tcp_tw_reuse",
                             "tcp_fin_timeout", "tcp_max_syn_backlog"})
        set(name, words(std::string("/proc/sys/net/ipv4/") + name).first);
    set("nf_conntrack_max", words("/proc/sys/net/netfilter/nf_conntrack_max").first);
    for (const char* name : {"somaxconn", "rmem_max"})
        set(name, words(std::string("/proc/sys/net/core/") + name).first);
    const auto last_word = [&](std::string_view name, const char* path) {
        std::istringstream text(read_file(path).value_or(""));
        for (std::string high; text >> high;)
            set(name, high);
    };
    last_word("udp_mem.high", "/proc/sys/net/ipv4/udp_mem");
    last_word("tcp_rmem.max", "/proc/sys/net/ipv4/tcp_rmem");
    last_word("tcp_wmem.max", "/proc/sys/net/ipv4/tcp_wmem");
    last_word("tcp_mem.high", "/proc/sys/net/ipv4/tcp_mem");
    set("file-nr", words("/proc/sys/fs/file-nr").first);
    set("file-max", words("/proc/sys/fs/file-max").first);
    const auto [low, high] = words("/proc/sys/net/ipv4/ip_local_port_range");
    set("ip_local_port_range.low", low);
    set("ip_local_port_range.high", high);
}

} // namespace culprit
