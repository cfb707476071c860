// SPDX-License-Identifier: MIT
// What the commands that advice names may cost. One table for all detectors: whoever changes a host
// at night reads it beside the command.
#include <algorithm>

#include "detect/risks.h"

namespace culprit {

namespace {

struct Risk {
    std::string_view in; // part of the command
    const char* text;
};

// The first that fits counts, so the narrow ones come first.
constexpr Risk kRisks[] = {
    {"nf_conntrack_max", "each entry takes about 320 bytes of kernel memory"},
    {"tcp_mtu_probing", "new connections may begin with smaller segments; gone after a reboot"},
    {"gc_thresh", "more kernel memory when the table fills; gone after a reboot"},
    {"somaxconn", "only sockets that listen anew use it, so the service has to restart"},
    {"tcp_syncookies", "under flood, connections lose window scaling and SACK where timestamps are "
                       "off"},
    {"ip_local_port_range", "services that listen on a port of the new range may not start: see "
                            "ip_local_reserved_ports"},
    {"tcp_tw_reuse", "needs timestamps at both ends; a late segment of the old connection may "
                     "reset the new one"},
    {"tcp_max_tw_buckets", "more kernel memory, and ports stay taken for a minute"},
    {"tcp_fin_timeout", "peers that are slow to close get a reset"},
    {"rmem_max", "any process may take that much memory for each socket"},
    {"udp_mem", "UDP may take more of the host's memory; processes that never read fill it again"},
    {"netdev_max_backlog", "packets wait longer instead of being dropped; a CPU that is too slow "
                           "stays too slow"},
    {"rp_filter", "packets with a forged source of another link come in"},
    {"forward", "the host passes on packets between all its links: check the firewall first"},
    {"sysctl -w", "takes effect at once for the whole namespace; gone after a reboot"},
    {"xdp off", "all that the program does stops: filtering and load balancing too"},
    {" up", "its traffic starts to flow again: was it taken down on purpose?"},
    {"txqueuelen", "longer queues make packets wait longer"},
    {" mtu ", "packets of connections there may be lost for a moment; all on that link must agree"},
    {"link add", "a new device: nothing else uses it until it has an address"},
    {"rps_cpus", "other CPUs get the work; packets may be out of order for a moment"},
    {"insert rule", "lets through all that MATCH names: keep it narrow"},
    {"add rule", "lets through all that MATCH names: keep it narrow"},
    {"kill -CONT", "none, unless it was stopped on purpose (a debugger, SIGSTOP by an operator)"},
    {"prlimit", "none for the process; if it leaks, the new limit is reached later"},
    {"tcpdump", "copies packets, which may hold secrets, and costs CPU on a busy device"},
    {"nft monitor trace", "costs CPU while traced packets are many"},
};

} // namespace

bool changes_host(std::string_view command) {
    constexpr std::string_view kChanges[] = {
        "sysctl -w",    "ip link set",      "ip link add",  "nft add",       "nft insert",
        "nft delete",   "tc qdisc add",     "tc qdisc del", "tc filter del", "tc qdisc replace",
        "kill ",        "prlimit ",         "> /sys/",      "tee /sys/",     "ip route add",
        "ip route del", "ip neigh del",     "xdp off",      "ethtool -G",    "ethtool -K",
        "ethtool -s ",  "systemctl restart"};
    return std::ranges::any_of(kChanges, [&](std::string_view change) {
        return command.find(change) != std::string_view::npos;
    });
}

std::string_view usual_risk(std::string_view command) {
    const auto risk = std::ranges::find_if(
        kRisks, [&](const Risk& one) { return command.find(one.in) != std::string_view::npos; });
    const bool costs = command.find("tcpdump") != std::string_view::npos ||
                       command.find("nft monitor") != std::string_view::npos;
    if (!changes_host(command) && !costs)
        return {};
    return risk == std::end(kRisks) ? "it changes the running host: know how to take it back"
                                    : risk->text;
}

} // namespace culprit
