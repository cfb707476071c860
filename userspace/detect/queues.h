// SPDX-License-Identifier: MIT
// The egress queues of the run: who fills them, what they count themselves, how they are limited.
// Shared by the detectors of drops and of waiting.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "abi/qdisc.h"
#include "detect/finding.h"

namespace culprit {

using DeviceKey = std::pair<std::uint32_t, std::uint32_t>; // netns, ifindex

/// One user of a queue: a process, or an address whose process is not known.
struct QueueUser {
    Party party;        // tgid 0: unknown; netns 0: of one of this host's
    std::string source; // without a process: address; empty for what is not told apart
    bool forwarded = false;
    std::uint64_t bytes = 0, timed = 0, sojourn_ns = 0, sojourn_max_ns = 0;

    std::uint64_t mean_ns() const { return timed ? sojourn_ns / timed : 0; }
};

struct QueueUsers {
    std::vector<QueueUser> all; // by bytes, most first
    std::uint64_t bytes = 0;

    double share(const QueueUser& user) const {
        return bytes ? double(user.bytes) / double(bytes) : 0;
    }
    /// Who has clearly most of the queue; nullptr when nobody has.
    const QueueUser* hog() const;
    /// Others than the hog whose packets wait noticeably, most bytes first.
    std::vector<const QueueUser*> waiting() const;
    /// "backup (pid 42) 93 %, 10.0.0.7 (forwarded) 5 %"
    std::string text(const Names& names) const;
};

class Queues {
public:
    explicit Queues(const Window& total);

    /// Of all queues of a device, or of one of them.
    QueueUsers users_of(const DeviceKey& device) const;
    QueueUsers users_of(const qdisc_total& queue) const;

    /// The qdisc whose own drop counter grew, the innermost of those; nullptr when none did.
    const qdisc_stats* dropping(const DeviceKey& device) const;
    /// The innermost that has a backlog; nullptr when none was read with one.
    const qdisc_stats* holding(const DeviceKey& device) const;
    /// Sums of the device's outermost qdiscs, which count what is inside too.
    struct Counted {
        std::uint64_t sent = 0, drops = 0;
    };
    Counted counted(const DeviceKey& device) const;
    /// What the queues that this process sends through dropped, of whomever.
    std::uint64_t drops_around(const abi_owner& owner) const;
    /// By device, what was in trouble by its own count.
    const std::map<DeviceKey, std::vector<qdisc_stats>>& stats() const { return x_stats; }

private:
    template <typename Wanted>
    QueueUsers users(const Wanted& wanted) const;

    std::vector<qdisc_share> x_shares;
    std::map<DeviceKey, std::vector<qdisc_stats>> x_stats;
};

/// "tbf 8001:", "pfifo 10: below 1:10", as tc has it.
std::string qdisc_name(const char (&id)[16], std::uint32_t handle, std::uint32_t parent);
/// ", limited to 20.0 KB at 20.0 Mbit/s"; empty when unknown.
std::string qdisc_limits(const qdisc_stats& qdisc);

} // namespace culprit
