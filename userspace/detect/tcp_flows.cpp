// SPDX-License-Identifier: MIT
// A client's row has the server's address and port, a server's row those and the peer's address:
// that is what they are joined by.
#include "detect/tcp_flows.h"

#include <algorithm>

#include <fmt/format.h>

#include "model/format.h"

namespace culprit {

namespace {

/// Rows of one service, by the address that the server sees as its peer.
using Servers = std::map<std::string, std::vector<std::size_t>>;

bool is_loopback(const std::string& peer) {
    return peer.starts_with("127.") || peer == "::1";
}

/// Those whose peer is an address of the client's namespace, as far as these are known.
std::vector<std::size_t> met_by(const abi_flow& client, std::uint32_t netns, const Servers& servers,
                                const Window& total) {
    const auto own = total.names.addresses.find(client.netns);
    std::vector<std::size_t> met;
    for (const auto& [peer, rows] : servers) {
        const bool known = own != total.names.addresses.end();
        const bool is_peer =
            is_loopback(peer) ? client.netns == netns : !known || own->second.contains(peer);
        if (is_peer)
            met.insert(met.end(), rows.begin(), rows.end());
    }
    return met;
}

std::string decimal(double value, const char* unit) {
    constexpr const char* kPrefixes[] = {"", "K", "M", "G"};
    std::size_t i = 0;
    while (value >= 1000 && i + 1 < std::size(kPrefixes)) {
        value /= 1000;
        i++;
    }
    return fmt::format("{:.{}f} {}{}", value, i && value < 100 ? 1 : 0, kPrefixes[i], unit);
}

} // namespace

std::string FlowFacts::endpoint_of(bool local) const {
    return endpoint(sum.flow, local);
}

std::string FlowFacts::peer() const {
    return address(sum.flow, false);
}

double FlowFacts::active_ns() const {
    return double(sum.busy_ns + sum.rwnd_limited_ns + sum.sndbuf_limited_ns);
}

double FlowFacts::rwnd_share() const {
    return active_ns() > 0 ? double(sum.rwnd_limited_ns) / active_ns() : 0;
}

double FlowFacts::sndbuf_share() const {
    return active_ns() > 0 ? double(sum.sndbuf_limited_ns) / active_ns() : 0;
}

const TcpFlows& Facts::flows() const {
    if (!known_flows)
        known_flows = std::make_shared<const TcpFlows>(total);
    return *known_flows;
}

TcpFlows::TcpFlows(const Window& total) {
    for (const auto& [sum, info] : total.rows<flow_total>(ABI_FLOW_TOTAL))
        if (sum.flow.family) // not the rest, which had no room for rows of its own
            x_all.push_back({sum, info.first_ns, {}});
    join(total);
}

void TcpFlows::join(const Window& total) {
    Reach reach(total);
    std::map<std::pair<std::uint32_t, std::string>, Servers> services;
    for (std::size_t i = 0; i < x_all.size(); i++)
        if (x_all[i].serves()) {
            const FlowFacts& server = x_all[i];
            services[{server.sum.flow.netns, server.service()}][server.peer()].push_back(i);
            reach.add(server.sum.flow, i);
        }
    reach.meet();
    for (std::size_t i = 0; i < x_all.size(); i++) {
        const abi_flow& client = x_all[i].sum.flow;
        const auto met = x_all[i].serves() ? std::nullopt : reach.to(client, false);
        if (!met)
            continue;
        const std::uint32_t netns = x_all[*met].sum.flow.netns;
        for (const std::size_t server :
             met_by(client, netns, services[{netns, x_all[*met].service()}], total)) {
            x_all[i].others.push_back(server);
            x_all[server].others.push_back(i);
        }
    }
}

std::vector<const FlowFacts*> TcpFlows::others(const FlowFacts& flow) const {
    std::vector<const FlowFacts*> out;
    for (const std::size_t i : flow.others)
        out.push_back(&x_all[i]);
    return out;
}

std::vector<Party> TcpFlows::parties_beyond(const FlowFacts& flow) const {
    std::vector<Party> out;
    for (const FlowFacts* other : others(flow))
        add_party(out, other->party());
    return out;
}

std::string rate_text(double bytes_per_second) {
    return decimal(bytes_per_second, "B/s");
}

std::string size_text(double bytes) {
    return decimal(bytes, "B");
}

/// Slot i holds times from 2^(i-1) to 2^i us, taken as spread evenly; the last one all longer ones.
double answer_quantile_ns(const __u64 (&slots)[FLOW_SLOTS], double share) {
    double all = 0;
    for (const std::uint64_t count : slots)
        all += double(count);
    double left = share * all;
    for (std::size_t i = 0; i < FLOW_SLOTS; i++) {
        const auto count = double(slots[i]);
        if (count > 0 && left <= count) {
            const double low = i ? double(1ULL << (i - 1)) : 0, high = double(1ULL << i);
            return (low + (high - low) * left / count) * 1000;
        }
        left -= count;
    }
    return 0;
}

} // namespace culprit
