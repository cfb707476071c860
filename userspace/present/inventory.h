// SPDX-License-Identifier: MIT
// The tables of `show`: what is there now, worst first.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "detect/pool.h"
#include "kernel/links.h"
#include "kernel/names.h"
#include "model/inventory.h"
#include "present/present.h"

namespace culprit {

enum class Topic { kListeners, kConnections, kPorts, kPeers, kQueues, kInterfaces };
inline constexpr const char* kTopicNames[] = {"listeners", "connections", "ports",
                                              "peers",     "queues",      "interfaces"};

struct InventoryReport {
    Topic topic = Topic::kConnections;
    std::string host, kernel;
    std::int64_t wall_ns = 0;
    bool filtered = false;
    std::size_t limit = 50;                     // rows of each table
    std::map<std::uint32_t, std::string> netns; // looked at; name, empty when it has none
    std::vector<std::string> notes;             // what is missing and why
    Inventory inventory;
    std::vector<PoolIssue> issues;
    std::vector<LinkInfo> links; // topic interfaces only
    Names names;
};

std::string inventory_text(const InventoryReport& report, const Style& style);
/// The public contract "culprit.inventory/1", one document, ends with a newline.
std::string inventory_json(const InventoryReport& report);

/// Worst first. Errors and drops count, then devices that should be up and are not.
std::vector<LinkInfo> ranked_links(const InventoryReport& report);
const char* operstate(const LinkInfo& link);
/// Kinds of errors that are not 0, worst first.
std::vector<std::pair<std::uint64_t, const char*>> link_errors(const LinkInfo& link);

// Rows in the order of trouble, for both outputs.
std::vector<std::pair<OwnerKey, OwnedSums>> ranked_owners(const Inventory& inventory);
std::vector<std::pair<PortKey, OwnedSums>> ranked_ports(const Inventory& inventory);
std::vector<std::pair<PeerKey, Sums>> ranked_peers(const Inventory& inventory);
/// The sockets of a topic that has sockets as rows.
const Worst& worst_of(const InventoryReport& report);

/// "192.0.2.7".
std::string peer_text(const PeerKey& peer);

} // namespace culprit
