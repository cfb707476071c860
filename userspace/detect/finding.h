// SPDX-License-Identifier: MIT
// What a detector says: one fault, who is to blame, how it is known, what to do and how to check
// the repair.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "abi/event.h"
#include "detect/dns_services.h"
#include "detect/tcp_services.h"
#include "model/window.h"
#include "signals/capture.h"

namespace culprit {

enum class Severity { kInfo, kWarning, kCritical };
enum class Layer { kPhysical, kDataLink, kNetwork, kTransport, kApplication };
inline constexpr const char* kLayerNames[] = {"physical", "data link", "network", "transport",
                                              "application"};
inline constexpr const char* kSeverityNames[] = {"info", "warning", "critical"};

struct Evidence {
    std::string text;
    std::optional<double> value;
    std::string unit;
    std::string source; // hook, counter or file the value comes from
};

struct Advice {
    std::string text;
    std::string command; // may be empty
    std::string risk;    // what the command may cost; empty when it only looks (risks.cpp)
};

/// A process: to blame, or hurt. tgid is 0 when unknown, and provenance says so.
struct Party {
    abi_owner owner{};
    std::uint32_t netns = 0;
};

struct Where {
    std::string local, remote, device, kernel, reason; // empty when not applicable
    std::uint32_t netns = 0;
};

/// How wide one has to look around a finding to see traffic that its fault would meet.
enum class TrafficScope { kNone, kEnd, kDevice, kNetns, kHost };
inline constexpr const char* kTrafficScopeNames[] = {"none", "end", "device", "netns", "host"};

/// Without traffic a fault cannot show, and that it does not show proves nothing.
struct Traffic {
    TrafficScope scope = TrafficScope::kNone;
    double tries_per_s = 0;       // attempts, drops, segments sent again, whatever became of them
    double connections_per_s = 0; // that came about or ended; of an end only
    double packets_per_s = 0;     // that went through
    double load() const { return tries_per_s + connections_per_s + packets_per_s; }
    bool works() const { return connections_per_s > 0 || packets_per_s > 0; }
};

/// Another finding that tells of the same trouble.
struct Excuse {
    std::string id;
    std::uint32_t netns = 0;
};

struct Finding {
    std::string id;
    Layer layer = Layer::kTransport;
    Severity severity = Severity::kWarning;
    double confidence = 0; // 0 to 1
    std::string title;
    std::optional<Party> culprit; // nobody when no process is to blame
    std::vector<Party> affected;  // the processes that suffer, worst first, at most 5
    Where where;
    std::uint32_t reaches = 0;  // another namespace that has the same trouble; 0 none
    std::string reaches_device; // its device
    std::uint64_t first_ns = 0; // boot time
    std::uint64_t count = 0;
    double rate_per_s = 0;
    std::vector<Evidence> evidence;
    std::vector<Advice> advice;
    std::string verify; // arguments of `culprit` that re-check this finding
    Traffic traffic;    // at its place, during the run
    /// Left out when one of these is reported at warning or worse: no fault is excused by silence.
    std::vector<Excuse> excuses;
};

class DeadPeers;
class Drops;
class Links;
class TcpFlows;
struct FirewallDrops;

/// All that a detector may look at.
struct Facts {
    Window total;                    // of the whole run
    std::span<const Window> windows; // its course, oldest first

