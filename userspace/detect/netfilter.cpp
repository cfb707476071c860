// SPDX-License-Identifier: MIT
// Groups the sampled packets by rule and joins each group with the conversations that suffer.
#include "detect/netfilter.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include <fmt/format.h>

#include "abi/dns.h"
#include "abi/reset.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

constexpr unsigned kSyn = 2, kRst = 4, kAck = 16;

bool is_syn(const drop_event& packet) {
    return packet.flow.protocol == IPPROTO_TCP && (packet.tcp_flags & (kSyn | kAck)) == kSyn;
}

/// What a connect() gets that somebody on the way refuses (net/ipv4/icmp.c: icmp_err_convert).
bool is_refusal(std::uint32_t error) {
    return error == ECONNREFUSED || error == EHOSTUNREACH || error == ENETUNREACH ||
           error == EACCES || error == ENOPROTOOPT;
}

/// Attempts of processes of this host to connect to one destination.
struct Asked {
    std::uint64_t refused = 0, silent = 0;
    std::vector<Party> refused_parties, silent_parties;
};

struct Story {
    std::map<std::string, Asked> attempts;                   // by destination
    std::multimap<std::string, Row<retransmit_event>> again; // by conversation
    std::multimap<std::string, Row<dns_event>> unanswered;   // the same way
    std::set<std::string> rejected;                          // destinations
};

Story story_of(const Window& total) {
    Story story;
    for (const auto& [attempt, info] : total.rows<connect_event>(ABI_CONNECT)) {
        if (attempt.result == ABI_RESULT_OK || changed_its_mind(attempt, info))
            continue;
        Asked& asked = story.attempts[destination(attempt.flow)];
        const bool refused = attempt.result == ABI_RESULT_ERROR && is_refusal(attempt.error);
        (refused ? asked.refused : asked.silent) += info.count;
        add_party(refused ? asked.refused_parties : asked.silent_parties,
                  {attempt.owner, attempt.flow.netns});
    }
    for (const auto& row : total.rows<retransmit_event>(ABI_RETRANSMIT))
        story.again.emplace(conversation(row.record.flow), row);
    for (const auto& row : total.rows<dns_event>(ABI_DNS))
        if (row.record.outcome == DNS_NO_ANSWER)
            story.unanswered.emplace(conversation(row.record.flow), row);
    story.rejected = rejected_destinations(total);
    return story;
}

/// One group under way.
struct Group {
    FirewallDrops out;
    std::uint64_t weight = 0;                    // samples
    std::set<std::string> conversations;         // sampled ones
    std::map<std::string, std::uint64_t> to;     // destination -> samples
    std::map<std::uint32_t, std::uint64_t> path; // -> samples
};

/// Rejected or not, and the candidates, which are in the order of the ruleset.
using GroupKey = std::pair<bool, std::vector<const rule_total*>>;

void add_sample(Group& group, const Row<drop_event>& row) {
    const auto& [packet, info] = row;
    DropFacts& drops = group.out.drops;
    group.weight += info.count;
    drops.first_ns = drops.first_ns ? std::min(drops.first_ns, info.first_ns) : info.first_ns;
    drops.devices[packet.flow.ifindex] += info.count;
    const std::string ip = ip_protocol(packet.flow.protocol);
    drops.protocols[ip == "-" ? ethertype(packet.ethertype) : ip] += info.count;
    group.path[packet.path] += info.count;
    group.to[destination(packet.flow)] += info.count;
    if (packet.flow.family)
        group.conversations.insert(conversation(packet.flow));
    if (drops.example.empty() && packet.flow.family)
        drops.example = fmt::format("{} -> {} {}", endpoint(packet.flow, true),
                                    endpoint(packet.flow, false), ip);
    drops.samples.push_back(row);
}

void add_attempts(Group& group, const Story& story) {
    std::set<std::string> asked;
    for (const auto& [packet, info] : group.out.drops.samples)
        if (is_syn(packet))
            asked.insert(destination(packet.flow));
    for (const std::string& to : asked)
        if (const auto it = story.attempts.find(to); it != story.attempts.end()) {
            const bool rejected = group.out.rejected;
            const std::uint64_t count = rejected ? it->second.refused : it->second.silent;
            group.out.drops.conversations += count;
            group.out.drops.syn_conversations += count;
            for (const Party& party :
                 rejected ? it->second.refused_parties : it->second.silent_parties)
                add_party(group.out.drops.affected, party);
        }
}

