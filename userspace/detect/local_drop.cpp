// SPDX-License-Identifier: MIT
// local-drop. Claim: this host itself drops packets, at that place in the kernel, and these
// processes suffer. Evidence: exact drop totals of the place; sampled packets of it that belong to
// conversations which are sent again or never get connected, or to a known socket. Looks alike:
// loss beyond this host (no drop record for the flow), and drops of packets nobody waits for (info
// at most).
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "detect/finding.h"
#include "detect/flows.h"
#include "detect/listeners.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

struct Place {
    std::uint64_t packets = 0, first_ns = 0;
    std::map<std::uint32_t, std::uint64_t> devices; // ifindex -> packets
    std::map<std::string, std::uint64_t> protocols;
    std::vector<Party> affected;
    std::map<std::uint32_t, std::uint64_t> again; // netns -> segments its sockets sent again
    std::uint64_t segs_again = 0;                 // sum of them
    std::uint64_t conversations = 0;
    std::uint64_t syn_conversations = 0;
    std::uint64_t socket_samples = 0;
    std::string example;
};

using Places = std::map<DropPlace, Place>;

void add_totals(const Window& total, const Listeners& listeners, Places& places) {
    for (const auto& [drop, info] : total.rows<drop_total>(ABI_DROP_TOTAL)) {
        if (!drop.location || is_benign(drop.reason, drop.location, total.names) ||
            listeners.explains_drop(drop.netns, drop_reason(drop.reason, total.names),
                                    symbol(drop.location, total.names)))
            continue;
        Place& place = places[{drop.reason, drop.netns, drop.location}];
        place.packets += drop.packets;
        place.devices[drop.ifindex] += drop.packets;
        place.protocols[ip_protocol(drop.protocol) == "-" ? ethertype(drop.ethertype)
                                                          : ip_protocol(drop.protocol)] +=
            drop.packets;
    }
}

void add_samples(const Window& total, const Listeners& listeners, Places& places) {
    for (const auto& [drop, info] : total.rows<drop_event>(ABI_DROP)) {
        if (listeners.is_backscatter(drop.flow))
            continue;
        const auto it = places.find({drop.reason, drop.flow.netns, drop.location});
        if (it == places.end())
            continue;
        Place& place = it->second;
        place.first_ns = place.first_ns ? std::min(place.first_ns, info.first_ns) : info.first_ns;
        if (place.example.empty() && drop.flow.family)
            place.example =
                fmt::format("{} -> {} {}", endpoint(drop.flow, true), endpoint(drop.flow, false),
                            ip_protocol(drop.flow.protocol));
        if (drop.owner.tgid) {
            place.socket_samples += info.count;
            add_party(place.affected, {drop.owner, drop.flow.netns});
        }
    }
}

/// Who sends again what was dropped here, and who cannot connect because of it.
void add_suffering(const Window& total, Places& places) {
    const LocalDrops drops = find_local_drops(total);
    const auto place_of = [&](const DropPlace* at) {
        const auto it = at ? places.find(*at) : places.end();
        return it == places.end() ? nullptr : &it->second;
    };
    auto resent = total.rows<retransmit_event>(ABI_RETRANSMIT);
    std::ranges::stable_sort(resent, std::greater{},
                             [](const auto& row) { return row.record.segs; });
    for (const auto& [again, info] : resent) {
        if (Place* place = place_of(drops.of(again.flow))) {
            place->segs_again += again.segs;
            place->again[again.flow.netns] += again.segs;
            place->conversations++;
            place->syn_conversations += again.type == ABI_RETRANSMIT_SYN;
            add_party(place->affected, {again.owner, again.flow.netns});
        }
    }
    for (const auto& [attempt, info] : total.rows<connect_event>(ABI_CONNECT))
        if (attempt.result != ABI_RESULT_OK && attempt.error != ECONNREFUSED)
            if (Place* place = place_of(drops.of_destination(attempt.flow))) {
                place->conversations += info.count;
                place->syn_conversations += info.count;
                add_party(place->affected, {attempt.owner, attempt.flow.netns});
            }
}

Advice advice_for(const std::string& reason, const std::string& function, std::uint32_t netns_id,
                  const Names& names) {
    const auto named = names.netns.find(netns_id);
    const std::string in =
        named == names.netns.end() ? "" : fmt::format("ip netns exec {} ", named->second);
    if (reason == "NETFILTER_DROP")
        return {"find the rule that drops it; counters of the rules tell which one",
                in + "nft -a list ruleset"};
    if (reason.starts_with("TC_"))
        return {"a tc filter or program drops it; statistics tell which one",
                in + "tc -s filter show dev DEVICE ingress"};
    if (reason == "QDISC_DROP" || function.find("enqueue") != std::string::npos)
        return {"an egress queue is full; its statistics tell which one", in + "tc -s qdisc show"};
    if (reason == "SOCKET_RCVBUFF" || reason == "PROTO_MEM")
        return {"the process reads too slowly for its receive buffer", in + "ss -lunmp"};
    if (reason.starts_with("XDP") || function.starts_with("veth_xdp"))
        return {"an XDP program drops it", in + "ip -d link show"};
    if (reason.starts_with("IP_RPFILTER"))
        return {"reverse path filtering refuses the source",
                in + "sysctl -a -r 'net.ipv4.conf.*.rp_filter'"};
    if (function.starts_with("__dev_forward_skb") || reason == "PKT_TOO_BIG")
        return {"packets exceed the MTU of a device on the way", in + "ip link show"};
    return {"look at what this kernel function checks, and at the device's configuration",
            in + "ip -s -s link show"};
}

