// SPDX-License-Identifier: MIT
// Where packets and connects find no way: what refuses them, whom it hurts. Shared by the detectors
// about routes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "abi/route.h"
#include "detect/drops.h"
#include "detect/sockets.h"

namespace culprit {

enum class Refused { kNoRoute, kUnreachable, kProhibit, kBlackhole, kForwardingOff };

/// A destination that processes of this host want to reach in vain. No packet leaves.
struct RefusedCalls {
    abi_flow to{}; // one of them
    Refused why = Refused::kNoRoute;
    std::string by; // "blackhole route 203.0.113.0/24 in table 254"; empty when not known
    Shares callers; // who tried
    std::uint64_t connected = 0, first_ns = 0; // attempts of theirs to there that did work
    bool sends = false;                        // datagrams too, not connects only
};

/// Those that are a fault. Not among them: a process that has another way to the same service (an
/// IPv6 address tried first on a host that has IPv4 only), and connect() of datagram sockets to see
/// which address would do, which sends nothing.
std::vector<RefusedCalls> refused_calls(const Window& total);

/// Packets of others that were dropped because of their route.
struct RefusedPackets {
    DropFacts drops;
    Refused why = Refused::kNoRoute;
    std::string by; // as above
};
std::vector<RefusedPackets> refused_packets(const Facts& facts);

Finding refused_calls_finding(const char* id, const RefusedCalls& calls, const Window& total);
std::optional<Finding> refused_packets_finding(const char* id, const RefusedPackets& packets,
                                               std::string title, std::vector<Advice> advice,
                                               const Window& total);

/// Connection attempts that repeat their SYN and lose it here each time: somebody waits, on
/// whichever host.
std::uint64_t waiting_attempts(const DropFacts& drops);
/// Enough of them that it is no chance.
bool is_awaited(const DropFacts& drops);
/// A considerable part of all packets that the namespace receives.
bool is_much(const DropFacts& drops, const Window& total);

/// The source address with the most samples; empty when none was read.
std::string main_source(const DropFacts& drops);
/// The destination with the most samples, as "ADDRESS:PORT".
std::string main_destination(const DropFacts& drops);

const Routing* routing_of(const Window& total, std::uint32_t netns);

} // namespace culprit
