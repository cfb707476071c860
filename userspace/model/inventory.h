// SPDX-License-Identifier: MIT
// All sockets of a host at one moment, summed up exactly, with the rows that look worst. Pure.
#pragma once

#include <algorithm>
#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "abi/connection.h"
#include "abi/socket.h"

namespace culprit {

inline constexpr std::size_t kTcpStates = 13; // numbers of include/net/tcp_states.h, from 1

/// What can be added up over sockets.
struct Sums {
    std::uint64_t sockets = 0;
    std::array<std::uint64_t, kTcpStates> states{}; // TCP only
    std::uint64_t retransmits = 0;
    std::uint64_t recv_queue = 0, send_queue = 0; // bytes
    std::uint64_t drops = 0;
    std::uint64_t rtt_count = 0, rtt_sum_us = 0, rtt_min_us = 0; // of sockets with a measured one

    void add(const socket_info& socket);
    std::uint64_t mean_rtt_us() const { return rtt_count ? rtt_sum_us / rtt_count : 0; }
};

/// A process; tgid 0: all sockets whose owner is not known.
struct OwnerKey {
    std::uint64_t start_ns = 0;
    std::uint64_t tgid = 0;
    bool operator==(const OwnerKey&) const = default;
};

struct PortKey {
    std::uint32_t netns = 0;
    std::uint16_t port = 0; // of the service
    std::uint8_t protocol = 0;
    std::uint8_t here = 0; // 1: the service is this host's, 0: the peer's
    bool operator==(const PortKey&) const = default;
};

struct PeerKey {
    std::uint32_t netns = 0;
    std::uint32_t family = 0;
    std::array<std::uint8_t, ABI_ADDR_BYTES> addr{};
    bool operator==(const PeerKey&) const = default;
};

/// Sums and an owner: the process itself, or the one that listens on the port.
struct OwnedSums : Sums {
    abi_owner owner{};
    bool shared = false; // more than one process listens there
};

/// Rows by key, at most kKeysMax; sockets of further keys are summed up in `other`.
template <typename Key, typename Value>
class Tally {
public:
    static constexpr std::size_t kKeysMax = 4096;

    Value& at(const Key& key) {
        if (Value* known = find(key))
            return *known;
        if (x_rows.size() < kKeysMax)
            return x_rows[key];
        return other;
    }
    Value* find(const Key& key) {
        const auto found = x_rows.find(key);
        return found == x_rows.end() ? nullptr : &found->second;
    }
    std::size_t size() const { return x_rows.size(); }

    /// All rows but `other`, the largest of `rank` first.
    template <typename Rank>
    std::vector<std::pair<Key, Value>> ranked(const Rank& rank) const {
        std::vector<std::pair<Key, Value>> rows(x_rows.begin(), x_rows.end());
        std::ranges::stable_sort(rows, std::greater{},
                                 [&](const auto& row) { return rank(row.second); });
        return rows;
    }

    Value other;

private:
    struct Hash {
        std::size_t operator()(const Key& key) const {
            static_assert(std::has_unique_object_representations_v<Key>);
            return std::hash<std::string_view>{}(
                {reinterpret_cast<const char*>(&key), sizeof(key)});
        }
    };
    std::unordered_map<Key, Value, Hash> x_rows;
};

/// How bad a row looks: compared from the first number on.
using Trouble = std::array<std::uint64_t, 4>;

/// The kRowsMax rows with the most trouble; the rest is counted.
class Worst {
public:
    static constexpr std::size_t kRowsMax = 4096;

    void add(const socket_info& socket, const Trouble& trouble);
    std::uint64_t met() const { return x_met; }
    /// The worst first.
    std::vector<socket_info> sorted() const;

private:
    struct Row {
        Trouble trouble;
        socket_info socket;
        bool operator>(const Row& other) const { return trouble > other.trouble; }
    };
    std::vector<Row> x_rows; // a heap: the least trouble in front
    std::uint64_t x_met = 0;
};

struct Inventory {
    Sums tcp; // listening ones included
    Sums udp;
    Worst listeners, connections;
    Worst queues; // sockets with bytes in a queue, and UDP sockets with drops
    Tally<OwnerKey, OwnedSums> owners;
    Tally<PortKey, OwnedSums> ports;
    Tally<PeerKey, Sums> peers;

    /// Listening sockets have to come before the connections of their namespace: they tell which
    /// port is the service.
    void add(const socket_info& socket);

    std::uint64_t sockets() const { return tcp.sockets + udp.sockets; }
    std::uint64_t in_state(std::uint32_t state) const { return tcp.states[state]; }
    /// TCP sockets that are not listening.
    std::uint64_t tcp_connections() const;

private:
    OwnedSums& service_of(const socket_info& socket);
    void add_port(const socket_info& socket);
    void add_peer(const socket_info& socket);
};

/// States which a healthy connection leaves within a round trip or as soon as its process looks: it
/// waits for somebody's answer. FIN_WAIT2 and TIME_WAIT are not among them.
inline constexpr std::uint32_t kFailingStates[] = {2, 3, 4, 8, 9, 11};
std::uint64_t failing(const Sums& sums);

/// How long it has been in its state at least; 0 when unknown. After the peer's FIN only answers
/// come from there, so its last segment is a bound.
std::uint64_t age_ns(const socket_info& socket);

} // namespace culprit