void add_unanswered(Group& group, const Story& story) {
    for (const std::string& conversation : group.conversations) {
        const auto [from, to] = story.unanswered.equal_range(conversation);
        for (auto it = from; it != to; it++) {
            const auto& [question, info] = it->second;
            group.out.drops.conversations += info.count;
            group.out.drops.unanswered += info.count;
            add_party(group.out.drops.affected, {question.owner, question.flow.netns});
        }
    }
}

void add_sufferers(Group& group, const Story& story) {
    DropFacts& drops = group.out.drops;
    std::vector<Row<retransmit_event>> again;
    for (const std::string& conversation : group.conversations) {
        const auto [from, to] = story.again.equal_range(conversation);
        for (auto it = from; it != to; it++)
            again.push_back(it->second);
    }
    std::ranges::stable_sort(again, std::greater{},
                             [](const auto& row) { return row.record.segs; });
    for (const auto& [row, info] : again) {
        drops.segs_again += row.segs;
        drops.again[row.flow.netns] += row.segs;
        drops.conversations++;
        drops.syn_conversations += row.type == ABI_RETRANSMIT_SYN;
        add_party(drops.affected, {row.owner, row.flow.netns});
    }
    add_attempts(group, story);
    add_unanswered(group, story);
    for (const auto& [packet, info] : drops.samples)
        if (packet.owner.tgid) {
            drops.socket_samples += info.count;
            add_party(drops.affected, {packet.owner, packet.flow.netns});
        }
}

bool is_group_address(const abi_flow& flow) {
    return flow.family == AF_INET6 ? flow.remote[0] == 0xff
                                   : (flow.remote[0] & 0xf0) == 0xe0 || flow.remote[0] == 0xff ||
                                         flow.remote[3] == 0xff;
}

/// Somebody who is not seen on this host waits: a client that repeats its SYN or its question on
/// attempt after attempt, a connection whose segments are dropped time after time, or a process of
/// this host whose datagrams to one address do not leave. A scanner nearby does none of it; of
/// those on the Internet nothing is believed.
bool is_missed(const std::vector<Row<drop_event>>& samples) {
    struct Client {
        std::uint64_t attempts = 0, repeats = 0;
    };
    std::map<std::string, Client> clients; // source address and destination
    std::map<std::string, std::uint64_t> segments, sent;
    for (const auto& [packet, info] : samples) {
        const abi_flow& flow = packet.flow;
        if (is_from_stranger(packet))
            continue;
        const bool single = flow.protocol == IPPROTO_UDP && !is_group_address(flow);
        if (is_syn(packet) || single) {
            Client& client = clients[address(flow, true) + " " + destination(flow)];
            client.attempts++; // the source port is in the key: one row per attempt
            client.repeats += info.count - 1;
        } else if (flow.protocol == IPPROTO_TCP && !(packet.tcp_flags & kRst)) {
            segments[conversation(flow)] += info.count;
        }
        if (single && packet.path == ABI_PATH_OUTPUT)
            sent[destination(flow)] += info.count;
    }
    const auto often = [](const auto& one) { return one.second >= threshold::kFilteredMin; };
    return std::ranges::any_of(segments, often) || std::ranges::any_of(sent, often) ||
           std::ranges::any_of(clients, [](const auto& one) {
               return one.second.attempts >= threshold::kFilteredAttempts &&
                      one.second.repeats >= threshold::kSynRepeatsMin;
           });
}

void finish(Group& group, const DropFacts& all, std::uint64_t weight, const Story& story) {
    DropFacts& drops = group.out.drops;
    drops.at = all.at;
    drops.reason = all.reason;
    drops.symbol = all.symbol;
    // samples are limited, totals are not: a group has the share its samples have
    drops.packets = weight ? all.packets * group.weight / weight : all.packets;
    add_sufferers(group, story);
    group.out.needed = is_missed(drops.samples);
    const auto most = [](const auto& counts) {
        return std::ranges::max_element(counts, {}, [](const auto& c) { return c.second; });
    };
    if (!group.path.empty())
        group.out.path = most(group.path)->first;
    if (!group.to.empty() && most(group.to)->second * 10 >= group.weight * 9)
        group.out.to = most(group.to)->first;
}

