// SPDX-License-Identifier: MIT
// A device counts what it lost in one of four counters; what the stack saw of it are drops in a
// transmit function or before any protocol had the packet, refused transmissions, and XDP programs
// that failed. They explain at most what was counted.
#include "detect/reconcile_links.h"

#include <algorithm>
#include <map>
#include <string>

#include "abi/nic.h"
#include "detect/drops.h"
#include "detect/links.h"
#include "detect/queues.h"
#include "model/format.h"

namespace culprit {

namespace {

struct Seen {
    std::uint64_t received = 0, sent = 0; // packets known to be lost in the device
};

/// net/core/dev.c: __netif_receive_skb_core() and enqueue_to_backlog() count what they drop for the
/// device, drivers what their XDP programs do.
bool is_received(const std::string& reason, std::string_view finding) {
    return reason == "UNHANDLED_PROTO" || reason == "PTYPE_ABSENT" || finding == "softnet-drop" ||
           finding == "xdp-drop" || finding == "mtu-mismatch";
}

/// A driver's or tunnel's own function, or the stack's around it; a full qdisc counts by itself.
bool is_sent(std::string_view function, std::string_view finding) {
    return finding == "tx-ring-full" ||
           (finding != "qdisc-drop" && function.find("xmit") != function.npos);
}

std::map<DeviceKey, Seen> seen_by_device(const Window& total) {
    std::map<DeviceKey, Seen> all;
    for (const auto& [drop, info] : total.rows<drop_total>(ABI_DROP_TOTAL)) {
        const std::string reason = drop_reason(drop.reason, total.names);
        const std::string place = symbol(drop.location, total.names);
        const std::string function = place.substr(0, place.find_first_of("+."));
        const std::string_view finding = drop_class(reason, function);
        Seen& seen = all[{drop.netns, drop.ifindex}];
        if (is_received(reason, finding))
            seen.received += drop.packets;
        else if (is_sent(function, finding))
            seen.sent += drop.packets;
    }
    for (const auto& [nic, info] : total.rows<nic_total>(ABI_NIC_TOTAL)) {
        Seen& seen = all[{nic.netns, nic.ifindex}];
        // either may have told of the packet's end as well
        seen.sent = std::max<std::uint64_t>(seen.sent, nic.refused);
        seen.received = std::max<std::uint64_t>(seen.received, nic.xdp_exceptions);
    }
    return all;
}

std::string note_of(const LinkFacts& link) {
    return link.hardware() ? "the hardware or its driver counts what the kernel never had; its own "
                             "counters (ethtool -S) tell more"
                           : "its driver counts without a trace, or was read a moment before or "
                             "after the drops";
}

/// What is left explains the next counter of that direction.
void compare(const LinkFacts& link, const char* what, std::uint64_t counted, std::uint64_t& left,
             std::vector<Reconciled>& rows) {
    if (!counted)
        return;
    Reconciled row{link.name + " " + what, link.sum.netns, counted, std::min(left, counted), ""};
    left -= row.explained;
    if (row.unexplained())
        row.note = note_of(link);
    rows.push_back(std::move(row));
}

} // namespace

std::vector<Reconciled> reconcile_links(const Facts& facts) {
    std::vector<Reconciled> rows;
    auto all = seen_by_device(facts.total);
    for (const auto& [key, link] : facts.links().all()) {
        Seen& seen = all[key];
        compare(link, "rx_dropped", link.sum.rx_dropped, seen.received, rows);
        compare(link, "rx_errors", link.sum.rx_errors, seen.received, rows);
        compare(link, "tx_dropped", link.sum.tx_dropped, seen.sent, rows);
        compare(link, "tx_errors", link.sum.tx_errors, seen.sent, rows);
    }
    return rows;
}

} // namespace culprit
