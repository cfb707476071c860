// SPDX-License-Identifier: MIT
// udp-port-unreachable. Claim: somebody goes on sending datagrams to a port of this host that
// nobody has. Evidence: drops without a socket, by source and destination, over the length of the
// run; Udp.NoPorts; the sender's socket when it is on this host. Looks alike: strays and an
// optional endpoint that is tried now and then; a full buffer (udp-rcvbuf-overflow).
#include <algorithm>

#include <fmt/format.h>

#include "detect/receivers.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

/// Datagrams of one address to one closed port.
struct Stream {
    abi_flow flow{}; // of the first one
    bool from_stranger = false;
    std::uint64_t sampled = 0, first_ns = 0, last_ns = 0;
    std::map<std::uint16_t, std::uint64_t> ports; // they came from
};

using Streams = std::map<std::pair<std::string, std::string>, Stream>; // source, destination

Streams streams_of(const DropFacts& drops) {
    Streams streams;
    for (const auto& [drop, info] : drops.samples) {
        if (!drop.flow.family)
            continue;
        Stream& stream = streams[{address(drop.flow, true), endpoint(drop.flow, false)}];
        if (!stream.sampled) {
            stream.flow = drop.flow;
            stream.from_stranger = is_from_stranger(drop);
        }
        stream.sampled += info.count;
        stream.first_ns =
            stream.first_ns ? std::min(stream.first_ns, info.first_ns) : info.first_ns;
        stream.last_ns = std::max(stream.last_ns, info.last_ns);
        stream.ports[drop.flow.local_port] += info.count;
    }
    return streams;
}

bool is_any(const abi_flow& flow) {
    return std::ranges::all_of(flow.local, [](std::uint8_t byte) { return byte == 0; });
}

/// Could this socket have sent from that address?
bool sends_from(const Window& total, const socket_info& socket, const std::string& source) {
    if (!is_any(socket.flow))
        return address(socket.flow, true) == source;
    const auto own = total.names.addresses.find(socket.flow.netns);
    return own != total.names.addresses.end() && own->second.contains(source);
}

/// The process whose sockets explain most of it: another one may have one of the ports by now.
Party sender_of(const Window& total, const Stream& stream) {
    std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint64_t> explained;
    std::map<std::pair<std::uint32_t, std::uint64_t>, Party> parties;
    const std::string source = address(stream.flow, true);
    for (const auto& [socket, info] : total.rows<socket_info>(ABI_SOCKET)) {
        const auto port = stream.ports.find(socket.flow.local_port);
        if (socket.flow.protocol != IPPROTO_UDP || !socket.owner.tgid ||
            port == stream.ports.end() || socket.owner.start_ns > stream.last_ns ||
            !sends_from(total, socket, source))
            continue;
        const std::pair key(socket.owner.tgid, socket.owner.start_ns);
        explained[key] += port->second;
        parties[key] = {socket.owner, socket.flow.netns};
    }
    for (const auto& [key, count] : explained)
        if (2 * count > stream.sampled && explained.size() == 1)
            return parties[key];
    return {};
}

/// Somebody who goes on: many, often, and over most of the run.
bool goes_on(const Stream& stream, std::uint64_t datagrams, const Window& total) {
    const double seconds = double(stream.last_ns - stream.first_ns) / 1e9;
    return datagrams >= threshold::kStrayMin &&
           per_second(total, double(datagrams)) >= threshold::kStrayPerSecond &&
           seconds >= std::min(threshold::kStraySeconds.value, total.seconds() / 2);
}

Finding describe(const Stream& stream, std::uint64_t datagrams, const DropFacts& drops,
                 const Window& total) {
    const Party sender = sender_of(total, stream);
    const std::string to = endpoint(stream.flow, false), from = address(stream.flow, true);
    const std::uint32_t netns = drops.at.netns;
    Finding finding{.id = "udp-port-unreachable", .severity = Severity::kWarning};
    if (!sender.owner.tgid && stream.from_stranger)
        finding.severity = Severity::kInfo;
    finding.confidence = sender.owner.tgid ? 0.95 : 0.85;
    finding.title = sender.owner.tgid
                        ? fmt::format("{} sends datagrams to {}: nobody has that port",
                                      owner_name(sender.owner, total.names), to)
                        : fmt::format("{} sends datagrams to {}: nobody has that port", from, to);
    finding.culprit = sender;
    finding.where = {.local = to,
                     .remote = from,
                     .device = device(netns, drops.main_device(), total.names),
                     .kernel = drops.symbol,
                     .reason = drops.reason,
                     .netns = netns};
    finding.first_ns = stream.first_ns;
    finding.count = datagrams;
    finding.rate_per_s = per_second(total, double(datagrams));
    finding.evidence.push_back(
        {fmt::format("{} datagrams to the closed port, {:.1f} per second, over {:.0f} s", datagrams,
                     finding.rate_per_s, double(stream.last_ns - stream.first_ns) / 1e9),
         double(datagrams), "datagrams", "kfree_skb"});
    finding.evidence.push_back(
        {fmt::format("the namespace counts {} datagrams for ports nobody has",
                     udp_growth(total, netns).no_ports),
         double(udp_growth(total, netns).no_ports), "datagrams", "Udp.NoPorts"});
    finding.advice.push_back(
        {"start the service that should have the port, or correct the sender's configuration",
         fmt::format("{}ss -lunp 'sport = :{}'", in_netns(netns, total.names),
                     stream.flow.remote_port)});
    finding.verify = fmt::format("diagnose --only udp-port-unreachable --port {} --for 30s",
                                 stream.flow.remote_port);
    return finding;
}

} // namespace

std::vector<Finding> detect_udp_port_unreachable(const Facts& facts) {
    std::vector<Finding> findings;
    for (const auto& [netns, drops] : drops_by_netns(facts, "udp-port-unreachable")) {
        const Streams streams = streams_of(drops);
        std::uint64_t sampled = 0;
        for (const auto& [key, stream] : streams)
            sampled += stream.sampled;
        for (const auto& [key, stream] : streams) {
            const std::uint64_t datagrams = drops.packets * stream.sampled / sampled;
            if (goes_on(stream, datagrams, facts.total))
                findings.push_back(describe(stream, datagrams, drops, facts.total));
        }
    }
    return findings;
}

} // namespace culprit
