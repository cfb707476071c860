// SPDX-License-Identifier: MIT
// Tables for people: worst first, a namespace column only when there are several.
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>

#include <fmt/format.h>

#include "model/format.h"
#include "present/inventory.h"
#include "present/layout.h"
#include "present/text_table.h"
#include "util/text.h"

namespace culprit {

namespace {

using Columns = std::vector<TextTable::Column>;
using Cells = std::vector<std::string>;

constexpr std::size_t kTopMax = 10; // rows of the tables beside the main one

std::string number(std::uint64_t value) {
    return value ? fmt::format("{}", value) : "-";
}

std::string size(std::uint64_t value) {
    return value ? short_number(static_cast<double>(value)) : "-";
}

std::string time_us(std::uint64_t us) {
    return us ? duration(us * 1000) : "-";
}

std::string percent(std::uint64_t part, std::uint64_t all) {
    return part ? fmt::format("{:.1f}%", 100.0 * static_cast<double>(part) /
                                             static_cast<double>(std::max(part, all)))
                : "-";
}

/// "curl/4242", "?" when the process is unknown; "+" when it is not the only one.
std::string owner_text(const abi_owner& owner, bool shared = false) {
    return owner.tgid ? fmt::format("{}/{}{}", safe_text(until_nul(owner.comm)), owner.tgid,
                                    shared ? " +" : "")
                      : "?";
}

class Writer {
public:
    Writer(const InventoryReport& report, const Style& style) : x_report(report), x_style(style) {}

    std::string title(std::string_view text) const {
        return '\n' + paint(text, Paint::kBold, x_style.color) + '\n';
    }

    /// `cells` and `netns` of the first `limit` rows; `all` is how many there are.
    template <typename Rows, typename ToCells, typename ToNetns>
    std::string table(Columns columns, const Rows& rows, std::uint64_t all, const ToCells& cells,
                      const ToNetns& netns, std::size_t limit) const {
        const bool several = x_report.netns.size() > 1;
        if (several)
            columns.push_back({"NETNS"});
        TextTable table(std::move(columns));
        for (std::size_t i = 0; i < std::min(limit, rows.size()); i++) {
            Cells row = cells(rows[i]);
            if (several)
                row.push_back(netns_text(netns(rows[i])));
            table.add(std::move(row));
        }
        if (table.empty())
            return "  none\n";
        return table.text(2, x_style.width) + left_out(all, limit);
    }

    template <typename ToCells>
    std::string sockets(std::string_view name, const Columns& columns, const ToCells& cells) const {
        const Worst& worst = worst_of(x_report);
        return title(name) + table(
                                 columns, worst.sorted(), worst.met(), cells,
                                 [](const socket_info& s) { return s.flow.netns; }, x_report.limit);
    }

    template <typename Rows, typename ToCells>
    std::string sums(std::string_view name, const Columns& columns, const Rows& rows,
                     const ToCells& cells, std::size_t limit) const {
        return title(name) + table(
                                 columns, rows, rows.size(), cells,
                                 [](const auto& row) { return row.first.netns; }, limit);
    }

    static std::string left_out(std::uint64_t all, std::size_t shown) {
        return all > shown ? fmt::format("  and {} more (--limit)\n", all - shown) : "";
    }

private:
    std::string netns_text(std::uint32_t inum) const {
        const auto known = x_report.netns.find(inum);
        return known == x_report.netns.end() || known->second.empty() ? fmt::format("{}", inum)
                                                                      : safe_text(known->second);
    }

