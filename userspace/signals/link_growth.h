// SPDX-License-Identifier: MIT
// From what devices count to records of what they counted since they were told of last.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "abi/link.h"
#include "kernel/links.h"
#include "signals/signal.h"

namespace culprit {

/// Counters of a driver by name, as read.
using DriverCounters = std::map<std::string, std::uint64_t>;

/// Everything bounded: at most kNamespacesMax namespaces, of more the one read longest ago is
/// forgotten, and begins anew. Of devices with nothing wrong kQuietMax are told once, so that a
/// host with thousands of them does not fill the window.
class LinkGrowth {
public:
    static constexpr std::size_t kNamespacesMax = 4096;
    static constexpr std::size_t kQuietMax = 1024;

    /// Takes all devices of a namespace. The first time nothing is told: it is what growth is
    /// measured against. A device of software that comes later began with zero.
    void take(std::uint32_t netns, std::uint64_t now_ns, const std::vector<LinkInfo>& links,
              const RecordSink& sink);

    /// Fills in speed and duplex as they were last; false: they may be others now.
    bool knows_speed(LinkInfo& link) const;
    /// Is it time to ask this device's driver? Devices are known by take().
    bool wants_driver(const LinkInfo& link, std::uint64_t now_ns) const;
    void take_driver(const LinkInfo& link, std::uint64_t now_ns, const DriverCounters& counters,
                     const RecordSink& sink);

private:
    struct Device {
        LinkInfo last;               // as it was told of, or first seen
        bool told = false;           // in this run
        bool alarmed = false;        // errors grew at the last look
        std::uint64_t driver_ns = 0; // when its driver was asked
        DriverCounters driver;
    };
    struct Namespace {
        std::uint64_t read_ns = 0;
        std::map<std::uint32_t, Device> devices; // by ifindex
    };

    Namespace& space_of(std::uint32_t netns);
    void look(Device& device, std::uint32_t netns, std::uint64_t now_ns, const RecordSink& sink,
              const LinkInfo& link);
    void take_gone(std::uint32_t netns, std::uint64_t now_ns, Namespace& space,
                   const std::vector<LinkInfo>& links, const RecordSink& sink);

    std::map<std::uint32_t, Namespace> x_spaces;
    std::size_t x_quiet = 0;
};

} // namespace culprit
