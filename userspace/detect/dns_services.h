// SPDX-License-Identifier: MIT
// How name resolution fares: figures of each process that asks, by server, and of each name server
// of this host, seen from both sides. Not findings.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "abi/dns.h"

namespace culprit {

struct Facts;

/// Questions of one type, or of all.
struct DnsFigures {
    std::uint16_t type = 0; // 0: all
    dns_counts counts{};
    std::uint64_t by_tcp = 0; // questions

    /// Of the answers; 0 when there was none.
    double quantile_ns(double share) const;
    double mean_ns() const;
    std::uint64_t other_codes() const; // answers with a code that has no count of its own
    /// Questions without a useful end.
    std::uint64_t trouble() const;
};

/// One process and one server that it asks.
struct DnsClient {
    std::uint32_t netns = 0;
    abi_owner owner{};
    std::string server; // "192.0.2.53:53"
    DnsFigures sum;
    std::vector<DnsFigures> types; // most questions first
};

/// One process of this host that answers questions.
struct DnsServer {
    std::uint32_t netns = 0;
    abi_owner owner{};
    std::string address;              // "192.0.2.53:53", "*:53": any; the one that is asked most
    DnsFigures sum;                   // without latency, which its clients have
    std::vector<DnsClient> upstreams; // that it asks itself

    /// Share of the questions it had not to ask others for, repeats of its own not counted; none
    /// when it asks nobody or was asked nothing.
    std::optional<double> cache_hit_ratio() const;
};

struct DnsServices {
    std::vector<DnsClient> clients; // most trouble first, then most questions
    std::vector<DnsServer> servers;
    std::size_t clients_left_out = 0, servers_left_out = 0;

    static constexpr std::size_t kClientsMax = 256, kServersMax = 64;
};

DnsServices dns_services(const Facts& facts);

} // namespace culprit
