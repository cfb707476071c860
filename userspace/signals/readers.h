// SPDX-License-Identifier: MIT
// Runs the signals that ask the kernel, and says what they cannot read.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "signals/capture.h"
#include "signals/signal.h"

namespace culprit {

class Readers {
public:
    /// `status` is the place of its signal's status in the list handed to the calls below.
    void add(std::unique_ptr<Reader> reader, std::size_t status);
    bool empty() const { return x_all.empty(); }
    /// The user's filter: of other namespaces nothing is read.
    void look_only_in(std::uint32_t netns) { x_only = netns; }
    /// Likewise: rows of other devices are left out.
    void look_only_at(std::uint32_t ifindex) { x_device = ifindex; }
    bool is_wanted(std::uint32_t netns) const { return !x_only || x_only == netns; }
    bool look_into(std::uint32_t netns) const { return !x_all.empty() && is_wanted(netns); }

    void see(std::span<const std::byte> record, const Names& names);
    void read_host(std::uint64_t now_ns, const RecordSink& sink, std::vector<SignalStatus>& status);
    void read_netns(std::uint32_t netns, std::uint64_t now_ns, const RecordSink& sink,
                    std::vector<SignalStatus>& status);

private:
    struct One {
        std::unique_ptr<Reader> reader;
        std::size_t status = 0;
    };
    std::vector<One> x_all;
    RecordSink filtered(const RecordSink& sink) const;

    std::uint32_t x_only = 0;   // namespace; 0: all
    std::uint32_t x_device = 0; // likewise
};

} // namespace culprit