std::string share_text(const Window& total, const Place& place, std::uint32_t netns) {
    const auto it = total.counters.find(netns);
    const std::uint64_t out =
        it == total.counters.end() ? 0 : it->second.growth[counter("Tcp.OutSegs")];
    return out && place.again.contains(netns)
               ? fmt::format("; {} of the {} segments sent there",
                             percent(double(place.again.at(netns)) / double(out)), out)
               : "";
}

/// Where most of what was lost had been sent from.
std::uint32_t sender_netns(const Place& place) {
    const auto most =
        std::ranges::max_element(place.again, {}, [](const auto& a) { return a.second; });
    return most == place.again.end() ? 0 : most->first;
}

std::string title_of(const Place& place, const std::string& what, bool hurts, const Names& names) {
    if (!hurts)
        return fmt::format("this host drops packets nobody is seen to miss: {}", what);
    if (place.affected.empty())
        return fmt::format("this host drops packets that are needed: {}", what);
    return fmt::format("this host drops packets of {}{}: {}",
                       owner_name(place.affected.front().owner, names),
                       place.affected.size() > 1 ? " and others" : "", what);
}

void add_evidence(Finding& finding, const Place& place, const Window& total) {
    std::string protocols;
    for (const auto& [name, packets] : place.protocols)
        protocols += fmt::format("{}{} {}", protocols.empty() ? "" : ", ", packets, name);
    finding.evidence.push_back({fmt::format("{} packets dropped ({})", place.packets, protocols),
                                static_cast<double>(place.packets), "packets", "kfree_skb"});
    if (place.segs_again) {
        const std::uint32_t sender = sender_netns(place);
        finding.evidence.push_back(
            {fmt::format("{} segments of {} affected flows were sent again{}", place.segs_again,
                         place.conversations, share_text(total, place, sender)),
             static_cast<double>(place.segs_again), "segments", "tcp_retransmit_skb"});
        const auto it = total.counters.find(sender);
        if (it != total.counters.end() && it->second.growth[counter("Tcp.OutSegs")]) {
            const Counters& grew = it->second.growth;
            const double ratio =
                double(grew[counter("Tcp.RetransSegs")]) / double(grew[counter("Tcp.OutSegs")]);
            finding.evidence.push_back(
                {fmt::format(
                     "retransmission ratio {} by the kernel's own count ({} of {} segments)",
                     percent(ratio), grew[counter("Tcp.RetransSegs")],
                     grew[counter("Tcp.OutSegs")]),
                 ratio, "ratio", "Tcp.RetransSegs / Tcp.OutSegs"});
        }
    }
    if (place.syn_conversations)
        finding.evidence.push_back(
            {fmt::format("{} connection attempts to or from there get no answer or repeat",
                         place.syn_conversations),
             static_cast<double>(place.syn_conversations), "attempts", "inet_sock_set_state"});
    if (!place.example.empty())
        finding.evidence.push_back({"for example " + place.example, std::nullopt, "", "kfree_skb"});
}

} // namespace

std::vector<Finding> detect_local_drop(const Facts& facts) {
    const Window& total = facts.total;
    const Listeners listeners(total);
    Places places;
    add_totals(total, listeners, places);
    add_suffering(total, places); // first: who sends again suffers most
    add_samples(total, listeners, places);
    std::vector<Finding> findings;
    for (const auto& [at, place] : places) {
        const bool flows = place.packets >= threshold::kDropHurtMin && place.conversations;
        const bool sockets = place.packets >= threshold::kDropSocketMin && place.socket_samples;
        if (!flows && !sockets && place.packets < threshold::kDropInfoMin)
            continue;
        const auto device_at =
            std::ranges::max_element(place.devices, {}, [](const auto& d) { return d.second; });
        Finding finding{.id = "local-drop"};
        finding.where = {.device = device(at.netns, device_at->first, total.names),
                         .kernel = symbol(at.location, total.names),
                         .reason = drop_reason(at.reason, total.names),
                         .netns = at.netns};
        if (finding.where.device == "-")
            finding.where.device.clear();
        const std::string what =
            fmt::format("{} at {}", finding.where.reason, finding.where.kernel);
        finding.title = title_of(place, what, flows || sockets, total.names);
        finding.severity = !flows && !sockets ? Severity::kInfo
                           : place.syn_conversations || place.segs_again >= 100
                               ? Severity::kCritical
                               : Severity::kWarning;
        finding.confidence = flows ? 0.95 : sockets ? 0.85 : 0.5;
        finding.affected = place.affected;
        finding.first_ns = place.first_ns;
        finding.count = place.packets;
        finding.rate_per_s = total.seconds() > 0 ? double(place.packets) / total.seconds() : 0;
        add_evidence(finding, place, total);
        finding.advice.push_back(
            advice_for(finding.where.reason, finding.where.kernel, at.netns, total.names));
        finding.verify = fmt::format("diagnose --only local-drop --netns {} --for 30s", at.netns);
        findings.push_back(std::move(finding));
    }
    return findings;
}

} // namespace culprit
