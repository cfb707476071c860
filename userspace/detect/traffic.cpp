// SPDX-License-Identifier: MIT
// Sums what the signals saw at an end of connections, what a device carried, or what the kernel
// counted in a namespace.
#include "detect/traffic.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>

#include "abi/dns.h"
#include "abi/drop.h"
#include "abi/flow.h"
#include "abi/link.h"
#include "abi/listen.h"
#include "abi/retransmit.h"
#include "util/text.h"

namespace culprit {

namespace {

/// An address, and a port unless that is 0.
struct End {
    std::uint16_t family = 0, port = 0;
    std::array<std::uint8_t, ABI_ADDR_BYTES> address{};
    bool any = false; // every address: of a listener

    bool is(const abi_flow& flow, bool local) const {
        const auto& bytes = local ? flow.local : flow.remote;
        if (port && port != (local ? flow.local_port : flow.remote_port))
            return false;
        if (any)
            return port != 0;
        // a listener on all addresses is the one of this address too
        const bool listens = local && port && std::ranges::all_of(bytes, [](auto b) { return !b; });
        return listens || (flow.family == family && std::ranges::equal(address, bytes));
    }
    bool is(const abi_flow& flow) const { return is(flow, true) || is(flow, false); }
};

/// "10.0.0.2:80", "[::1]:80", "10.0.0.2", "::1"; nothing for a network or a name.
std::optional<End> parse_end(std::string_view text) {
    End end;
    std::string_view host = text, port;
    if (text.starts_with('[')) {
        const std::size_t close = text.find(']');
        host = text.substr(1, close - 1);
        port = close == std::string_view::npos ? "" : text.substr(close + 1);
    } else if (std::ranges::count(text, ':') == 1) {
        host = text.substr(0, text.find(':'));
        port = text.substr(host.size());
    }
    if (!port.empty()) {
        const auto number = to_number(port.substr(1));
        if (!number || *number > 65535)
            return std::nullopt;
        end.port = static_cast<std::uint16_t>(*number);
    }
    end.family = host.find(':') == std::string_view::npos ? AF_INET : AF_INET6;
    if (inet_pton(end.family, std::string(host).c_str(), end.address.data()) != 1)
        return std::nullopt;
    end.any = std::ranges::all_of(end.address, [](auto byte) { return !byte; });
    return end;
}

/// The far end names the service; where there is none, the near one does.
std::optional<End> end_of(const Where& where) {
    return parse_end(where.remote.empty() ? where.local : where.remote);
}

struct Sums {
    std::uint64_t tries = 0, connections = 0, packets = 0;
};

Sums at_end(const End& end, const Window& total) {
    Sums sums;
    for (const auto& [attempt, info] : total.rows<connect_event>(ABI_CONNECT))
        if (end.is(attempt.flow, false)) {
            sums.tries += info.count;
            sums.connections += attempt.result == ABI_RESULT_OK ? info.count : 0;
        }
    for (const auto& [closed, info] : total.rows<close_event>(ABI_CLOSE))
        if (closed.role == ABI_ROLE_SERVER && end.is(closed.flow, true)) {
            sums.connections += closed.had_data ? info.count : 0;
            sums.packets += closed.segs_in + closed.segs_out;
        }
    for (const auto& [listener, info] : total.rows<listen_total>(ABI_LISTEN_TOTAL))
        if (end.is(listener.flow, true))
            sums.connections += listener.established;
    for (const auto& [flow, info] : total.rows<flow_total>(ABI_FLOW_TOTAL))
        if (end.is(flow.flow))
            sums.packets += flow.segs_in + flow.segs_out;
    for (const auto& [asked, info] : total.rows<dns_total>(ABI_DNS_TOTAL))
        if (asked.role == DNS_CLIENT && end.is(asked.flow, false)) {
            sums.tries += asked.counts.questions;
            sums.connections += asked.counts.answers;
        }
    for (const auto& [again, info] : total.rows<retransmit_event>(ABI_RETRANSMIT))
        sums.tries += end.is(again.flow) ? again.segs : 0;
    for (const auto& [drop, info] : total.rows<drop_event>(ABI_DROP))
        sums.tries += end.is(drop.flow) ? info.count : 0;
    return sums;
}

Sums at_device(const Where& where, const Window& total) {
    Sums sums;
    for (const auto& [link, info] : total.rows<link_total>(ABI_LINK_TOTAL)) {
        const auto name = total.names.devices.find({link.netns, link.ifindex});
        if (link.netns == where.netns && name != total.names.devices.end() &&
            name->second == where.device)
            sums.packets += link.rx_packets + link.tx_packets;
    }
    return sums;
}

/// Of all namespaces when netns is 0.
Sums at_netns(std::uint32_t netns, const Window& total) {
    Sums sums;
    for (const auto& [inum, counters] : total.counters)
        if (!netns || inum == netns)
            for (const std::size_t i :
                 {counter("Tcp.InSegs"), counter("Tcp.OutSegs"), counter("Udp.InDatagrams"),
                  counter("Udp.OutDatagrams"), counter("Ip.InReceives")})
                sums.packets += counters.growth[i];
    return sums;
}

bool has(const Where& where, TrafficScope scope) {
    switch (scope) {
    case TrafficScope::kEnd:
        return end_of(where).has_value();
    case TrafficScope::kDevice:
        return !where.device.empty();
    case TrafficScope::kNetns:
        return where.netns != 0;
    case TrafficScope::kHost:
    case TrafficScope::kNone:
        break;
    }
    return scope == TrafficScope::kHost;
}

constexpr TrafficScope kNarrowestFirst[] = {TrafficScope::kEnd, TrafficScope::kDevice,
                                            TrafficScope::kNetns, TrafficScope::kHost};

} // namespace

Traffic traffic_at(const Where& where, TrafficScope scope, const Facts& facts) {
    const Window& total = facts.total;
    if (scope == TrafficScope::kNone)
        scope = *std::ranges::find_if(kNarrowestFirst,
                                      [&](TrafficScope one) { return has(where, one); });
    const auto end = end_of(where);
    const Sums sums = scope == TrafficScope::kEnd      ? end ? at_end(*end, total) : Sums{}
                           : scope == TrafficScope::kDevice ? at_device(where, total)
                      : scope == TrafficScope::kNetns  ? at_netns(where.netns, total)
                                                       : at_netns(0, total);
    return {scope, per_second(total, double(sums.tries)),
            per_second(total, double(sums.connections)), per_second(total, double(sums.packets))};
}

Traffic traffic_at(const Where& where, const Facts& facts) {
    for (const TrafficScope scope : kNarrowestFirst)
        if (has(where, scope))
            if (const Traffic traffic = traffic_at(where, scope, facts); traffic.load() > 0)
                return traffic;
    return traffic_at(where, TrafficScope::kNone, facts);
}

} // namespace culprit
