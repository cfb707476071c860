// SPDX-License-Identifier: MIT
// The detectors, and the order of what they found. Causes leave out of their symptoms by joining
// flows (flows.h, listeners.h): what local-drop explains, packet-loss and connect-timeout do not
// report; what a listener in trouble explains, none of these three reports. Connections that stand
// still because their packets are too big (mtu.h) are no packet-loss, destinations that ICMP says
// are out of reach (unreachable.h) no connect-timeout. What has no flow in common is joined by
// place (kExplained).
#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "detect/finding.h"
#include "detect/links.h"
#include "detect/resolution.h"
#include "detect/risks.h"

namespace culprit {

namespace {

struct Entry {
    std::string_view id;
    Detector detect;
};

constexpr std::array kDetectors = {
    Entry{"link-down", detect_link_down},
    Entry{"link-flap", detect_link_flap},
    Entry{"nic-errors", detect_nic_errors},
    Entry{"mtu-mismatch", detect_mtu_mismatch},
    Entry{"vlan-mismatch", detect_vlan_mismatch},
    Entry{"neigh-failure", detect_neigh_failure},
    Entry{"duplicate-ip", detect_duplicate_ip},
    Entry{"neigh-table-full", detect_neigh_table_full},
    Entry{"mtu-blackhole", detect_mtu_blackhole},
    Entry{"ttl-exceeded", detect_ttl_exceeded},
    Entry{"host-unreachable", detect_host_unreachable},
    Entry{"reassembly-failure", detect_reassembly_failure},
    Entry{"qdisc-drop", detect_qdisc_drop},
    Entry{"qdisc-latency", detect_qdisc_latency},
    Entry{"no-route", detect_no_route},
    Entry{"blackhole-route", detect_blackhole_route},
    Entry{"forwarding-disabled", detect_forwarding_disabled},
    Entry{"rp-filter-drop", detect_rp_filter_drop},
    Entry{"martian-source", detect_martian_source},
    Entry{"local-drop", detect_local_drop},
    Entry{"firewall-drop", detect_firewall_drop},
    Entry{"firewall-reject", detect_firewall_reject},
    Entry{"conntrack-full", detect_conntrack_full},
    Entry{"softnet-drop", detect_softnet_drop},
    Entry{"tx-ring-full", detect_tx_ring_full},
    Entry{"nic-tx-timeout", detect_nic_tx_timeout},
    Entry{"xdp-drop", detect_xdp_drop},
    Entry{"xdp-exception", detect_xdp_exception},
    Entry{"tc-drop", detect_tc_drop},
    Entry{"cgroup-drop", detect_cgroup_drop},
    Entry{"packet-loss", detect_packet_loss},
    Entry{"conn-refused", detect_conn_refused},
    Entry{"connect-timeout", detect_connect_timeout},
    Entry{"syn-loss", detect_syn_loss},
    Entry{"synack-loss", detect_synack_loss},
    Entry{"port-scan", detect_port_scan},
    Entry{"md5-mismatch", detect_md5_mismatch},
    Entry{"too-many-connections", detect_too_many_connections},
    Entry{"cpu-throttled", detect_cpu_throttled},
    Entry{"app-hang", detect_app_hang},
    Entry{"accept-delay", detect_accept_delay},
    Entry{"rst-storm", detect_rst_storm},
    Entry{"port-exhaustion", detect_port_exhaustion},
    Entry{"tw-overflow", detect_tw_overflow},
    Entry{"time-wait-growth", detect_time_wait_growth},
    Entry{"close-wait-leak", detect_close_wait_leak},
    Entry{"fin-wait2-growth", detect_fin_wait2_growth},
    Entry{"orphans", detect_orphans},
    Entry{"listen-overflow", detect_listen_overflow},
    Entry{"syn-flood", detect_syn_flood},
    Entry{"fd-exhaustion", detect_fd_exhaustion},
    Entry{"udp-rcvbuf-overflow", detect_udp_rcvbuf_overflow},
    Entry{"udp-port-unreachable", detect_udp_port_unreachable},
    Entry{"rcvbuf-prune", detect_rcvbuf_prune},
    Entry{"csum-errors", detect_csum_errors},
    Entry{"dns-unreachable", detect_dns_unreachable},
    Entry{"dns-timeout", detect_dns_timeout},
    Entry{"dns-servfail", detect_dns_servfail},
    Entry{"dns-refused", detect_dns_refused},
    Entry{"dns-slow", detect_dns_slow},
    Entry{"dns-truncated", detect_dns_truncated},
    Entry{"dns-search-amplification", detect_dns_search_amplification},
    Entry{"dns-nxdomain", detect_dns_nxdomain},
    Entry{"peer-dead", detect_peer_dead},
    Entry{"zero-window", detect_zero_window},
    Entry{"receiver-limited", detect_receiver_limited},
    Entry{"bdp-limited", detect_bdp_limited},
    Entry{"sndbuf-limited", detect_sndbuf_limited},
    Entry{"nagle-delack", detect_nagle_delack},
    Entry{"reordering", detect_reordering},
    Entry{"duplicate-packets", detect_duplicate_packets},
    Entry{"network-latency", detect_network_latency},
    Entry{"app-latency", detect_app_latency},
    Entry{"handshake-failure", detect_handshake_failure},
};

/// What a symptom and its cause have in common.
enum class Same {
    kNetns,
    kDevice,  // and the namespace; the cause's, or the one it reaches over to
    kPath,    // the device; where the symptom tells of none, a process or the only device there is
    kAddress, // the cause's, as the other end of the symptom, or as its own end anywhere
    kEnd,     // the same with the port
    kCulprit, // the process to blame
    kGroup,   // the process to blame is, or suffers with, the cause's
    kParties, // a process that both name, to blame or hurt
    kFiller,  // the process that fills a queue at the cause's address suffers from it, too
};

/// A finding that another one explains.
struct Explained {
    std::string_view symptom, cause;
    Same same = Same::kNetns;
};
constexpr Explained kExplained[] = {
    {"time-wait-growth", "tw-overflow"},
    {"tx-ring-full", "nic-tx-timeout", Same::kDevice},
    {"local-drop", "link-flap", Same::kDevice},
    {"local-drop", "link-down", Same::kDevice},
    {"qdisc-drop", "link-flap", Same::kDevice},
    {"qdisc-drop", "link-down", Same::kDevice},
    {"neigh-failure", "link-flap", Same::kPath},
    {"neigh-failure", "link-down", Same::kDevice},
    {"no-route", "link-flap", Same::kPath},
    {"packet-loss", "link-flap", Same::kPath},
    {"connect-timeout", "link-flap", Same::kPath},
    {"host-unreachable", "link-flap", Same::kPath},
    {"host-unreachable", "link-down", Same::kPath},
    {"host-unreachable", "no-route", Same::kAddress},
    {"packet-loss", "nic-errors", Same::kPath},
    {"connect-timeout", "neigh-failure", Same::kAddress},
    {"host-unreachable", "neigh-failure", Same::kAddress},
    {"packet-loss", "neigh-failure", Same::kAddress},
    {"neigh-failure", "duplicate-ip", Same::kAddress},
    {"conn-refused", "duplicate-ip", Same::kAddress},
    {"connect-timeout", "duplicate-ip", Same::kAddress},
    {"rst-storm", "duplicate-ip", Same::kAddress},
    {"packet-loss", "duplicate-ip", Same::kAddress},
    {"dns-timeout", "link-flap", Same::kPath},
    {"dns-timeout", "link-down", Same::kPath},
    {"dns-timeout", "neigh-failure", Same::kAddress},
    {"dns-timeout", "duplicate-ip", Same::kAddress},
    {"dns-unreachable", "no-route", Same::kAddress},
    {"dns-unreachable", "neigh-failure", Same::kAddress},
    {"dns-nxdomain", "dns-search-amplification", Same::kCulprit},
    {"udp-port-unreachable", "dns-unreachable", Same::kEnd},
    {"peer-dead", "link-flap", Same::kPath},
    {"peer-dead", "link-down", Same::kPath},
    {"peer-dead", "neigh-failure", Same::kAddress},
    {"peer-dead", "duplicate-ip", Same::kAddress},
    {"connect-timeout", "peer-dead", Same::kAddress},
    {"network-latency", "qdisc-latency", Same::kParties},
    {"network-latency", "link-flap", Same::kPath},
    {"packet-loss", "network-latency", Same::kFiller},
    {"receiver-limited", "rcvbuf-prune", Same::kCulprit},
    {"zero-window", "app-hang", Same::kCulprit},
    {"receiver-limited", "cpu-throttled", Same::kGroup},
    {"app-latency", "app-hang", Same::kCulprit},
    {"app-latency", "cpu-throttled", Same::kGroup},
    {"app-latency", "accept-delay", Same::kCulprit},
    {"app-latency", "listen-overflow", Same::kCulprit},
    {"app-latency", "zero-window", Same::kCulprit},
    {"app-latency", "nagle-delack", Same::kParties},
    {"syn-loss", "link-flap", Same::kPath},
    {"syn-loss", "nic-errors", Same::kPath},
    {"syn-loss", "neigh-failure", Same::kAddress},
    {"syn-loss", "duplicate-ip", Same::kAddress},
    {"synack-loss", "link-flap", Same::kPath},
    {"synack-loss", "nic-errors", Same::kPath},
    {"too-many-connections", "fd-exhaustion", Same::kCulprit},
    // who has to act is who set the quota
    {"listen-overflow", "cpu-throttled", Same::kGroup},
    {"accept-delay", "cpu-throttled", Same::kGroup},
    {"app-hang", "cpu-throttled", Same::kGroup},
};

/// "10.0.0.1:80" and "[::1]:80" without the port.
std::string_view host_of(std::string_view end) {
    if (end.starts_with('['))
        return end.substr(1, end.find(']') - 1);
    const std::size_t colon = end.find(':');
    return end.find(':', colon + 1) == std::string_view::npos ? end.substr(0, colon) : end;
}

bool share_process(const Finding& a, const Finding& b) {
    return std::ranges::any_of(a.affected, [&](const Party& one) {
        return std::ranges::any_of(b.affected, [&](const Party& other) {
            return one.owner.tgid && same_process(one.owner, other.owner);
        });
    });
}

bool is_named(const Finding& finding, const abi_owner& owner) {
    const auto is = [&](const Party& party) { return same_process(party.owner, owner); };
    return owner.tgid &&
           ((finding.culprit && is(*finding.culprit)) || std::ranges::any_of(finding.affected, is));
}

bool share_party(const Finding& a, const Finding& b) {
    return (a.culprit && is_named(b, a.culprit->owner)) ||
           std::ranges::any_of(a.affected,
                               [&](const Party& party) { return is_named(b, party.owner); });
}

bool has_one_device(std::uint32_t netns, const Links& links) {
    return std::ranges::count_if(links.all(), [&](const auto& one) {
               const LinkFacts& link = one.second;
               return link.sum.netns == netns && !link.is("loopback") &&
                      link.state() != LinkState::kGone;
           }) == 1;
}

bool at_device(const Finding& cause, const Where& where) {
    return (cause.where.netns == where.netns && cause.where.device == where.device) ||
           (cause.reaches && cause.reaches == where.netns && cause.reaches_device == where.device);
}

bool on_path(const Finding& cause, const Finding& symptom, const Links& links) {
    const std::uint32_t netns = symptom.where.netns;
    if (!symptom.where.device.empty())
        return at_device(cause, symptom.where);
    return (cause.where.netns == netns || (cause.reaches && cause.reaches == netns)) &&
           (share_process(cause, symptom) || has_one_device(netns, links));
}

bool at_address(const Finding& cause, const Where& where) {
    const std::string_view address = host_of(cause.where.remote);
    const bool here = cause.where.netns == where.netns;
    return !address.empty() &&
           ((here && host_of(where.remote) == address) || host_of(where.local) == address);
}

bool at_end(const Finding& cause, const Where& where) {
    const std::string& end = cause.where.remote;
    return !end.empty() &&
           ((cause.where.netns == where.netns && where.remote == end) || where.local == end);
}

bool have_in_common(Same same, const Finding& cause, const Finding& symptom, const Links& links) {
    switch (same) {
    case Same::kNetns:
        return cause.where.netns == symptom.where.netns;
    case Same::kDevice:
        return at_device(cause, symptom.where);
    case Same::kPath:
        return on_path(cause, symptom, links);
    case Same::kAddress:
        return at_address(cause, symptom.where);
    case Same::kEnd:
        return at_end(cause, symptom.where);
    case Same::kCulprit:
        return cause.culprit && symptom.culprit && cause.culprit->owner.tgid &&
               same_process(cause.culprit->owner, symptom.culprit->owner);
    case Same::kGroup:
        return symptom.culprit && is_named(cause, symptom.culprit->owner);
    case Same::kParties:
        return share_party(cause, symptom);
    case Same::kFiller:
        return cause.culprit && is_named(symptom, cause.culprit->owner) &&
               at_address(cause, symptom.where);
    }
    return false;
}

bool explains(const Finding& cause, const Finding& symptom, const Links& links) {
    // a smaller trouble excuses nothing that hurts more
    if (cause.severity < symptom.severity)
        return false;
    return std::ranges::any_of(kExplained, [&](const Explained& pair) {
        return pair.symptom == symptom.id && pair.cause == cause.id &&
               have_in_common(pair.same, cause, symptom, links);
    });
}

/// Findings that may tell of the drops of another one instead of it.
struct Stead {
    std::string_view owner, teller;
};
constexpr Stead kInstead[] = {
    {"firewall-drop", "firewall-reject"}, {"firewall-drop", "conntrack-full"},
    {"xdp-drop", "xdp-exception"},        {"qdisc-drop", "qdisc-latency"},
    {"qdisc-drop", "link-flap"},          {"qdisc-drop", "link-down"},
    {"local-drop", "link-flap"},          {"local-drop", "link-down"},
    {"mtu-mismatch", "local-drop"},
};

bool tells_of(const Finding& finding, std::string_view drops_of) {
    return finding.id == drops_of || std::ranges::any_of(kInstead, [&](const Stead& one) {
               return one.owner == drops_of && one.teller == finding.id;
           });
}

bool excuses(const Finding& cause, const Finding& symptom) {
    return cause.severity >= Severity::kWarning &&
           std::ranges::any_of(symptom.excuses, [&](const Excuse& excuse) {
               return excuse.netns == cause.where.netns && tells_of(cause, excuse.id);
           });
}

/// What a process or a link is to blame for hurts as much, and the same ones, as what comes of it.
void take_over(Finding& cause, const Finding& symptom, Same same) {
    cause.severity = std::max(cause.severity, symptom.severity);
    for (const Party& party : symptom.affected)
        add_party(cause.affected, party);
    if (same == Same::kPath && symptom.culprit) // who wants to get somewhere over that link
        add_party(cause.affected, *symptom.culprit);
    if (!symptom.evidence.empty())
        cause.evidence.push_back(symptom.evidence.front());
}

bool is_blame(Same same) {
    return same == Same::kCulprit || same == Same::kGroup || same == Same::kPath;
}

void join_blame(std::vector<Finding>& all, const Links& links) {
    for (Finding& cause : all)
        for (const Finding& symptom : all)
            for (const Explained& pair : kExplained)
                if (is_blame(pair.same) && pair.cause == cause.id && pair.symptom == symptom.id &&
                    cause.severity >= Severity::kWarning &&
                    have_in_common(pair.same, cause, symptom, links))
                    take_over(cause, symptom, pair.same);
}

void leave_out_explained(std::vector<Finding>& all, const Links& links) {
    join_blame(all, links);
    const std::vector<Finding> causes = all;
    std::erase_if(all, [&](const Finding& symptom) {
        return std::ranges::any_of(causes, [&](const Finding& cause) {
            return explains(cause, symptom, links) || excuses(cause, symptom);
        });
    });
}

constexpr auto kIds = [] {
    std::array<std::string_view, kDetectors.size()> ids{};
    std::ranges::transform(kDetectors, ids.begin(), &Entry::id);
    return ids;
}();

} // namespace

std::span<const std::string_view> finding_ids() {
    return kIds;
}

std::vector<Finding> detect_all(const Facts& facts) {
    std::vector<Finding> all;
    for (const Entry& entry : kDetectors)
        for (Finding& finding : entry.detect(facts)) {
            for (Advice& advice : finding.advice)
                if (advice.risk.empty())
                    advice.risk = usual_risk(advice.command);
            all.push_back(std::move(finding));
        }
    leave_out_explained(all, facts.links());
    std::ranges::stable_sort(all, [](const Finding& a, const Finding& b) {
        return a.severity != b.severity ? a.severity > b.severity : a.confidence > b.confidence;
    });
    return all;
}

} // namespace culprit
