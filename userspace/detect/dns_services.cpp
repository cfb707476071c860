// SPDX-License-Identifier: MIT
// Sums of exact counts by process and server; a resolver is a process that both serves and asks.
#include "detect/dns_services.h"

#include <netinet/in.h>

#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/format.h>

#include "detect/resolution.h"
#include "detect/tcp_flows.h"
#include "model/format.h"

namespace culprit {

static_assert(DNS_SLOTS == FLOW_SLOTS, "the same histogram");

namespace {

/// Figures of one process at one end, by type.
struct Tally {
    abi_owner owner{};
    std::uint32_t netns = 0;
    DnsFigures sum;
    std::map<std::uint16_t, DnsFigures> types;
    std::map<std::string, std::uint64_t> ends; // of a server: questions
};

void add_row(DnsFigures& into, const dns_total& row) {
    add(into.counts, row.counts);
    into.by_tcp += row.flow.protocol == IPPROTO_TCP ? row.counts.questions : 0;
}

void add_row(Tally& tally, const dns_total& row) {
    tally.owner = row.owner;
    tally.netns = row.flow.netns;
    add_row(tally.sum, row);
    DnsFigures& one = tally.types[static_cast<std::uint16_t>(row.type)];
    one.type = static_cast<std::uint16_t>(row.type);
    add_row(one, row);
}

std::vector<DnsFigures> types_of(const Tally& tally) {
    std::vector<DnsFigures> types;
    for (const auto& [type, figures] : tally.types)
        types.push_back(figures);
    std::ranges::stable_sort(types, std::greater{},
                             [](const DnsFigures& one) { return one.counts.questions; });
    return types;
}

using ClientKey = std::pair<PartyKey, std::string>; // server

std::vector<DnsClient> clients_of(const Window& total) {
    std::map<ClientKey, Tally> tallies;
    for (const auto& [row, info] : total.rows<dns_total>(ABI_DNS_TOTAL))
        if (row.role == DNS_CLIENT)
            add_row(tallies[{party_key({row.owner, row.flow.netns}), endpoint(row.flow, false)}],
                    row);
    std::vector<DnsClient> clients;
    for (const auto& [key, tally] : tallies)
        clients.push_back({tally.netns, tally.owner, key.second, tally.sum, types_of(tally)});
    return clients;
}

/// Its sockets on all addresses together.
std::vector<DnsServer> servers_of(const Window& total) {
    std::map<PartyKey, Tally> tallies;
    for (const auto& [row, info] : total.rows<dns_total>(ABI_DNS_TOTAL))
        if (row.role == DNS_SERVER) {
            Tally& tally = tallies[party_key({row.owner, row.flow.netns})];
            add_row(tally, row);
            tally.ends[endpoint(row.flow, true)] += row.counts.questions;
        }
    std::vector<DnsServer> servers;
    for (const auto& [key, tally] : tallies) {
        const auto main =
            std::ranges::max_element(tally.ends, {}, [](const auto& end) { return end.second; });
        servers.push_back({tally.netns, tally.owner, main->first, tally.sum, {}});
    }
    return servers;
}

void add_upstreams(std::vector<DnsServer>& servers, const std::vector<DnsClient>& clients) {
    for (DnsServer& server : servers)
        for (const DnsClient& client : clients)
            if (server.owner.tgid && same_process(server.owner, client.owner))
                server.upstreams.push_back(client);
}

template <typename One>
std::size_t sort_and_cut(std::vector<One>& all, std::size_t most) {
    std::ranges::stable_sort(all, std::greater{}, [](const One& one) {
        return std::pair(one.sum.trouble(), one.sum.counts.questions);
    });
    const std::size_t left_out = all.size() > most ? all.size() - most : 0;
    all.resize(all.size() - left_out);
    return left_out;
}

} // namespace

double DnsFigures::quantile_ns(double share) const {
    return std::min(answer_quantile_ns(counts.slots, share), double(counts.latency_max_ns));
}

double DnsFigures::mean_ns() const {
    return counts.answers ? double(counts.latency_ns) / double(counts.answers) : 0;
}

std::uint64_t DnsFigures::other_codes() const {
    const std::uint64_t known =
        counts.no_error + counts.servfail + counts.nxdomain + counts.refused;
    return counts.answers - std::min<std::uint64_t>(known, counts.answers);
}

std::uint64_t DnsFigures::trouble() const {
    return counts.silent + counts.failed + counts.servfail + counts.refused;
}

std::optional<double> DnsServer::cache_hit_ratio() const {
    std::uint64_t asked = 0;
    for (const DnsClient& upstream : upstreams)
        asked += upstream.sum.counts.questions -
                 std::min(upstream.sum.counts.retries, upstream.sum.counts.questions);
    if (upstreams.empty() || !sum.counts.questions)
        return std::nullopt;
    return 1 - std::min(1.0, double(asked) / double(sum.counts.questions));
}

DnsServices dns_services(const Facts& facts) {
    DnsServices services{.clients = clients_of(facts.total), .servers = servers_of(facts.total)};
    add_upstreams(services.servers, services.clients);
    services.clients_left_out = sort_and_cut(services.clients, DnsServices::kClientsMax);
    services.servers_left_out = sort_and_cut(services.servers, DnsServices::kServersMax);
    return services;
}

} // namespace culprit
