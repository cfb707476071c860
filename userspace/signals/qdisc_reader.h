// SPDX-License-Identifier: MIT
// What the kernel itself counts of each qdisc.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <unordered_map>

#include "abi/qdisc.h"
#include "kernel/qdiscs.h"
#include "signals/signal.h"

namespace culprit {

/// Growth of the qdiscs' counters. The first reading of a namespace is its baseline. Pure.
class QdiscGrowth {
public:
    /// Rows of one reading of one namespace: those with most drops, then backlog. The others are in
    /// the counters of their parents.
    static constexpr std::size_t kRowsMax = 128;

    void take(std::uint32_t netns, std::span<const QdiscInfo> now, std::uint64_t now_ns,
              const RecordSink& sink);

private:
    using Known = std::unordered_map<std::string, QdiscInfo>;
    struct Place {
        std::uint64_t read_ns = 0;
        Known known;
    };
    void forget();

    // namespaces as read last, at most twice kNetnsMax: then the half that was read longest ago
    // goes and begins anew
    std::unordered_map<std::uint32_t, Place> x_places;
};

std::unique_ptr<Reader> qdisc_reader();

} // namespace culprit
