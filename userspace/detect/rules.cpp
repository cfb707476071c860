// SPDX-License-Identifier: MIT
// A counter in front of the verdict proves; a condition that fits a sample only suggests.
#include "detect/rules.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include <fmt/format.h>

#include "model/format.h"
#include "util/text.h"

namespace culprit {

namespace {

using Bytes = std::array<std::uint8_t, ABI_ADDR_BYTES>;

Fit fit(bool yes) {
    return yes ? Fit::kYes : Fit::kNo;
}

/// "22" or "8000-8080"
Fit in_range(std::string_view range, std::uint64_t value) {
    const std::string_view low = take_until(range, '-');
    const auto from = to_number(low), to = range.empty() ? from : to_number(range);
    return from && to ? fit(*from <= value && value <= *to) : Fit::kMaybe;
}

std::optional<Bytes> address_of(std::string_view text, int family) {
    Bytes bytes{};
    if (inet_pton(family, std::string(text).c_str(), bytes.data()) != 1)
        return std::nullopt;
    return bytes;
}

bool same_prefix(const Bytes& a, const Bytes& b, std::uint64_t bits) {
    const std::size_t whole = std::min<std::size_t>(bits / 8, a.size());
    if (!std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(whole), b.begin()))
        return false;
    if (whole == a.size() || bits % 8 == 0)
        return true;
    return (a[whole] ^ b[whole]) >> (8 - bits % 8) == 0;
}

/// "10.0.0.1", "10.0.0.0/8" or "10.0.0.1-10.0.0.9"
Fit in_network(std::string_view network, const std::uint8_t* address, int family) {
    const int wanted = network.find(':') == std::string_view::npos ? AF_INET : AF_INET6;
    if (!family)
        return Fit::kMaybe;
    if (wanted != family)
        return Fit::kNo;
    Bytes own{};
    std::copy_n(address, own.size(), own.begin());
    std::string_view rest = network;
    if (network.find('-') != std::string_view::npos) {
        const auto low = address_of(take_until(rest, '-'), family);
        const auto high = address_of(rest, family);
        return low && high ? fit(*low <= own && own <= *high) : Fit::kMaybe;
    }
    const auto first = address_of(take_until(rest, '/'), family);
    const auto bits = rest.empty() ? std::optional<std::uint64_t>(128) : to_number(rest);
    return first && bits ? fit(same_prefix(*first, own, *bits)) : Fit::kMaybe;
}

Fit is_protocol(std::string_view name, std::uint8_t protocol) {
    if (!protocol)
        return Fit::kMaybe;
    const std::string_view given = name == "ipv6-icmp" ? "icmpv6" : name;
    const auto number = to_number(given);
    return fit(number ? *number == protocol : given == ip_protocol(protocol));
}

/// The device a packet came in by; while it leaves, the sample does not tell which.
Fit came_by(std::string_view name, const drop_event& packet, const Names& names) {
    if (packet.path == ABI_PATH_OUTPUT)
        return Fit::kNo;
    if (packet.path == ABI_PATH_UNKNOWN || !packet.flow.ifindex)
        return Fit::kMaybe;
    const std::string own = device(packet.flow.netns, packet.flow.ifindex, names);
    return fit(name.ends_with('*') ? own.starts_with(name.substr(0, name.size() - 1))
                                   : own == name);
}

Fit test(std::string_view name, std::string_view value, const drop_event& packet,
         const Names& names) {
    const abi_flow& flow = packet.flow;
    if (name == "family")
        return packet.ethertype ? fit(ethertype(packet.ethertype) ==
                                      (value == "ip6" ? "ipv6" : std::string(value)))
                                : Fit::kMaybe;
    if (name == "l4proto")
        return is_protocol(value, flow.protocol);
    if (name == "sport")
        return flow.local_port ? in_range(value, flow.local_port) : Fit::kMaybe;
    if (name == "dport")
        return flow.remote_port ? in_range(value, flow.remote_port) : Fit::kMaybe;
    if (name == "saddr")
        return in_network(value, flow.local, flow.family);
    if (name == "daddr")
        return in_network(value, flow.remote, flow.family);
    if (name == "iif")
        return came_by(value, packet, names);
    return Fit::kMaybe;
}

/// "dport=!22,80"
Fit fits_word(std::string_view word, const drop_event& packet, const Names& names) {
    std::string_view values = word;
    const std::string_view name = take_until(values, '=');
    if (values.empty())
        return Fit::kMaybe;
    const bool none = values.starts_with('!');
    values.remove_prefix(none);
    Fit best = Fit::kNo;
    while (!values.empty())
        best = std::max(best, test(name, take_until(values, ','), packet, names));
    if (none && best != Fit::kMaybe)
        return best == Fit::kNo ? Fit::kYes : Fit::kNo;
    return best;
}

template <std::size_t N>
std::string text_of(const char (&bytes)[N]) {
    return safe_text(until_nul(bytes));
}

bool is_plain(std::string_view name) {
    return !name.empty() && std::ranges::all_of(name, [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               c == '_' || c == '-' || c == '.';
    });
}

/// Names a shell leaves alone, and which were not cut.
bool has_plain_names(const rule_total& rule) {
    for (const auto& name : {until_nul(rule.table), until_nul(rule.chain)})
        if (!is_plain(name) || name.size() == RULE_NAME_BYTES)
            return false;
    return is_plain(until_nul(rule.family));
}

} // namespace

