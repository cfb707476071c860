// SPDX-License-Identifier: MIT
// What only a device's driver knows: speed, and its own counters of trouble (ethtool(8)).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "kernel/links.h"
#include "util/unique_fd.h"

namespace culprit {

/// Asks drivers about devices of the namespace it was made in, by name.
class Ethtool {
public:
    Ethtool();
    /// Leaves speed and duplex alone when the driver does not say.
    void read_speed(LinkInfo& link) const;
    /// Driver counters whose names tell of trouble; none when the driver has none.
    std::map<std::string, std::uint64_t> read_troubles(const LinkInfo& link) const;

private:
    bool ask(const LinkInfo& link, void* command) const;
    UniqueFd x_socket;
};

/// Errors, drops, misses, timeouts. What an XDP program decided is none.
bool is_trouble(std::string_view counter_name);

} // namespace culprit
