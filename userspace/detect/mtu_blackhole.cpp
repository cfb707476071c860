// SPDX-License-Identifier: MIT
// mtu-blackhole. Claim: the path carries small packets and not full-size ones, and the sender is
// not told. Evidence: connections that stand still while their full-size segments are sent again
// (mtu.h); packets of one flow dropped here as too big long after the first of them; the ICMP
// messages about them dropped here too. Looks alike: path MTU discovery at work (one flight is
// dropped, then smaller segments pass), a dead peer (small packets do not pass either), a filter
// that drops by length (a local drop of its own).
#include <algorithm>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "abi/icmp.h"
#include "detect/drops.h"
#include "detect/mtu.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

bool asks_for_smaller(std::uint8_t family, std::uint8_t type, std::uint8_t code) {
    constexpr std::uint8_t kUnreachable = 3, kFragNeeded = 4, kPacketTooBig = 2;
    return family == AF_INET ? type == kUnreachable && code == kFragNeeded : type == kPacketTooBig;
}

/// Connections of one process that stand still for want of news.
struct Sender {
    Party party;
    std::vector<StuckFlow> flows;
    std::set<std::string> peers;
};

std::string count_of(std::uint64_t count, const char* one, const char* many) {
    return fmt::format("{} {}", count, count == 1 ? one : many);
}

Evidence standstill(const std::vector<StuckFlow>& flows) {
    std::uint64_t resent = 0, attempts = 0, bytes = 0;
    for (const StuckFlow& flow : flows) {
        resent += flow.resent;
        attempts = std::max(attempts, flow.attempts);
        bytes = std::max(bytes, flow.resent_bytes / flow.resent);
    }
    return {
        fmt::format("{}: segments of {} bytes were sent again {} times, {} timeouts in a row, "
                    "and none arrived",
                    count_of(flows.size(), "connection stands still", "connections stand still"),
                    bytes, resent, attempts),
        double(resent), "segments", "tcp_retransmit_skb"};
}

/// What shows that small packets pass.
std::optional<Evidence> smaller_ones(const Sender& sender, const MtuHoles& holes) {
    std::uint64_t handshakes = 0;
    for (const std::string& peer : sender.peers)
        handshakes += holes.handshakes_since(sender.party.netns, peer);
    if (handshakes)
        return Evidence{fmt::format("{} to the same peer succeeded meanwhile",
                                    count_of(handshakes, "handshake", "handshakes")),
                        double(handshakes), "connections", "inet_sock_set_state"};
    std::uint64_t sacked = 0, acked = 0;
    for (const StuckFlow& flow : sender.flows) {
        sacked += flow.sacked_segs;
        acked = std::max(acked, flow.acked_bytes);
    }
    if (sacked)
        return Evidence{fmt::format("{} sent behind them arrived",
                                    count_of(sacked, "smaller segment", "smaller segments")),
                        double(sacked), "segments", "tcp_retransmit_skb (SACK)"};
    if (!acked)
        return std::nullopt;
    return Evidence{fmt::format("before, {} bytes in smaller segments had arrived", acked),
                    double(acked), "bytes", "tcp_retransmit_skb"};
}

Evidence no_news(const Window& total, std::uint32_t netns) {
    const auto it = total.counters.find(netns);
    const std::uint64_t came = it == total.counters.end()
                                   ? 0
                                   : it->second.growth[counter("IcmpMsg.InType3")] +
                                         it->second.growth[counter("Icmp6.InPktTooBigs")];
    return {came ? fmt::format("{} ICMP errors came to the sender's namespace, to no effect", came)
                 : "no ICMP message about the path came to the sender",
            double(came), "messages", "IcmpMsg.InType3, Icmp6.InPktTooBigs"};
}

void advise(Finding& finding, const std::string& peer, const std::string& in_sender) {
    finding.advice.push_back(
        {"let ICMP \"fragmentation needed\" (IPv6: \"packet too big\") pass on the whole way, or "
         "give all links the same MTU",
         peer.empty() ? "" : "tracepath -n " + peer});
    finding.advice.push_back(
        {"until then: let senders probe for the size themselves, or clamp the MSS on the router",
         in_sender + "sysctl -w net.ipv4.tcp_mtu_probing=1"});
}

