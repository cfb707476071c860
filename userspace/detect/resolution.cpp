// SPDX-License-Identifier: MIT
// Counts are exact and come from totals; names and errors from events, which are samples.
#include "detect/resolution.h"

#include <algorithm>
#include <array>
#include <bit>
#include <set>
#include <tuple>

#include <fmt/format.h>

#include "detect/drops.h"
#include "detect/flows.h"
#include "detect/reach.h"
#include "model/format.h"
#include "util/dns.h"
#include "util/text.h"

namespace culprit {

namespace {

constexpr std::size_t kNamesTold = 3;
constexpr std::uint16_t kTypePtr = 12;

using Words = std::array<std::uint64_t, sizeof(dns_counts) / 8>;
using Key = std::tuple<std::uint32_t, std::string, std::string>; // namespace, process, server

Key key_of(const abi_flow& flow, const abi_owner& owner) {
    return {flow.netns, std::string(until_nul(owner.comm)), endpoint(flow, false)};
}

void add_event(Asking& asking, const dns_event& event, const RowInfo& info) {
    if (!asking.first_ns || info.first_ns < asking.first_ns)
        asking.first_ns = info.first_ns;
    if (event.error)
        asking.errors[event.error] += info.count;
    const std::string name = dns_name(std::as_bytes(std::span(event.name)));
    if (name != "-" && asking.names.size() < kNamesTold &&
        std::ranges::find(asking.names, name) == asking.names.end())
        asking.names.push_back(name);
}

/// Which process of this host is the server?
void find_servers(std::map<Key, Asking>& all, const Window& total) {
    std::vector<dns_total> servers;
    for (const auto& [row, info] : total.rows<dns_total>(ABI_DNS_TOTAL))
        if (row.role == DNS_SERVER && row.owner.tgid)
            servers.push_back(row);
    Reach reach(total);
    for (std::size_t i = 0; i < servers.size(); i++)
        reach.add(servers[i].flow, i);
    reach.meet();
    for (auto& [key, asking] : all) {
        const auto found = reach.to(asking.flow, false);
        if (!found)
            continue;
        asking.server = servers[*found].owner;
        asking.server_netns = servers[*found].flow.netns;
    }
}

} // namespace

void add(dns_counts& into, const dns_counts& more) {
    auto sum = std::bit_cast<Words>(into);
    const auto words = std::bit_cast<Words>(more);
    for (std::size_t i = 0; i < sum.size(); i++)
        sum[i] += words[i];
    const std::uint64_t longest = std::max(into.latency_max_ns, more.latency_max_ns);
    into = std::bit_cast<dns_counts>(sum);
    into.latency_max_ns = longest;
}

std::string Asking::server_text() const {
    return endpoint(flow, false);
}

std::vector<Asking> askings(const Facts& facts, Concerns concerns) {
    std::map<Key, Asking> all;
    for (const auto& [row, info] : facts.total.rows<dns_total>(ABI_DNS_TOTAL)) {
        if (row.role != DNS_CLIENT)
            continue;
        Asking& asking = all[key_of(row.flow, row.owner)];
        const Party party{row.owner, row.flow.netns};
        add_party(asking.parties, party);
        if (row.counts.questions > asking.asked) {
            asking.party = party;
            asking.asked = row.counts.questions;
        }
        asking.flow = row.flow;
        add(asking.sum, row.counts);
        if (row.type != kTypePtr)
            add(asking.forward, row.counts);
        if (row.flow.protocol == IPPROTO_TCP)
            asking.by_tcp += row.counts.questions;
    }
    for (const auto& [event, info] : facts.total.rows<dns_event>(ABI_DNS)) {
        const auto asking = all.find(key_of(event.flow, event.owner));
        if (asking != all.end() && concerns(event))
            add_event(asking->second, event, info);
    }
    find_servers(all, facts.total);
    std::vector<Asking> out;
    for (auto& [key, asking] : all)
        out.push_back(std::move(asking));
    return out;
}

std::uint64_t answers_above(const dns_counts& counts, std::uint64_t us) {
    std::uint64_t above = 0;
    for (std::size_t i = 1; i < DNS_SLOTS; i++)
        above += 1ULL << (i - 1) >= us ? counts.slots[i] : 0;
    return above;
}

Finding about(const Asking& asking, const std::string& id, std::uint64_t count,
              const Window& total) {
    Finding finding{.id = id, .layer = Layer::kApplication};
    if (asking.server.tgid)
        finding.culprit = Party{asking.server, asking.server_netns};
    add_party(finding.affected, asking.party);
    for (const Party& party : asking.parties)
        add_party(finding.affected, party);
    finding.where = {.remote = asking.server_text(), .netns = asking.party.netns};
    finding.first_ns = asking.first_ns ? asking.first_ns : total.from_ns;
    finding.count = count;
    finding.rate_per_s = per_second(total, static_cast<double>(count));
    if (!asking.names.empty())
        finding.evidence.push_back(
            {fmt::format("among the names: {}", fmt::join(asking.names, ", ")), {}, "", "dns"});
    finding.verify =
        fmt::format("diagnose --only {} --port {} --for 30s", id, asking.flow.remote_port);
    return finding;
}

void fold_through_resolvers(std::vector<Finding>& findings) {
    const std::vector<Finding> all = findings;
    // the process behind one's server is the one that is told of in the other
    const auto causes = [](const Finding& cause, const Finding& effect) {
        return effect.culprit && !cause.affected.empty() &&
               same_process(cause.affected.front().owner, effect.culprit->owner);
    };
    std::erase_if(findings, [&](const Finding& effect) {
        return std::ranges::any_of(all,
                                   [&](const Finding& cause) { return causes(cause, effect); });
    });
    for (const Finding& effect : all)
        for (Finding& cause : findings)
            if (causes(cause, effect))
                for (const Party& party : effect.affected)
                    add_party(cause.affected, party);
}

std::optional<Excuse> dropped_here(const Asking& asking, const Window& total) {
    for (const auto& [drop, info] : total.rows<drop_event>(ABI_DROP)) {
        if (drop.flow.protocol != asking.flow.protocol || is_benign(drop, total.names))
            continue;
        const std::string server = asking.server_text();
        if (endpoint(drop.flow, false) == server || endpoint(drop.flow, true) == server)
            return drop_owner({drop.reason, drop.flow.netns, drop.location}, total);
    }
    return std::nullopt;
}

} // namespace culprit
