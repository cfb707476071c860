// SPDX-License-Identifier: MIT
// A place is an address and a port; who has it is asked from the namespace of the one who sends.
#include "detect/reach.h"

#include <algorithm>
#include <vector>

#include <sys/socket.h>

#include "abi/connection.h"
#include "abi/reset.h"
#include "abi/retransmit.h"
#include "model/format.h"

namespace culprit {

namespace {

using Seen = std::map<std::string, std::set<std::uint32_t>>; // both ends -> namespaces

std::string plain_address(const abi_flow& flow, bool local) {
    constexpr std::string_view kMapped = "::ffff:"; // a listener that takes IPv4 by IPv6
    std::string text = address(flow, local);
    if (text.starts_with(kMapped) && text.find('.') != std::string::npos)
        text.erase(0, kMapped.size());
    return text;
}

bool is_loopback(const std::string& address) {
    return address.starts_with("127.") || address == "::1";
}

template <typename Record>
void add_flows(const Window& total, std::uint32_t kind, std::vector<abi_flow>& flows) {
    for (const auto& [row, info] : total.rows<Record>(kind))
        if (row.flow.netns && row.flow.family)
            flows.push_back(row.flow);
}

std::string ends(const abi_flow& flow, bool local_first) {
    return endpoint(flow, local_first) + ' ' + endpoint(flow, !local_first);
}

} // namespace

void Reach::add_at(std::uint32_t netns, const std::string& address, std::uint16_t port,
                   std::size_t which) {
    Places& places = x_places[{address, port}];
    places.try_emplace(netns, which);
    x_ambiguous |= places.size() > 1 && !is_loopback(address);
}

void Reach::add(const abi_flow& listener, std::size_t which) {
    if (std::ranges::any_of(listener.local, [](std::uint8_t byte) { return byte; })) {
        add_at(listener.netns, plain_address(listener, true), listener.local_port, which);
        return;
    }
    const auto own = x_total->names.addresses.find(listener.netns);
    if (own == x_total->names.addresses.end())
        return;
    for (const std::string& one : own->second)
        if (listener.family == AF_INET6 || one.find(':') == std::string::npos)
            add_at(listener.netns, one, listener.local_port, which);
}

void Reach::meet() {
    if (!x_ambiguous)
        return;
    std::vector<abi_flow> flows; // of sockets: the ends of a conversation, not its way
    add_flows<close_event>(*x_total, ABI_CLOSE, flows);
    add_flows<retransmit_event>(*x_total, ABI_RETRANSMIT, flows);
    add_flows<reset_event>(*x_total, ABI_RESET, flows);
    Seen seen;
    for (const abi_flow& flow : flows)
        seen[ends(flow, true)].insert(flow.netns);
    for (const abi_flow& flow : flows)
        if (const auto other = seen.find(ends(flow, false)); other != seen.end())
            x_partners[{flow.netns, plain_address(flow, false)}].insert(other->second.begin(),
                                                                        other->second.end());
}

bool Reach::owns(std::uint32_t netns, const std::string& address) const {
    const auto known = x_total->names.addresses.find(netns);
    return known != x_total->names.addresses.end() && known->second.contains(address);
}

std::optional<std::size_t> Reach::to(const abi_flow& flow, bool local) const {
    const std::string address = plain_address(flow, local);
    const auto found = x_places.find({address, local ? flow.local_port : flow.remote_port});
    if (found == x_places.end())
        return std::nullopt;
    const Places& places = found->second;
    if (const auto own = places.find(flow.netns); own != places.end())
        return own->second;
    if (is_loopback(address) || owns(flow.netns, address))
        return std::nullopt; // of its own namespace, and nobody listens there
    if (places.size() == 1)
        return places.begin()->second;
    const auto partners = x_partners.find({flow.netns, address});
    if (partners == x_partners.end() || partners->second.size() != 1)
        return std::nullopt;
    const auto met = places.find(*partners->second.begin());
    return met == places.end() ? std::nullopt : std::optional(met->second);
}

} // namespace culprit
