// SPDX-License-Identifier: MIT
// Joins exact drop totals, sampled packets, and the conversations that suffer.
#include "detect/drops.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "abi/dns.h"
#include "detect/benign.h"
#include "detect/drop_reasons.h"
#include "detect/listeners.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

void add_counts(std::map<std::uint32_t, std::uint64_t>& into,
                const std::map<std::uint32_t, std::uint64_t>& from) {
    for (const auto& [key, count] : from)
        into[key] += count;
}

/// Adds another place of the same story.
void merge(DropFacts& into, const DropFacts& from) {
    if (from.packets > into.packets) { // the name is that of the place with most
        into.at = from.at;
        into.reason = from.reason;
        into.symbol = from.symbol;
    }
    into.packets += from.packets;
    if (from.first_ns && (!into.first_ns || from.first_ns < into.first_ns))
        into.first_ns = from.first_ns;
    add_counts(into.devices, from.devices);
    for (const auto& [name, count] : from.protocols)
        into.protocols[name] += count;
    for (const Party& party : from.affected)
        add_party(into.affected, party);
    add_counts(into.again, from.again);
    into.segs_again += from.segs_again;
    into.conversations += from.conversations;
    into.syn_conversations += from.syn_conversations;
    into.unanswered += from.unanswered;
    into.socket_samples += from.socket_samples;
    if (into.example.empty())
        into.example = from.example;
    into.samples.insert(into.samples.end(), from.samples.begin(), from.samples.end());
}

std::string share_text(const Window& total, const DropFacts& drops, std::uint32_t netns) {
    const auto it = total.counters.find(netns);
    const std::uint64_t out =
        it == total.counters.end() ? 0 : it->second.growth[counter("Tcp.OutSegs")];
    return out && drops.again.contains(netns)
               ? fmt::format("; {} of the {} segments sent there",
                             percent(double(drops.again.at(netns)) / double(out)), out)
               : "";
}

void add_resent(Finding& finding, const DropFacts& drops, const Window& total) {
    // where most of what was lost had been sent from
    const auto most =
        std::ranges::max_element(drops.again, {}, [](const auto& a) { return a.second; });
    if (!drops.segs_again || most == drops.again.end())
        return;
    finding.evidence.push_back(
        {fmt::format("{} segments of {} affected flows were sent again{}", drops.segs_again,
                     drops.conversations, share_text(total, drops, most->first)),
         static_cast<double>(drops.segs_again), "segments", "tcp_retransmit_skb"});
    const auto it = total.counters.find(most->first);
    if (it == total.counters.end() || !it->second.growth[counter("Tcp.OutSegs")])
        return;
    const Counters& grew = it->second.growth;
    const double ratio =
        double(grew[counter("Tcp.RetransSegs")]) / double(grew[counter("Tcp.OutSegs")]);
    finding.evidence.push_back(
        {fmt::format("retransmission ratio {} by the kernel's own count ({} of {} segments)",
                     percent(ratio), grew[counter("Tcp.RetransSegs")],
                     grew[counter("Tcp.OutSegs")]),
         ratio, "ratio", "Tcp.RetransSegs / Tcp.OutSegs"});
}

/// "eth0 900, eth1 100", most first: the finding's place is only the first.
std::string devices_text(const DropFacts& drops, const Names& names) {
    constexpr std::size_t kNamed = 4;
    std::vector<std::pair<std::uint64_t, std::uint32_t>> most;
    for (const auto& [ifindex, packets] : drops.devices)
        most.emplace_back(packets, ifindex);
    std::ranges::sort(most, std::greater{});
    std::string text;
    for (std::size_t i = 0; i < std::min(most.size(), kNamed); i++)
        text += fmt::format("{}{} {}", i ? ", " : "",
                            most[i].second ? device(drops.at.netns, most[i].second, names) : "none",
                            most[i].first);
    return most.size() > kNamed ? text + fmt::format(" and {} more", most.size() - kNamed) : text;
}

void add_evidence(Finding& finding, const DropFacts& drops, const Window& total) {
    std::string protocols;
    for (const auto& [name, packets] : drops.protocols)
        protocols += fmt::format("{}{} {}", protocols.empty() ? "" : ", ", packets, name);
    finding.evidence.push_back({fmt::format("{} packets dropped ({})", drops.packets, protocols),
                                static_cast<double>(drops.packets), "packets", "kfree_skb"});
    if (const std::string_view why = drop_runbook(drops.reason); !why.empty())
        finding.evidence.push_back(
            {fmt::format("{}: {}", drops.reason, why), std::nullopt, "", "kernel source"});
    add_resent(finding, drops, total);
    if (drops.syn_conversations)
        finding.evidence.push_back(
            {fmt::format("{} connection attempts to or from there get no answer or repeat",
                         drops.syn_conversations),
             static_cast<double>(drops.syn_conversations), "attempts", "inet_sock_set_state"});
    if (drops.unanswered)
        finding.evidence.push_back(
            {fmt::format("{} questions to name servers that went there got no answer",
                         drops.unanswered),
             static_cast<double>(drops.unanswered), "questions", "dns"});
    if (const auto line = total.names.sources.find(drops.at.location);
        line != total.names.sources.end())
        finding.evidence.push_back(
            {"dropped in " + line->second, std::nullopt, "", "debug information"});
    if (drops.devices.size() > 1)
        finding.evidence.push_back(
            {"by device: " + devices_text(drops, total.names), std::nullopt, "", "kfree_skb"});
    if (!drops.example.empty())
        finding.evidence.push_back({"for example " + drops.example, std::nullopt, "", "kfree_skb"});
}