/// Beyond this host.
Finding far_hole(const Sender& sender, const MtuHoles& holes, const Window& total) {
    Finding finding{.id = "mtu-blackhole", .layer = Layer::kNetwork};
    finding.severity = Severity::kCritical;
    finding.confidence = sender.flows.size() > 1 ? 0.9 : 0.8;
    const std::string peer = *sender.peers.begin();
    finding.title =
        fmt::format("full-size segments of {} never arrive at {}, smaller ones do",
                    owner_name(sender.party.owner, total.names),
                    sender.peers.size() == 1 ? peer : fmt::format("{} peers", sender.peers.size()));
    add_party(finding.affected, sender.party);
    finding.where = {.remote = sender.peers.size() == 1 ? peer : "", .netns = sender.party.netns};
    for (const StuckFlow& flow : sender.flows) {
        finding.first_ns =
            finding.first_ns ? std::min(finding.first_ns, flow.first_ns) : flow.first_ns;
        finding.count += flow.resent;
    }
    finding.rate_per_s = per_second(total, double(finding.count));
    finding.evidence.push_back(standstill(sender.flows));
    if (auto passed = smaller_ones(sender, holes))
        finding.evidence.push_back(std::move(*passed));
    finding.evidence.push_back(no_news(total, sender.party.netns));
    finding.evidence.push_back(no_local_drop(total));
    advise(finding, peer, in_netns(sender.party.netns, total.names));
    finding.verify = verify_in_netns(finding);
    return finding;
}

/// The messages about packets too big that this host drops, and where.
struct LostNews {
    std::uint64_t dropped = 0;
    DropPlace at;
};

LostNews lost_news(const DropFacts& drops, const Window& total) {
    std::set<std::string> senders;
    for (const auto& row : drops.samples)
        senders.insert(address(row.record.flow, true));
    LostNews lost;
    for (const auto& [drop, info] : total.rows<drop_event>(ABI_DROP))
        if (asks_for_smaller(drop.flow.family, drop.icmp_type, drop.icmp_code) &&
            (drop.flow.protocol == IPPROTO_ICMP || drop.flow.protocol == IPPROTO_ICMPV6) &&
            senders.contains(address(drop.flow, false)) && !is_benign(drop, total.names)) {
            lost.dropped += info.count;
            lost.at = {drop.reason, drop.flow.netns, drop.location};
        }
    return lost;
}

/// A flow whose packets are still too big when the news of it must have come.
bool goes_on(const DropFacts& drops) {
    std::map<std::string, RowInfo> flows;
    for (const auto& [drop, info] : drops.samples) {
        if (drop.flow.protocol != IPPROTO_TCP)
            continue; // UDP may probe for a larger size for ever
        RowInfo& flow = flows[conversation(drop.flow)];
        flow.count += info.count;
        flow.first_ns = flow.first_ns ? std::min(flow.first_ns, info.first_ns) : info.first_ns;
        flow.last_ns = std::max(flow.last_ns, info.last_ns);
    }
    return std::ranges::any_of(flows, [](const auto& flow) {
        return flow.second.count >= threshold::kTooBigMin &&
               flow.second.last_ns - flow.second.first_ns >= threshold::kTooBigNs;
    });
}

/// Device and MTU the packets did not fit, by the messages sent about them.
std::optional<icmp_event> narrow_device(const Window& total, std::uint32_t netns) {
    for (const auto& [icmp, info] : total.rows<icmp_event>(ABI_ICMP))
        if (icmp.direction == ABI_SENT && icmp.flow.netns == netns && icmp.mtu &&
            asks_for_smaller(icmp.flow.family, icmp.type, icmp.code))
            return icmp;
    return std::nullopt;
}

std::string near_title(const std::optional<icmp_event>& narrow, const Names& names) {
    return narrow ? fmt::format("packets larger than {} bytes do not pass {}, and their senders "
                                "are not told",
                                narrow->mtu, device(narrow->out_netns, narrow->out_ifindex, names))
                  : "packets too big for their next link are dropped here, and their senders are "
                    "not told";
}

