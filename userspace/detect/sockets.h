// SPDX-License-Identifier: MIT
// What the detectors of TIME_WAIT, ports and closing states share: sums over the sockets there
// were, and who made them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "abi/connection.h"
#include "abi/socket.h"
#include "detect/finding.h"
#include "model/window.h"

namespace culprit {

/// Sockets of one process, or of all whose process is not known.
struct Share {
    abi_owner owner{};
    std::uint64_t count = 0, first_ns = 0;
};

/// Counts per process, the largest first.
struct Shares {
    std::uint64_t all = 0;
    std::vector<Share> parts;

    void add(const abi_owner& owner, std::uint64_t count, std::uint64_t first_ns);
    void sort();
    /// The process with at least half of them; an owner that is not known when there is none.
    Share main() const;
};

/// Who closed first and so came to TIME_WAIT while culprit watched: connections that ended by FIN
/// from FIN_WAIT2 or CLOSING (net/ipv4/tcp_minisocks.c: tcp_time_wait()).
Shares entries_into_time_wait(const Window& total,
                              const std::function<bool(const close_event&)>& wanted);

/// The role, or what the service's port tells of a connection older than culprit.
std::uint8_t role_of(const close_event& closed);

/// How near a level is to its limit, if it goes on as it did.
struct Pressure {
    std::uint64_t used = 0, limit = 0;
    double growth_per_s = 0;
    double levels_off = 0; // where what comes equals what goes; 0 when nothing goes

    double share() const;
    std::optional<double> seconds_left() const; // none when it is reached or will not be
    /// Most of it is used, or it is well begun and soon reached.
    bool is_high() const;
    std::string text(const std::string& what) const;
};

/// Sockets from one address to one service: each needs a local port of its own.
struct PortUse {
    abi_flow flow{}; // local address, remote address and port, namespace
    std::uint64_t at_begin = 0, at_end = 0;
    std::uint64_t time_wait = 0; // of those at the end
    std::uint64_t range = 0;     // ports to choose from; 0 when unknown
    Shares holders;              // at the end, without TIME_WAIT
};

/// TIME_WAIT is left out where its ports may be used again (tcp_tw_reuse).
std::vector<PortUse> port_use(const Window& total);

/// The key of a PortUse: namespace, local address, remote address and port.
std::string port_use_key(const abi_flow& flow);

/// The largest buffer that autotuning gives by default: `most`, less on a host with little memory.
double default_buffer(const Window& total, std::uint64_t most);

/// Connects that failed because there was no local port.
bool has_no_port(const connect_event& attempt);

std::optional<std::uint64_t> gauge_of(const Window& total, std::uint32_t netns, std::size_t index);

} // namespace culprit