std::vector<FirewallDrops> groups_of(const DropFacts& all, const Window& total,
                                     const Story& story) {
    const Rules rules(total, all.at.netns);
    std::map<GroupKey, Group> groups;
    std::uint64_t weight = 0;
    for (const auto& row : all.samples) {
        std::vector<const rule_total*> candidates = rules.candidates(row.record);
        if (const rule_total* rule = Rules::choose(candidates))
            candidates = {rule};
        const std::string to = destination(row.record.flow);
        const bool known = candidates.size() == 1;
        const bool told = known ? candidates.front()->verdict == ABI_RULE_REJECT
                                : is_syn(row.record) && story.rejected.contains(to);
        const auto [at, fresh] = groups.try_emplace({told, std::move(candidates)});
        Group& group = at->second;
        if (fresh) {
            for (const rule_total* rule : at->first.second)
                group.out.rules.push_back(*rule);
            group.out.rejected = told;
            group.out.unread = rules.unread();
        }
        add_sample(group, row);
        weight += row.info.count;
    }
    std::vector<FirewallDrops> out;
    for (auto& [key, group] : groups) {
        finish(group, all, weight, story);
        out.push_back(std::move(group.out));
    }
    if (out.empty()) // none was sampled
        out.push_back({.drops = all, .unread = rules.unread()});
    return out;
}

} // namespace

TableUse conntrack_use(std::uint32_t netns, const Facts& facts) {
    constexpr std::size_t kCount = gauge("nf_conntrack_count"), kMax = gauge("nf_conntrack_max");
    const auto counted = facts.total.counters.find(netns);
    if (counted == facts.total.counters.end())
        return {};
    TableUse use{.count = counted->second.gauges.at(kCount).value_or(0),
                 .max = counted->second.gauges.at(kMax).value_or(0)};
    for (const Window& window : facts.windows)
        if (const auto at = window.counters.find(netns); at != window.counters.end())
            use.count = std::max(use.count, at->second.gauges.at(kCount).value_or(0));
    return use;
}

bool is_conntrack_drop(const DropFacts& drops, const Facts& facts) {
    const auto counted = facts.total.counters.find(drops.at.netns);
    if (counted == facts.total.counters.end() || drops.function() != "nf_hook_slow" ||
        conntrack_use(drops.at.netns, facts).share() < threshold::kConntrackHigh)
        return false;
    return counted->second.growth[counter("Conntrack.drop")] * 2 >= drops.packets;
}

std::set<std::string> rejected_destinations(const Window& total) {
    std::map<std::string, std::uint64_t> dropped, refused;
    std::set<std::string> closed; // that answered themselves, for want of a listener
    for (const auto& [packet, info] : total.rows<drop_event>(ABI_DROP))
        if (is_syn(packet)) {
            const std::string place = symbol(packet.location, total.names);
            if (drop_class(drop_reason(packet.reason, total.names),
                           std::string_view(place).substr(0, place.find_first_of("+."))) ==
                "firewall-drop")
                dropped[destination(packet.flow)] += info.count;
        }
    for (const auto& [attempt, info] : total.rows<connect_event>(ABI_CONNECT))
        if (attempt.result == ABI_RESULT_ERROR && is_refusal(attempt.error))
            refused[destination(attempt.flow)] += info.count;
    for (const auto& [reset, info] : total.rows<reset_event>(ABI_RESET))
        if (reset.direction == ABI_SENT && !reset.tcp_state)
            closed.insert(endpoint(reset.flow, true));
    const auto lost = total.lost.find(ABI_DROP);
    const bool all = lost == total.lost.end() || !lost->second.limited; // were sampled
    std::set<std::string> found;
    for (const auto& [to, count] : refused) {
        const bool most = dropped[to] * 2 >= count;
        if ((most || (!all && dropped[to] >= threshold::kDropInfoMin)) && !closed.contains(to))
            found.insert(to);
    }
    return found;
}

const std::vector<FirewallDrops>& Facts::firewall_drops() const {
    if (known_firewall_drops)
        return *known_firewall_drops;
    const Story story = story_of(total);
    auto found = std::make_shared<std::vector<FirewallDrops>>();
    const auto key = [&](const DropFacts& of) {
        return fmt::format("{} {}", of.at.netns, is_conntrack_drop(of, *this));
    };
    for (const DropFacts& all : drops().of("firewall-drop", key))
        if (!is_conntrack_drop(all, *this))
            for (FirewallDrops& group : groups_of(all, total, story))
                found->push_back(std::move(group));
    known_firewall_drops = std::move(found);
    return *known_firewall_drops;
}

} // namespace culprit
