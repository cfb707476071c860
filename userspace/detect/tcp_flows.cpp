// SPDX-License-Identifier: MIT
// A client's row has the server's address and port, a server's row those and the peer's address:
// that is what they are joined by.
#include "detect/tcp_flows.h"

#include <algorithm>

#include <fmt/format.h>

#include "model/format.h"

namespace culprit {

namespace {

bool is_loopback(const abi_flow& flow) {
    const std::string peer = address(flow, false);
    return peer.starts_with("127.") || peer == "::1";
}

/// The client's namespace has the address which the server sees as its peer, as far as is known.
bool may_be_peer(const abi_flow& client, const abi_flow& server, const Window& total) {
    if (is_loopback(server))
        return client.netns == server.netns;
    const auto own = total.names.addresses.find(client.netns);
    return own == total.names.addresses.end() || own->second.contains(address(server, false));
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

TcpFlows::TcpFlows(const Window& total) {
    for (const auto& [sum, info] : total.rows<flow_total>(ABI_FLOW_TOTAL))
        if (sum.flow.family) // not the rest, which had no room for rows of its own
            x_all.push_back({sum, info.first_ns, {}});
    join(total);
}

void TcpFlows::join(const Window& total) {
    Reach reach(total);
    std::map<std::pair<std::uint32_t, std::string>, std::vector<std::size_t>> services;
    for (std::size_t i = 0; i < x_all.size(); i++)
        if (x_all[i].serves()) {
            services[{x_all[i].sum.flow.netns, x_all[i].service()}].push_back(i);
            reach.add(x_all[i].sum.flow, i);
        }
    reach.meet();
    for (std::size_t i = 0; i < x_all.size(); i++) {
        if (x_all[i].serves())
            continue;
        const auto met = reach.to(x_all[i].sum.flow, false);
        if (!met)
            continue;
        for (const std::size_t server :
             services[{x_all[*met].sum.flow.netns, x_all[*met].service()}])
            if (may_be_peer(x_all[i].sum.flow, x_all[server].sum.flow, total)) {
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
