// SPDX-License-Identifier: MIT
// The contract "culprit.inventory/1": sums are exact, rows are the worst ones.
#include <netinet/tcp.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "model/format.h"
#include "model/record_json.h"
#include "present/inventory.h"
#include "present/layout.h"
#include "util/text.h"
#include "util/time.h"

namespace culprit {

namespace {

using Json = nlohmann::ordered_json;

Json states_json(const Sums& sums) {
    Json out = Json::object();
    for (std::uint32_t state = 1; state < kTcpStates; state++)
        if (sums.states[state])
            out[tcp_state(state)] = sums.states[state];
    return out;
}

Json sums_json(const Sums& sums) {
    return {{"sockets", sums.sockets},
            {"states", states_json(sums)},
            {"recv_queue", sums.recv_queue},
            {"send_queue", sums.send_queue},
            {"retransmits", sums.retransmits},
            {"drops", sums.drops},
            {"srtt_min_us", sums.rtt_count ? Json(sums.rtt_min_us) : Json(nullptr)},
            {"srtt_mean_us", sums.rtt_count ? Json(sums.mean_rtt_us()) : Json(nullptr)}};
}

Json owner_json(const abi_owner& owner) {
    return {{"pid", owner.tgid ? Json(owner.tgid) : Json(nullptr)},
            {"comm", owner.tgid ? Json(safe_text(until_nul(owner.comm))) : Json(nullptr)},
            {"provenance", provenance(owner.provenance)}};
}

/// At most `limit` rows; how many there are beside them; and what is summed up under no key.
template <typename Rows, typename Row>
void put_rows(Json& into, const char* name, const Rows& rows, std::size_t limit, const Row& row) {
    Json list = Json::array();
    for (std::size_t i = 0; i < std::min(limit, rows.size()); i++)
        list.push_back(row(rows[i]));
    into[name] = std::move(list);
}

void put_sockets(Json& into, const InventoryReport& report) {
    const Kind& kind = *find_kind(ABI_SOCKET);
    const Worst& worst = worst_of(report);
    put_rows(into, "rows", worst.sorted(), report.limit, [&](const socket_info& socket) {
        Json row;
        record_to_json(kind, bytes_of(socket), report.names, row);
        return row;
    });
    into["rows_left_out"] = worst.met() - into["rows"].size();
}

void put_ports(Json& into, const InventoryReport& report, const char* name, bool remote_too) {
    auto rows = ranked_ports(report.inventory);
    if (!remote_too)
        std::erase_if(rows, [](const auto& row) { return !row.first.here; });
    put_rows(into, name, rows, report.limit, [](const auto& row) {
        Json out = {{"netns", row.first.netns},
                    {"port", row.first.port},
                    {"protocol", ip_protocol(row.first.protocol)},
                    {"here", row.first.here != 0},
                    {"listener", row.first.here ? owner_json(row.second.owner) : Json(nullptr)},
                    {"shared", row.second.shared}};
        out.update(sums_json(row.second));
        return out;
    });
    into[std::string(name) + "_left_out"] = rows.size() - into[name].size();
    into[std::string(name) + "_other"] = sums_json(report.inventory.ports.other);
}

void put_owners(Json& into, const InventoryReport& report) {
    const auto rows = ranked_owners(report.inventory);
    put_rows(into, "owners", rows, report.limit, [](const auto& row) {
        Json out = owner_json(row.second.owner);
        out.update(sums_json(row.second));
        return out;
    });
    into["owners_left_out"] = rows.size() - into["owners"].size();
    into["owners_other"] = sums_json(report.inventory.owners.other);
}

void put_peers(Json& into, const InventoryReport& report) {
    const auto rows = ranked_peers(report.inventory);
    put_rows(into, "rows", rows, report.limit, [](const auto& row) {
        Json out = {{"netns", row.first.netns}, {"address", peer_text(row.first)}};
        out.update(sums_json(row.second));
        return out;
    });
    into["rows_left_out"] = rows.size() - into["rows"].size();
    into["rows_other"] = sums_json(report.inventory.peers.other);
}

Json duplex(const LinkInfo& link) {
    return link.duplex == 0 ? Json("half") : link.duplex == 1 ? Json("full") : Json(nullptr);
}

void put_links(Json& into, const InventoryReport& report) {
    const auto links = ranked_links(report);
    put_rows(into, "rows", links, report.limit, [](const LinkInfo& link) {
        Json errors = Json::object();
        for (const auto& [count, name] : link_errors(link))
            errors[name] = count;
        return Json{
            {"netns", link.netns},
            {"ifindex", link.ifindex},
            {"device", safe_text(link.name)},
            {"type", link.loopback ? "loopback" : safe_text(link.type)},
            {"state", operstate(link)},
            {"carrier", link.carrier},
            {"mtu", link.mtu},
            {"min_mtu", link.min_mtu},
            {"max_mtu", link.max_mtu},
            {"speed_mbit", link.speed_mbit ? Json(link.speed_mbit) : Json(nullptr)},
            {"duplex", duplex(link)},
            {"link", link.link ? Json(link.link) : Json(nullptr)},
            {"link_netns_id", link.link_netns_id < 0 ? Json(nullptr) : Json(link.link_netns_id)},
            {"master", link.master ? Json(link.master) : Json(nullptr)},
            {"qdisc", safe_text(link.qdisc)},
            {"rx_queues", link.rx_queues},
            {"tx_queues", link.tx_queues},
            {"xdp_program", link.xdp_program ? Json(link.xdp_program) : Json(nullptr)},
            {"rx_packets", link.stats.rx_packets},
            {"tx_packets", link.stats.tx_packets},
            {"rx_bytes", link.stats.rx_bytes},
            {"tx_bytes", link.stats.tx_bytes},
            {"rx_errors", link.stats.rx_errors},
            {"tx_errors", link.stats.tx_errors},
            {"rx_dropped", link.stats.rx_dropped},
            {"tx_dropped", link.stats.tx_dropped},
            {"rx_nohandler", link.stats.rx_nohandler},
            {"rx_otherhost", link.stats.rx_otherhost_dropped},
            {"errors", std::move(errors)},
            {"carrier_changes", link.carrier_changes},
            {"carrier_ups", link.carrier_ups},
            {"carrier_downs", link.carrier_downs}};
    });
    into["rows_left_out"] = links.size() - into["rows"].size();
}

void put_connections(Json& into, const InventoryReport& report) {
    put_owners(into, report);
    put_ports(into, report, "ports", true);
    into["issues"] = Json::array();
    for (const PoolIssue& issue : report.issues)
        into["issues"].push_back({{"id", issue.id},
                                  {"text", issue.text},
                                  {"value", finite(issue.value)},
                                  {"limit", finite(issue.limit)}});
    put_sockets(into, report);
}

} // namespace

std::string inventory_json(const InventoryReport& report) {
    Json out;
    out["schema"] = "culprit.inventory/1";
    out["table"] = kTopicNames[static_cast<std::size_t>(report.topic)];
    out["host"] = safe_text(report.host);
    out["kernel"] = safe_text(report.kernel);
    out["at"] = rfc3339(report.wall_ns);
    out["filtered"] = report.filtered;
    out["namespaces"] = Json::array();
    for (const auto& [inum, name] : report.netns)
        out["namespaces"].push_back(
            {{"netns", inum}, {"name", name.empty() ? Json(nullptr) : Json(safe_text(name))}});
    out["notes"] = Json::array();
    for (const std::string& note : report.notes)
        out["notes"].push_back(safe_once(note));
    if (report.topic != Topic::kInterfaces)
        out["sums"] = {{"sockets", report.inventory.sockets()},
                       {"tcp", sums_json(report.inventory.tcp)},
                       {"udp", sums_json(report.inventory.udp)}};
    switch (report.topic) {
    case Topic::kListeners:
    case Topic::kQueues:
        put_sockets(out, report);
        break;
    case Topic::kConnections:
        put_connections(out, report);
        break;
    case Topic::kPorts:
        put_ports(out, report, "rows", false);
        break;
    case Topic::kPeers:
        put_peers(out, report);
        break;
    case Topic::kInterfaces:
        put_links(out, report);
        break;
    }
    return out.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

} // namespace culprit
