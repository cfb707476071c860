// SPDX-License-Identifier: MIT
// Processes that try many ports of a host: for the detector that says it and for those that tell of
// single ports.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "abi/connection.h"
#include "model/window.h"

namespace culprit {

/// What a program, in one or many short-lived processes, tries at one address.
struct Scan {
    abi_flow flow{};                // of one attempt
    std::set<std::uint16_t> closed; // ports; as many as a window has rows
    std::uint64_t all = 0, in_vain = 0, refused = 0, first_ns = 0;
    std::map<std::pair<std::uint32_t, std::uint64_t>, std::pair<std::uint64_t, abi_owner>>
        processes; // attempts in vain of each

    /// A host with many services that is down has few of them, tried again or never answered.
    bool is_scan() const;
};

class Scans {
public:
    using Key = std::tuple<std::uint32_t, std::string, std::string>; // netns, name, address

    explicit Scans(const Window& total);

    const std::map<Key, Scan>& all() const& { return x_all; }
    void all() const&& = delete; // it would not outlive the loop over it
    bool explains(const abi_flow& attempt, const abi_owner& owner) const;

private:
    std::map<Key, Scan> x_all;
};

} // namespace culprit