void add_lost_news(Finding& finding, const LostNews& lost, std::size_t at, const Names& names) {
    if (!lost.dropped)
        return;
    const std::string reason = drop_reason(lost.at.reason, names);
    finding.evidence.insert(
        finding.evidence.begin() + static_cast<std::ptrdiff_t>(at),
        {fmt::format("{} ICMP messages that tell the senders are dropped here: {} at {}, {}",
                     lost.dropped, reason, symbol(lost.at.location, names),
                     netns_name(lost.at.netns, names)),
         double(lost.dropped), "messages", "kfree_skb"});
    if (reason == "NETFILTER_DROP")
        finding.advice.push_back({"find the rule that drops ICMP type 3 code 4 (ICMPv6 type 2)",
                                  in_netns(lost.at.netns, names) + "nft -a list ruleset"});
}

/// A router of this host drops packets too big for their way out.
std::optional<Finding> near_hole(const DropFacts& drops, const std::vector<StuckFlow>& stuck,
                                 const Window& total) {
    const auto narrow = narrow_device(total, drops.at.netns);
    DropStory story{.id = "mtu-blackhole", .layer = Layer::kNetwork, .needed = true};
    story.title = near_title(narrow, total.names);
    auto finding = drop_finding(story, drops, total);
    if (!finding)
        return finding;
    if (narrow)
        finding->where.device = device(narrow->out_netns, narrow->out_ifindex, total.names);
    if (!stuck.empty()) {
        finding->severity = Severity::kCritical;
        finding->confidence = 0.95;
        // says more than sums over all flows that suffer
        std::erase_if(finding->evidence, [](const Evidence& e) {
            return e.source == "tcp_retransmit_skb" || e.source.starts_with("Tcp.RetransSegs");
        });
        finding->evidence.insert(finding->evidence.begin(), standstill(stuck));
        for (const StuckFlow& flow : stuck)
            add_party(finding->affected, flow.party);
    }
    add_lost_news(*finding, lost_news(drops, total), stuck.empty() ? 0 : 1, total.names);
    advise(*finding, "", stuck.empty() ? "" : in_netns(stuck.front().flow.netns, total.names));
    return finding;
}

std::vector<Finding> far_holes(const std::vector<StuckFlow>& flows, const MtuHoles& holes,
                               const Window& total) {
    std::map<std::tuple<std::uint32_t, std::uint32_t, std::uint64_t>, Sender> senders;
    for (const StuckFlow& flow : flows) {
        Sender& sender =
            senders[{flow.party.netns, flow.party.owner.tgid, flow.party.owner.start_ns}];
        sender.party = flow.party;
        sender.flows.push_back(flow);
        sender.peers.insert(address(flow.flow, false));
    }
    std::vector<Finding> findings;
    for (const auto& [key, sender] : senders)
        findings.push_back(far_hole(sender, holes, total));
    return findings;
}

} // namespace

std::vector<Finding> detect_mtu_blackhole(const Facts& facts) {
    const MtuHoles holes(facts.total);
    std::vector<Finding> findings;
    std::set<std::uint32_t> told; // namespaces of routers
    for (const DropFacts& drops : facts.drops().of("mtu-blackhole", [](const DropFacts& place) {
             return std::to_string(place.at.netns);
         })) {
        std::vector<StuckFlow> stuck;
        std::ranges::copy_if(holes.stuck(), std::back_inserter(stuck), [&](const StuckFlow& flow) {
            return flow.too_big && flow.too_big->netns == drops.at.netns;
        });
        if (stuck.empty() && !goes_on(drops))
            continue;
        if (auto finding = near_hole(drops, stuck, facts.total)) {
            findings.push_back(std::move(*finding));
            told.insert(drops.at.netns);
        }
    }
    std::vector<StuckFlow> others;
    std::ranges::copy_if(holes.stuck(), std::back_inserter(others), [&](const StuckFlow& flow) {
        return !flow.too_big || !told.contains(flow.too_big->netns);
    });
    std::ranges::move(far_holes(others, holes, facts.total), std::back_inserter(findings));
    return findings;
}

} // namespace culprit
