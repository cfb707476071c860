// SPDX-License-Identifier: MIT
// What a network namespace has at the moment, and the limits it is measured against.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace culprit {

/// /proc/net/sockstat "TCP" (net/ipv4/proc.c: sockstat_seq_show()), /proc/net/stat/nf_conntrack and
/// /proc/sys. The kernel gives orphans, memory (in pages) and files of the whole host, whichever
/// namespace asks.
inline constexpr auto kGaugeNames = std::to_array<std::string_view>({"TCP.inuse",
                                                                     "TCP.orphan",
                                                                     "TCP.tw",
                                                                     "TCP.alloc",
                                                                     "TCP.mem",
                                                                     "tcp_max_tw_buckets",
                                                                     "tcp_max_orphans",
                                                                     "tcp_tw_reuse",
                                                                     "tcp_fin_timeout",
                                                                     "tcp_max_syn_backlog",
                                                                     "somaxconn",
                                                                     "ip_local_port_range.low",
                                                                     "ip_local_port_range.high",
                                                                     "nf_conntrack_count",
                                                                     "nf_conntrack_max",
                                                                     "UDP.mem",
                                                                     "rmem_max",
                                                                     "udp_mem.high",
                                                                     "tcp_rmem.max",
                                                                     "tcp_wmem.max",
                                                                     "tcp_mem.high",
                                                                     "file-nr",
                                                                     "file-max"});

/// Values in the order of kGaugeNames; kGaugeUnknown where there is none.
inline constexpr std::uint64_t kGaugeUnknown = ~0ULL;
class Gauges {
public:
    Gauges() { x_values.fill(kGaugeUnknown); }
    std::optional<std::uint64_t> at(std::size_t index) const {
        return x_values[index] == kGaugeUnknown ? std::nullopt : std::optional(x_values[index]);
    }
    void set(std::size_t index, std::uint64_t value) { x_values[index] = value; }
    /// Takes over what the other one knows.
    void update(const Gauges& newer);
    bool operator==(const Gauges&) const = default;

private:
    std::array<std::uint64_t, kGaugeNames.size()> x_values{};
};

/// Index of a name known at compile time: gauge("TCP.tw").
consteval std::size_t gauge(std::string_view name) {
    for (std::size_t i = 0; i < kGaugeNames.size(); i++)
        if (kGaugeNames[i] == name)
            return i;
    throw "no such gauge";
}

/// Index of a name from outside; nullopt when unknown.
std::optional<std::size_t> find_gauge(std::string_view name);

/// Adds what /proc/net/sockstat says.
void parse_sockstat(std::string_view text, Gauges& into);

/// Adds the size of the connection table: the first number below the names in
/// /proc/net/stat/nf_conntrack, the same for each CPU.
void parse_conntrack_count(std::string_view text, Gauges& into);

/// The limits of the network namespace this thread is in; what cannot be read stays unknown.
void read_limits(Gauges& into);

} // namespace culprit
