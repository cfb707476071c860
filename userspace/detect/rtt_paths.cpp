// SPDX-License-Identifier: MIT
// The smoothed round trip of a connection with little in flight has the peer's delayed ACKs in it.
// So what counts are handshakes, the smallest round trips of young connections, and the smoothed
// ones of connections with several segments in flight; of others what is beyond any delayed ACK.
// The first round trip at a listener that waits for data has its client's time in it: left out.
#include "detect/rtt_paths.h"

#include <algorithm>
#include <set>

#include "abi/connection.h"
#include "abi/listen.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

using PathKey = std::pair<std::uint32_t, std::string>; // netns, peer
using Paths = std::map<PathKey, RttPath>;

std::string row_key(const flow_total& sum) {
    return key_bytes(*find_kind(ABI_FLOW_TOTAL), bytes_of(sum));
}

/// A server's connections to a client of this host are that client's path.
PathKey path_of(const FlowFacts& flow, const TcpFlows& flows) {
    if (flow.serves())
        for (const FlowFacts* client : flows.others(flow))
            return {client->sum.flow.netns, client->peer()};
    return {flow.sum.flow.netns, flow.peer()};
}

void lower(double& least, double value) {
    if (value > 0)
        least = least > 0 ? std::min(least, value) : value;
}

RttPath& path_at(Paths& paths, const PathKey& key) {
    RttPath& path = paths[key];
    path.netns = key.first;
    path.peer = key.second;
    return path;
}

/// Services whose listeners wait for the first data of a connection (TCP_DEFER_ACCEPT): that long
/// the kernel takes the first round trip to be.
using Deferring = std::set<std::pair<std::uint32_t, std::uint16_t>>; // netns, port

Deferring deferring(const Window& total) {
    Deferring services;
    for (const auto& [listener, info] : total.rows<listen_total>(ABI_LISTEN_TOTAL))
        if (listener.defer_accept)
            services.emplace(listener.flow.netns, listener.flow.local_port);
    return services;
}

/// Several segments under way: their ACKs are not delayed.
bool is_bulk(const FlowFacts& flow) {
    return flow.sum.mss && 2 * flow.sum.sending >= flow.sum.looks &&
           flow.while_sending(flow.sum.in_flight) >= 2 * double(flow.sum.mss);
}

void add_flow(RttPath& path, const FlowFacts& flow, std::size_t window) {
    const PartyKey who = party_key(flow.party());
    lower(path.base_us, flow.min_rtt_us());
    RttSender& sender = path.senders[who];
    sender.party = flow.party();
    sender.bytes += flow.sum.bytes_sent;
    sender.retransmits += flow.sum.retransmits;
    sender.spurious += flow.sum.spurious;
    sender.sending += flow.sum.sending;
    sender.app_limited += flow.sum.app_limited;
    const double smoothed = flow.rtt_us();
    if (smoothed <= 0)
        return;
    const double sure = is_bulk(flow) ? smoothed : smoothed - threshold::kDelackMaxUs;
    path.samples.push_back({window, std::max(sure, flow.min_rtt_us()), who, false});
}

/// A SYN that was repeated says nothing of the path's time.
void add_handshakes(Paths& paths, const Window& window, std::size_t number) {
    for (const auto& [attempt, info] : window.rows<connect_event>(ABI_CONNECT)) {
        if (attempt.result != ABI_RESULT_OK || attempt.syn_retransmits || !attempt.latency_ns)
            continue;
        RttPath& path = path_at(paths, {attempt.flow.netns, address(attempt.flow, false)});
        const Party party{attempt.owner, attempt.flow.netns};
        const double us = double(attempt.latency_ns) / double(info.count) / 1000;
        lower(path.base_us, us);
        path.senders[party_key(party)].party = party;
        path.samples.push_back({number, us, party_key(party), true});
    }
}

} // namespace

bool RttPath::has_grown(const RttSample& sample) const {
    return base_us > 0 && sample.us >= threshold::kRttGrowth * base_us &&
           sample.us >= base_us + threshold::kRttGrownUs;
}

std::vector<std::size_t> RttPath::grown_windows() const {
    std::set<std::size_t> windows;
    for (const RttSample& sample : samples)
        if (has_grown(sample))
            windows.insert(sample.window);
    return {windows.begin(), windows.end()};
}

double RttPath::grown_us() const {
    std::vector<double> values;
    for (const RttSample& sample : samples)
        if (has_grown(sample))
            values.push_back(sample.us);
    if (values.empty())
        return 0;
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::ranges::nth_element(values, middle);
    return *middle;
}

double RttPath::variation(const PartyKey& who) const {
    const auto grown = grown_windows();
    double least = 0, most = 0;
    for (const RttSample& sample : samples) {
        // the first one is of before, too
        if (sample.who != who || sample.handshake || !has_grown(sample) ||
            sample.window == grown.front())
            continue;
        lower(least, sample.us);
        most = std::max(most, sample.us);
    }
    return least > 0 ? most / least : 0;
}

std::vector<RttPath> rtt_paths(const Facts& facts, const TcpFlows& flows) {
    std::map<std::string, PathKey> keys;
    const Deferring deferred = deferring(facts.total);
    for (const FlowFacts& flow : flows.all())
        if (!flow.serves() || !deferred.contains({flow.sum.flow.netns, flow.sum.flow.local_port}))
            keys[row_key(flow.sum)] = path_of(flow, flows);
    Paths paths;
    for (std::size_t i = 0; i < facts.windows.size(); i++) {
        for (const auto& [sum, info] : facts.windows[i].rows<flow_total>(ABI_FLOW_TOTAL))
            if (const auto key = keys.find(row_key(sum)); key != keys.end())
                add_flow(path_at(paths, key->second), {sum, info.first_ns, {}}, i);
        add_handshakes(paths, facts.windows[i], i);
    }
    std::vector<RttPath> out;
    for (auto& [key, path] : paths)
        out.push_back(std::move(path));
    return out;
}

} // namespace culprit
