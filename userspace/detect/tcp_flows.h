// SPDX-License-Identifier: MIT
// How TCP connections fare, with both ends joined where both are on this host. Shared by the
// detectors of windows, latency and order.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "abi/flow.h"
#include "detect/finding.h"
#include "detect/reach.h"

namespace culprit {

/// Connections of one process that are alike, over the run.
struct FlowFacts {
    flow_total sum{};
    std::uint64_t first_ns = 0;
    std::vector<std::size_t> others; // rows at the other end of them, of any process

    bool serves() const { return sum.role == ABI_ROLE_SERVER; }
    Party party() const { return {sum.owner, sum.flow.netns}; }
    /// The server's end, whichever end this is.
    std::string service() const { return endpoint_of(serves()); }
    std::string peer() const; // its address
    /// Of one connection, between two looks.
    double look_ns() const { return ratio(sum.watched_ns, sum.looks); }
    double rtt_us() const { return ratio(sum.srtt_us, sum.rtt_looks); }
    double min_rtt_us() const { return ratio(sum.min_rtt_us, sum.rtt_looks); }
    /// Mean of what was summed up over the looks with data to send.
    double while_sending(std::uint64_t value) const { return ratio(value, sum.sending); }
    double at_looks(std::uint64_t value) const { return ratio(value, sum.looks); }
    /// Time with data to send, of all connections together.
    double active_ns() const;
    double rwnd_share() const;
    double sndbuf_share() const;

    static double ratio(std::uint64_t part, std::uint64_t all) {
        return all ? double(part) / double(all) : 0;
    }

private:
    std::string endpoint_of(bool local) const;
};

class TcpFlows {
public:
    /// `total` has to stay.
    explicit TcpFlows(const Window& total);

    const std::vector<FlowFacts>& all() const& { return x_all; }
    void all() const&& = delete; // it would not outlive the loop over it
    std::vector<const FlowFacts*> others(const FlowFacts& flow) const;
    /// The processes at the other end, worst first; none when they are not on this host.
    std::vector<Party> parties_beyond(const FlowFacts& flow) const;

private:
    void join(const Window& total);

    std::vector<FlowFacts> x_all;
};

/// "1.2 MB/s"
std::string rate_text(double bytes_per_second);
/// "18.8 KB"
std::string size_text(double bytes);

/// Bounds of a share of the answers, from a histogram of microseconds by powers of two.
double answer_quantile_ns(const __u64 (&slots)[FLOW_SLOTS], double share);

/// What tells processes apart, with the namespace.
using PartyKey = std::tuple<std::uint32_t, std::uint32_t, std::uint64_t>;
inline PartyKey party_key(const Party& party) {
    return {party.netns, party.owner.tgid, party.owner.start_ns};
}

} // namespace culprit