    const InventoryReport& x_report;
    const Style& x_style;
};

std::string listeners_text(const Writer& writer) {
    return writer.sockets(
        "LISTENERS", {{"LOCAL"}, {"ACCEPT", true}, {"SYN", true}, {"DROPS", true}, {"OWNER"}},
        [](const socket_info& s) -> Cells {
            return {endpoint(s.flow, true), fmt::format("{}/{}", s.accept_queue, s.accept_limit),
                    number(s.syn_queue), number(s.drops), owner_text(s.owner, s.shared)};
        });
}

std::string queues_text(const Writer& writer) {
    return writer.sockets("QUEUES",
                          {{"PROTO"},
                           {"LOCAL"},
                           {"REMOTE"},
                           {"RECVQ", true},
                           {"SENDQ", true},
                           {"DROPS", true},
                           {"OWNER"}},
                          [](const socket_info& s) -> Cells {
                              return {ip_protocol(s.flow.protocol),
                                      endpoint(s.flow, true),
                                      s.flow.remote_port ? endpoint(s.flow, false) : "*",
                                      size(s.recv_queue),
                                      size(s.send_queue),
                                      number(s.drops),
                                      owner_text(s.owner)};
                          });
}

std::string states_text(const InventoryReport& report, const Writer& writer, std::size_t width) {
    const Inventory& inventory = report.inventory;
    TextTable table({{"STATE"}, {"COUNT", true}, {"SHARE", true}});
    for (std::uint32_t state = 1; state < kTcpStates; state++)
        if (state != TCP_LISTEN && inventory.in_state(state))
            table.add({tcp_state(state), number(inventory.in_state(state)),
                       percent(inventory.in_state(state), inventory.tcp_connections())});
    return table.empty() ? "" : writer.title("STATES") + table.text(2, width);
}

std::string owners_text(const InventoryReport& report, const Writer& writer, std::size_t width) {
    TextTable table({{"OWNER"},
                     {"SOCKETS", true},
                     {"ESTAB", true},
                     {"TIME_WAIT", true},
                     {"CLOSE_WAIT", true},
                     {"RETR", true}});
    const auto rows = ranked_owners(report.inventory);
    const std::size_t limit = std::min(kTopMax, report.limit);
    for (std::size_t i = 0; i < std::min(limit, rows.size()); i++) {
        const OwnedSums& sums = rows[i].second;
        table.add({owner_text(sums.owner), number(sums.sockets),
                   number(sums.states[TCP_ESTABLISHED]), number(sums.states[TCP_TIME_WAIT]),
                   number(sums.states[TCP_CLOSE_WAIT]), number(sums.retransmits)});
    }
    if (table.empty())
        return {};
    return writer.title("OWNERS") + table.text(2, width) + Writer::left_out(rows.size(), limit);
}

std::string port_name(const PortKey& key) {
    return fmt::format("{} {}{}", ip_protocol(key.protocol), key.port, key.here ? "" : " (remote)");
}

std::string top_ports_text(const InventoryReport& report, const Writer& writer) {
    auto rows = ranked_ports(report.inventory);
    std::erase_if(rows, [](const auto& row) { return row.first.protocol != IPPROTO_TCP; });
    return writer.sums(
        "TOP SERVICE PORTS",
        {{"PORT"}, {"SOCKETS", true}, {"ESTAB", true}, {"TIME_WAIT", true}, {"CLOSE_WAIT", true}},
        rows,
        [](const auto& row) -> Cells {
            const OwnedSums& sums = row.second;
            return {port_name(row.first), number(sums.sockets),
                    percent(sums.states[TCP_ESTABLISHED], sums.sockets),
                    percent(sums.states[TCP_TIME_WAIT], sums.sockets),
                    percent(sums.states[TCP_CLOSE_WAIT], sums.sockets)};
        },
        std::min(kTopMax, report.limit));
}

std::string issues_text(const InventoryReport& report, const Writer& writer, const Style& style) {
    std::string out = writer.title("ISSUES");
    for (const PoolIssue& issue : report.issues)
        out += wrap("  - ", safe_once(issue.text), 4, style.width);
    return report.issues.empty() ? out + "  none\n" : out;
}

std::string connections_text(const InventoryReport& report, const Writer& writer,
                             const Style& style) {
    return states_text(report, writer, style.width) + owners_text(report, writer, style.width) +
           top_ports_text(report, writer) + issues_text(report, writer, style) +
           writer.sockets("WORST CONNECTIONS",
                          {{"LOCAL"},
                           {"REMOTE"},
                           {"STATE"},
                           {"AGE", true},
                           {"RETR", true},
                           {"RECVQ", true},
                           {"SENDQ", true},
                           {"OWNER"}},
                          [](const socket_info& s) -> Cells {
                              return {endpoint(s.flow, true), endpoint(s.flow, false),
                                      tcp_state(s.state),     time_us(age_ns(s) / 1000),
                                      number(s.retransmits),  size(s.recv_queue),
                                      size(s.send_queue),     owner_text(s.owner)};
                          });
}

std::string ports_text(const InventoryReport& report, const Writer& writer) {
    auto rows = ranked_ports(report.inventory);
    std::erase_if(rows, [](const auto& row) { return !row.first.here; });
    return writer.sums(
        "PORTS OF THIS HOST",
        {{"PORT"},
         {"SOCKETS", true},
         {"ESTAB", true},
         {"TIME_WAIT", true},
         {"CLOSE_WAIT", true},
         {"LISTENER"}},
        rows,
        [](const auto& row) -> Cells {
            const OwnedSums& sums = row.second;
            return {port_name(row.first),
                    number(sums.sockets),
                    number(sums.states[TCP_ESTABLISHED]),
                    number(sums.states[TCP_TIME_WAIT]),
                    number(sums.states[TCP_CLOSE_WAIT]),
                    owner_text(sums.owner, sums.shared)};
        },
        report.limit);
}

std::string peers_text(const InventoryReport& report, const Writer& writer) {
    return writer.sums(
        "PEERS",
        {{"ADDRESS"},
         {"SOCKETS", true},
         {"ESTAB", true},
         {"TIME_WAIT", true},
         {"FAILING", true},
         {"RETR", true},
         {"MIN SRTT", true},
         {"MEAN", true}},
        ranked_peers(report.inventory),
        [](const auto& row) -> Cells {
            const Sums& sums = row.second;
            return {peer_text(row.first),
                    number(sums.sockets),
                    number(sums.states[TCP_ESTABLISHED]),
                    number(sums.states[TCP_TIME_WAIT]),
                    number(failing(sums)),
                    number(sums.retransmits),
                    time_us(sums.rtt_min_us),
                    time_us(sums.mean_rtt_us())};
        },
        report.limit);
}

/// "1G", "100M half".
std::string speed_text(const LinkInfo& link) {
    if (!link.speed_mbit)
        return "-";
    const std::string speed = link.speed_mbit % 1000 ? fmt::format("{}M", link.speed_mbit)
                                                     : fmt::format("{}G", link.speed_mbit / 1000);
    return speed + (link.duplex == 0 ? " half" : "");
}

/// "17 rx_crc, 3", the worst kind and what the others are together.
std::string errors_text(const LinkInfo& link) {
    const auto kinds = link_errors(link);
    const std::uint64_t all = link.stats.rx_errors + link.stats.tx_errors;
    if (kinds.empty())
        return number(all);
    const auto& [count, name] = kinds.front();
    return all > count ? fmt::format("{} of {} {}", count, all, name)
                       : fmt::format("{} {}", count, name);
}

Cells link_cells(const LinkInfo& link) {
    return {safe_text(link.name),
            link.loopback       ? "loopback"
            : link.type.empty() ? "-"
                                : safe_text(link.type),
            operstate(link),
            speed_text(link),
            number(link.mtu),
            size(link.stats.rx_packets),
            size(link.stats.tx_packets),
            errors_text(link),
            size(link.stats.rx_dropped + link.stats.tx_dropped),
            number(link.carrier_changes)};
}

std::string links_text(const InventoryReport& report, const Writer& writer) {
    const auto links = ranked_links(report);
    return writer.title("INTERFACES") + writer.table(
                                            {{"DEVICE"},
                                             {"TYPE"},
                                             {"STATE"},
                                             {"SPEED", true},
                                             {"MTU", true},
                                             {"RX PKTS", true},
                                             {"TX PKTS", true},
                                             {"ERRORS", true},
                                             {"DROP", true},
                                             {"CARRIER", true}},
                                            links, links.size(), link_cells,
                                            [](const LinkInfo& link) { return link.netns; },
                                            report.limit);
}

std::string heading(const InventoryReport& report, const Style& style) {
    const Inventory& inventory = report.inventory;
    std::string text =
        report.topic == Topic::kInterfaces
            ? amount(report.links.size(), "device")
            : fmt::format("{}: {}, {}, {} udp", amount(inventory.sockets(), "socket"),
                          amount(inventory.tcp_connections(), "tcp connection"),
                          amount(inventory.in_state(TCP_LISTEN), "listener"),
                          inventory.udp.sockets);
    text += fmt::format(" in {}", amount(report.netns.size(), "network namespace"));
    if (report.filtered)
        text += "; only what the filters match";
    std::string out = wrap("", text + '.', 0, style.width);
    for (const std::string& note : report.notes)
        out += wrap("! ", safe_once(note), 2, style.width);
    return out;
}

std::string topic_text(const InventoryReport& report, const Writer& writer, const Style& style) {
    switch (report.topic) {
    case Topic::kListeners:
        return listeners_text(writer);
    case Topic::kConnections:
        return connections_text(report, writer, style);
    case Topic::kPorts:
        return ports_text(report, writer);
    case Topic::kPeers:
        return peers_text(report, writer);
    case Topic::kQueues:
        return queues_text(writer);
    case Topic::kInterfaces:
        return links_text(report, writer);
    }
    return {};
}

/// What a mark in the table means, and what is in no row of its own.
std::string footnotes(const InventoryReport& report) {
    const Inventory& inventory = report.inventory;
    std::string out;
    const bool marks = report.topic == Topic::kListeners || report.topic == Topic::kPorts;
    if (marks && std::ranges::any_of(ranked_ports(inventory),
                                     [](const auto& row) { return row.second.shared; }))
        out += "  +: other processes hold it too, or listen on that port\n";
    const std::uint64_t folded = report.topic == Topic::kPeers   ? inventory.peers.other.sockets
                                 : report.topic == Topic::kPorts ? inventory.ports.other.sockets
                                                                 : 0;
    if (folded)
        out += fmt::format("  {} sockets of further keys are in no row\n", folded);
    return out;
}

} // namespace

std::string inventory_text(const InventoryReport& report, const Style& style) {
    const Writer writer(report, style);
    return heading(report, style) + topic_text(report, writer, style) + footnotes(report);
}

} // namespace culprit
