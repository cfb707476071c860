// SPDX-License-Identifier: MIT
// In which order rows are shown, and the few words both outputs share.
#include <netinet/tcp.h>

#include <algorithm>
#include <cstring>
#include <tuple>

#include "model/format.h"
#include "present/inventory.h"

namespace culprit {

std::vector<std::pair<OwnerKey, OwnedSums>> ranked_owners(const Inventory& inventory) {
    return inventory.owners.ranked(
        [](const OwnedSums& sums) { return std::tuple(failing(sums), sums.sockets); });
}

std::vector<std::pair<PortKey, OwnedSums>> ranked_ports(const Inventory& inventory) {
    return inventory.ports.ranked([](const OwnedSums& sums) {
        return std::tuple(failing(sums), sums.states[TCP_TIME_WAIT], sums.sockets);
    });
}

std::vector<std::pair<PeerKey, Sums>> ranked_peers(const Inventory& inventory) {
    return inventory.peers.ranked(
        [](const Sums& sums) { return std::tuple(failing(sums), sums.retransmits, sums.sockets); });
}

std::vector<LinkInfo> ranked_links(const InventoryReport& report) {
    std::vector<LinkInfo> links = report.links;
    std::ranges::stable_sort(links, std::greater{}, [](const LinkInfo& link) {
        return std::tuple(link.stats.rx_errors + link.stats.tx_errors,
                          link.stats.rx_dropped + link.stats.tx_dropped,
                          link.admin_up && std::strcmp(operstate(link), "down") == 0);
    });
    return links;
}

const char* operstate(const LinkInfo& link) {
    static constexpr const char* kStates[] = {"unknown", "notpresent", "down", "lowerlayerdown",
                                              "testing", "dormant",    "up"};
    if (!link.admin_up)
        return "off"; // the administrator's wish; the kernel says "down" to a broken cable too
    return link.operstate < std::size(kStates) ? kStates[link.operstate] : "unknown";
}

std::vector<std::pair<std::uint64_t, const char*>> link_errors(const LinkInfo& link) {
    std::vector<std::pair<std::uint64_t, const char*>> errors;
    for (const LinkErrorKind& kind : link_error_kinds())
        if (const std::uint64_t count = link.stats.*kind.counter)
            errors.emplace_back(count, kind.name);
    std::ranges::stable_sort(errors, std::greater{}, [](const auto& error) { return error.first; });
    return errors;
}

const Worst& worst_of(const InventoryReport& report) {
    return report.topic == Topic::kListeners ? report.inventory.listeners
           : report.topic == Topic::kQueues  ? report.inventory.queues
                                             : report.inventory.connections;
}

std::string peer_text(const PeerKey& peer) {
    abi_flow flow{};
    flow.family = static_cast<__u8>(peer.family);
    std::memcpy(flow.remote, peer.addr.data(), peer.addr.size());
    return address(flow, false);
}

} // namespace culprit