Fit fits(std::string_view conditions, const drop_event& packet, const Names& names) {
    Fit all = Fit::kYes;
    while (!conditions.empty() && all != Fit::kNo)
        all = std::min(all, fits_word(take_until(conditions, ' '), packet, names));
    return all;
}

Rules::Rules(const Window& total, std::uint32_t netns) : x_names(&total.names) {
    for (const auto& [rule, info] : total.rows<rule_total>(ABI_RULE_TOTAL)) {
        if (rule.netns != netns)
            continue;
        if (rule.verdict == ABI_RULE_UNREAD)
            x_unread.push_back(text_of(rule.text));
        else
            x_all.push_back(rule);
    }
}

std::vector<const rule_total*> Rules::candidates(const drop_event& packet) const {
    std::vector<const rule_total*> found;
    bool sure = false;
    for (const rule_total& rule : x_all) {
        // its counter stood still while the firewall dropped
        const bool idle = rule.counted && rule.dropped && !rule.packets;
        const bool here = packet.path == ABI_PATH_UNKNOWN || rule.paths >> packet.path & 1;
        const Fit fit =
            idle || !here ? Fit::kNo : fits(until_nul(rule.conditions), packet, *x_names);
        if (fit != Fit::kNo)
            found.push_back(&rule);
        sure |= fit == Fit::kYes && rule.verdict != ABI_RULE_POLICY && rule.verdict != ABI_RULE_MAP;
    }
    if (sure)
        std::erase_if(found,
                      [](const rule_total* rule) { return rule->verdict == ABI_RULE_POLICY; });
    return found;
}

const rule_total* Rules::choose(const std::vector<const rule_total*>& candidates) {
    std::vector<const rule_total*> proven;
    std::ranges::copy_if(candidates, std::back_inserter(proven),
                         [](const rule_total* rule) { return is_proven(*rule); });
    if (candidates.size() == 1)
        return candidates.front();
    // beside rules that do not count, a counter proves only when it explains most of what is gone
    const bool enough =
        proven.size() == 1 && proven.front()->packets * 2 >= proven.front()->dropped;
    return enough ? proven.front() : nullptr;
}

std::string chain_name(const rule_total& rule) {
    return fmt::format("{} {} {}", text_of(rule.family), text_of(rule.table), text_of(rule.chain));
}

std::string rule_name(const rule_total& rule) {
    const std::string place = fmt::format("table {} {} chain {}", text_of(rule.family),
                                          text_of(rule.table), text_of(rule.chain));
    return rule.handle ? fmt::format("{} handle {}: {}", place, rule.handle, rule_text(rule))
                       : fmt::format("{}: {}", place, rule_text(rule));
}

std::string rule_text(const rule_total& rule) {
    return text_of(rule.text);
}

std::string rule_comment(const rule_total& rule) {
    return text_of(rule.comment);
}

std::string nft_command(const rule_total& rule, std::string_view command, std::string_view tail) {
    if (!has_plain_names(rule))
        return "nft -a list ruleset";
    return fmt::format("nft {} {}{}{}", command, chain_name(rule), tail.empty() ? "" : " ", tail);
}

} // namespace culprit