std::string protocol_text(const drop_total& drop) {
    const std::string ip = ip_protocol(drop.protocol);
    return ip == "-" ? ethertype(drop.ethertype) : ip;
}

std::string sufferers(const DropFacts& drops, const Names& names) {
    if (drops.affected.empty())
        return "";
    return fmt::format(": {}{}", owner_name(drops.affected.front().owner, names),
                       drops.affected.size() > 1 ? " and others suffer" : " suffers");
}

} // namespace

const Drops& Facts::drops() const {
    if (!known_drops)
        known_drops = std::make_shared<const Drops>(total);
    return *known_drops;
}

std::string_view DropFacts::function() const {
    return std::string_view(symbol).substr(0, symbol.find_first_of("+."));
}

bool DropFacts::hurts() const {
    using namespace threshold;
    const bool missed = syn_conversations >= kUnansweredMin || segs_again >= kLossSegsMin ||
                        conversations >= kDropConversationsMin;
    return (packets >= kDropHurtMin && missed) || (packets >= kDropSocketMin && socket_samples);
}

std::uint32_t DropFacts::main_device() const {
    const auto most = std::ranges::max_element(devices, {}, [](const auto& d) { return d.second; });
    return most == devices.end() ? 0 : most->first;
}

Excuse drop_owner(const DropPlace& at, const Window& total) {
    DropFacts facts;
    facts.symbol = symbol(at.location, total.names);
    return {std::string(drop_class(drop_reason(at.reason, total.names), facts.function())),
            at.netns};
}

Drops::Drops(const Window& total) {
    add_totals(total);
    add_suffering(total); // first: who sends again suffers most
    add_samples(total);
}

void Drops::add_totals(const Window& total) {
    const Listeners listeners(total);
    std::set<DropPlace> tagged; // totals do not say what had a VLAN
    for (const auto& [drop, info] : total.rows<drop_event>(ABI_DROP))
        if (drop.tagged)
            tagged.insert({drop.reason, drop.flow.netns, drop.location});
    for (const auto& [drop, info] : total.rows<drop_total>(ABI_DROP_TOTAL)) {
        const DropPlace at{drop.reason, drop.netns, drop.location};
        const std::string reason = drop_reason(drop.reason, total.names);
        const std::string place = symbol(drop.location, total.names);
        if (!drop.location || !benign_drop(reason, place, tagged.contains(at)).empty() ||
            listeners.explains_drop(drop.netns, reason, place))
            continue;
        DropFacts& facts = x_places[at];
        facts.at = at;
        facts.reason = reason;
        facts.symbol = place;
        facts.packets += drop.packets;
        facts.devices[drop.ifindex] += drop.packets;
        facts.protocols[protocol_text(drop)] += drop.packets;
    }
}

void Drops::add_samples(const Window& total) {
    const Listeners listeners(total);
    for (const auto& row : total.rows<drop_event>(ABI_DROP)) {
        const auto& [drop, info] = row;
        const auto it = x_places.find({drop.reason, drop.flow.netns, drop.location});
        if (it == x_places.end() || listeners.is_backscatter(drop.flow))
            continue;
        DropFacts& facts = it->second;
        facts.first_ns = facts.first_ns ? std::min(facts.first_ns, info.first_ns) : info.first_ns;
        if (facts.example.empty() && drop.flow.family)
            facts.example =
                fmt::format("{} -> {} {}", endpoint(drop.flow, true), endpoint(drop.flow, false),
                            ip_protocol(drop.flow.protocol));
        if (drop.owner.tgid) {
            facts.socket_samples += info.count;
            add_party(facts.affected, {drop.owner, drop.flow.netns});
        }
        facts.samples.push_back(row);
    }
}