    /// Drops of the run, worked out when first asked for.
    const Drops& drops() const;
    mutable std::shared_ptr<const Drops> known_drops;
    /// Devices of the run, the same way.
    const Links& links() const;
    mutable std::shared_ptr<const Links> known_links;
    /// What firewalls dropped in the run (netfilter.h), the same way.
    const std::vector<FirewallDrops>& firewall_drops() const;
    mutable std::shared_ptr<const std::vector<FirewallDrops>> known_firewall_drops;
    /// TCP connections of the run, and peers that fell silent, the same way.
    const TcpFlows& flows() const;
    mutable std::shared_ptr<const TcpFlows> known_flows;
    const DeadPeers& dead_peers() const;
    mutable std::shared_ptr<const DeadPeers> known_dead_peers;
};

/// A kernel counter against what the hooks saw.
struct Reconciled {
    std::string counter;
    std::uint32_t netns = 0;
    std::uint64_t kernel = 0;
    std::uint64_t explained = 0;
    std::string note; // why a remainder is to be expected; empty when it is not
    std::int64_t unexplained() const {
        return static_cast<std::int64_t>(kernel) - static_cast<std::int64_t>(explained);
    }
};

enum class LayerStatus { kClear, kSuspect, kUnknown };
inline constexpr const char* kLayerStatusNames[] = {"clear", "suspect", "unknown"};

struct LayerVerdict {
    Layer layer = Layer::kPhysical;
    LayerStatus status = LayerStatus::kUnknown;
    std::vector<std::string> checked, not_checked;
};

enum class Outcome { kHealthy, kFindings, kIncomplete };
inline constexpr const char* kOutcomeNames[] = {"healthy", "findings", "incomplete"};

struct SelfCost {
    double cpu_percent = 0; // of one core, over the run
    std::uint64_t rss_bytes = 0;
    std::vector<ProgramCost> programs;
};

/// How far the trouble reaches.
struct Impact {
    std::vector<std::string> hurt;          // "nginx (pid 42)": processes that grave findings name
    std::size_t processes = 0;              // seen, these among them
    std::set<std::uint32_t> netns;          // network namespaces of grave findings
    std::uint64_t attempts = 0, failed = 0; // to connect
    std::uint64_t ended = 0, cut = 0;       // connections; of them with data, by reset or timeout
    std::uint64_t sent_again = 0;           // connections that had to send something again
};

/// How a finding of an earlier verdict fares.
enum class Repair { kFixed, kImproved, kUnchanged, kWorse, kNotExercised, kNotChecked };
inline constexpr const char* kRepairNames[] = {"fixed", "improved",      "unchanged",
                                               "worse", "not exercised", "not checked"};

/// What is compared of a finding, whichever run it is of.
struct Sighting {
    std::string id, title;
    std::string comm; // the culprit's; empty when nobody is to blame or it is not known
    Severity severity = Severity::kInfo;
    Layer layer = Layer::kTransport;
    std::uint64_t count = 0;
    double rate_per_s = 0;
    Where where;
    std::string netns_name;
    Traffic traffic;
};

struct Verified {
    Sighting before;
    std::optional<std::size_t> after; // in the findings of the verdict
    Repair repair = Repair::kNotExercised;
    std::string why;       // empty where the numbers say it all
    double load_per_s = 0; // now, where it was
};

/// An earlier verdict against this one.
struct Verification {
    std::string from, to;           // of the earlier run, RFC 3339
    std::vector<Verified> findings; // of the earlier run
    std::vector<std::size_t> fresh; // in the findings of the verdict
    bool any_left = false;          // grave ones, of the earlier run or new
    bool any_open = false;          // grave ones of which nothing is known now
};

struct Verdict {
    std::string host, kernel;
    std::uint64_t from_ns = 0, to_ns = 0;
    std::int64_t wall_offset_ns = 0;
    Outcome outcome = Outcome::kIncomplete;
    std::vector<Finding> findings; // by severity, then confidence
    std::vector<LayerVerdict> layers;
    std::vector<TcpService> tcp; // worst first
    DnsServices dns;
    std::vector<Reconciled> reconciliation;
    std::vector<std::string> reconciliation_gaps; // namespaces that could not be read, and why
    std::map<std::uint32_t, Lost> lost;           // by kind
    std::vector<std::string> incomplete;          // why the verdict may miss something
    std::string scope; // "12 connections attempted, 340 closed, 4 processes, 2 namespaces"
    Impact impact;
    std::vector<std::string> thresholds; // "kLossSegsMin = 5 (10)": changed by the user
    std::optional<Verification> verification;
    Names names;
    SelfCost self;
};

using Detector = std::vector<Finding> (*)(const Facts&);

/// All detectors, causes before symptoms folded, sorted.
std::vector<Finding> detect_all(const Facts& facts);

std::vector<Finding> detect_link_down(const Facts& facts);
std::vector<Finding> detect_link_flap(const Facts& facts);
std::vector<Finding> detect_nic_errors(const Facts& facts);
std::vector<Finding> detect_mtu_mismatch(const Facts& facts);
std::vector<Finding> detect_vlan_mismatch(const Facts& facts);
std::vector<Finding> detect_local_drop(const Facts& facts);
std::vector<Finding> detect_packet_loss(const Facts& facts);
std::vector<Finding> detect_conn_refused(const Facts& facts);
std::vector<Finding> detect_connect_timeout(const Facts& facts);
std::vector<Finding> detect_syn_loss(const Facts& facts);
std::vector<Finding> detect_synack_loss(const Facts& facts);
std::vector<Finding> detect_port_scan(const Facts& facts);
std::vector<Finding> detect_md5_mismatch(const Facts& facts);
std::vector<Finding> detect_too_many_connections(const Facts& facts);
std::vector<Finding> detect_accept_delay(const Facts& facts);
std::vector<Finding> detect_app_hang(const Facts& facts);
std::vector<Finding> detect_cpu_throttled(const Facts& facts);
std::vector<Finding> detect_rst_storm(const Facts& facts);
std::vector<Finding> detect_firewall_drop(const Facts& facts);
std::vector<Finding> detect_firewall_reject(const Facts& facts);
std::vector<Finding> detect_conntrack_full(const Facts& facts);
std::vector<Finding> detect_listen_overflow(const Facts& facts);
std::vector<Finding> detect_fd_exhaustion(const Facts& facts);
std::vector<Finding> detect_syn_flood(const Facts& facts);
std::vector<Finding> detect_port_exhaustion(const Facts& facts);
std::vector<Finding> detect_tw_overflow(const Facts& facts);
std::vector<Finding> detect_time_wait_growth(const Facts& facts);
std::vector<Finding> detect_close_wait_leak(const Facts& facts);
std::vector<Finding> detect_fin_wait2_growth(const Facts& facts);
std::vector<Finding> detect_orphans(const Facts& facts);
std::vector<Finding> detect_neigh_failure(const Facts& facts);
std::vector<Finding> detect_duplicate_ip(const Facts& facts);
std::vector<Finding> detect_neigh_table_full(const Facts& facts);
std::vector<Finding> detect_mtu_blackhole(const Facts& facts);
std::vector<Finding> detect_ttl_exceeded(const Facts& facts);
std::vector<Finding> detect_host_unreachable(const Facts& facts);
std::vector<Finding> detect_reassembly_failure(const Facts& facts);
std::vector<Finding> detect_udp_rcvbuf_overflow(const Facts& facts);
std::vector<Finding> detect_udp_port_unreachable(const Facts& facts);
std::vector<Finding> detect_rcvbuf_prune(const Facts& facts);
std::vector<Finding> detect_csum_errors(const Facts& facts);
std::vector<Finding> detect_qdisc_drop(const Facts& facts);
std::vector<Finding> detect_qdisc_latency(const Facts& facts);
std::vector<Finding> detect_no_route(const Facts& facts);
std::vector<Finding> detect_blackhole_route(const Facts& facts);
std::vector<Finding> detect_forwarding_disabled(const Facts& facts);
std::vector<Finding> detect_rp_filter_drop(const Facts& facts);
std::vector<Finding> detect_martian_source(const Facts& facts);
std::vector<Finding> detect_softnet_drop(const Facts& facts);
std::vector<Finding> detect_tx_ring_full(const Facts& facts);
std::vector<Finding> detect_nic_tx_timeout(const Facts& facts);
std::vector<Finding> detect_xdp_drop(const Facts& facts);
std::vector<Finding> detect_xdp_exception(const Facts& facts);
std::vector<Finding> detect_tc_drop(const Facts& facts);
std::vector<Finding> detect_cgroup_drop(const Facts& facts);
std::vector<Finding> detect_zero_window(const Facts& facts);
std::vector<Finding> detect_receiver_limited(const Facts& facts);
std::vector<Finding> detect_bdp_limited(const Facts& facts);
std::vector<Finding> detect_sndbuf_limited(const Facts& facts);
std::vector<Finding> detect_nagle_delack(const Facts& facts);
std::vector<Finding> detect_app_latency(const Facts& facts);
std::vector<Finding> detect_handshake_failure(const Facts& facts);
std::vector<Finding> detect_network_latency(const Facts& facts);
std::vector<Finding> detect_reordering(const Facts& facts);
std::vector<Finding> detect_duplicate_packets(const Facts& facts);
std::vector<Finding> detect_peer_dead(const Facts& facts);

/// Known finding ids, for --only.
std::span<const std::string_view> finding_ids();

std::vector<Reconciled> reconcile(const Facts& facts);

struct VerdictInput {
    Facts facts;
    std::vector<SignalStatus> status;
    bool filtered =
        false;        // the user narrowed the view: counters of whole namespaces do not compare
    std::string only; // one finding id; empty for all
    std::vector<std::string> gaps; // what could not be looked at, beside signals
};
Verdict judge(const VerdictInput& input);

// Shared by detectors.
Evidence no_local_drop(const Window& total);               // "no drop of these packets here"
std::string percent(double ratio);                         // "5.1 %"
bool same_process(const abi_owner& a, const abi_owner& b); // pid and start time
/// "ip netns exec NAME " for a command about a namespace that has a name, quoted for a shell.
std::string in_netns(std::uint32_t netns, const Names& names);
/// "diagnose --only ID --netns N --for 30s"
std::string verify_in_netns(const Finding& finding);
double per_second(const Window& total, double count);
void add_party(std::vector<Party>& into, const Party& party); // once each, at most 5
/// A process that tries many destinations in vain (a scanner does) gets five findings, the largest.
void limit_per_process(std::vector<Finding>& findings);

} // namespace culprit