/// Who sends again what was dropped here, and who cannot connect or learn an address because of it.
void Drops::add_suffering(const Window& total) {
    const LocalDrops drops = find_local_drops(total);
    const auto facts_of = [&](const DropPlace* at) {
        const auto it = at ? x_places.find(*at) : x_places.end();
        return it == x_places.end() ? nullptr : &it->second;
    };
    auto resent = total.rows<retransmit_event>(ABI_RETRANSMIT);
    std::ranges::stable_sort(resent, std::greater{},
                             [](const auto& row) { return row.record.segs; });
    for (const auto& [again, info] : resent) {
        if (DropFacts* facts = facts_of(drops.of(again.flow))) {
            facts->segs_again += again.segs;
            facts->again[again.flow.netns] += again.segs;
            facts->conversations++;
            facts->syn_conversations += again.type == ABI_RETRANSMIT_SYN;
            add_party(facts->affected, {again.owner, again.flow.netns});
        }
    }
    for (const auto& [attempt, info] : total.rows<connect_event>(ABI_CONNECT))
        if (attempt.result != ABI_RESULT_OK && attempt.error != ECONNREFUSED &&
            !changed_its_mind(attempt, info))
            if (DropFacts* facts = facts_of(drops.of_destination(attempt.flow))) {
                facts->conversations += info.count;
                facts->syn_conversations += info.count;
                add_party(facts->affected, {attempt.owner, attempt.flow.netns});
            }
    for (const auto& [event, info] : total.rows<dns_event>(ABI_DNS))
        if (event.outcome == DNS_NO_ANSWER)
            if (DropFacts* facts = facts_of(drops.of(event.flow))) {
                facts->conversations += info.count;
                facts->unanswered += info.count;
                add_party(facts->affected, {event.owner, event.flow.netns});
            }
}

std::vector<DropFacts> Drops::of(std::string_view finding_id, const Key& key) const {
    std::vector<DropFacts> out;
    std::map<std::string, std::size_t> index;
    for (const auto& [at, facts] : x_places) {
        if (drop_class(facts.reason, facts.function()) != finding_id)
            continue;
        const auto [it, fresh] =
            index.emplace(key ? key(facts) : fmt::format("{}", out.size()), out.size());
        if (fresh)
            out.push_back(facts);
        else
            merge(out[it->second], facts);
    }
    return out;
}

std::vector<std::uint64_t> main_drop_places(const Window& window) {
    constexpr std::size_t kPlacesMax = 16;
    std::map<std::uint64_t, std::uint64_t> places;
    for (const auto& [drop, info] : window.rows<drop_total>(ABI_DROP_TOTAL))
        if (drop.location &&
            benign_drop(drop_reason(drop.reason, window.names), symbol(drop.location, window.names))
                .empty())
            places[drop.location] += drop.packets;
    std::vector<std::uint64_t> most;
    for (const auto& [place, packets] : places)
        most.push_back(place);
    std::ranges::stable_sort(most, std::greater{}, [&](std::uint64_t p) { return places.at(p); });
    most.resize(std::min(most.size(), kPlacesMax));
    return most;
}

namespace {

/// All of it is TCP's, which repeated it, and that is next to nothing of what was sent there.
bool is_ordinary(const DropFacts& drops, const Window& total) {
    std::uint64_t out = 0;
    for (const auto& [netns, segs] : drops.again)
        if (const auto it = total.counters.find(netns); it != total.counters.end())
            out += it->second.growth[counter("Tcp.OutSegs")];
    return !drops.syn_conversations && drops.protocols.size() == 1 &&
           drops.protocols.contains("tcp") && drops.segs_again && out &&
           double(drops.segs_again) < threshold::kDropShareMin * double(out);
}

} // namespace

std::optional<Finding> drop_finding(const DropStory& story, const DropFacts& drops,
                                    const Window& total) {
    const bool hurts = drops.hurts() && !(story.crowded && is_ordinary(drops, total));
    const bool needed = story.needed && drops.packets >= threshold::kDropHurtMin;
    if (!hurts && !needed && drops.packets < threshold::kDropInfoMin)
        return std::nullopt;
    Finding finding{.id = story.id, .layer = story.layer};
    finding.where = {.device = device(drops.at.netns, drops.main_device(), total.names),
                     .kernel = drops.symbol,
                     .reason = drops.reason,
                     .netns = drops.at.netns};
    if (finding.where.device == "-")
        finding.where.device.clear();
    finding.title = story.title + sufferers(drops, total.names);
    if (drops.affected.empty() && !hurts && !needed)
        finding.title += "; nobody is seen to miss them";
    const bool grave = drops.syn_conversations + drops.unanswered >= threshold::kUnansweredMin ||
                       (drops.segs_again >= threshold::kDropCriticalSegs &&
                        drops.packets >= threshold::kDropCriticalPackets);
    finding.severity = !hurts && !needed ? Severity::kInfo
                       : grave           ? Severity::kCritical
                                         : Severity::kWarning;
    finding.confidence = drops.conversations ? 0.95 : hurts ? 0.85 : needed ? 0.8 : 0.5;
    finding.affected = drops.affected;
    finding.first_ns = drops.first_ns;
    finding.count = drops.packets;
    finding.rate_per_s = per_second(total, double(drops.packets));
    add_evidence(finding, drops, total);
    finding.advice = story.advice;
    finding.verify = verify_in_netns(finding);
    return finding;
}

} // namespace culprit
