// SPDX-License-Identifier: MIT
// Which listening socket of this host does a client's packet come to? Containers may have the same
// addresses.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "model/window.h"

namespace culprit {

class Reach {
public:
    /// `total` has to stay.
    explicit Reach(const Window& total) : x_total(&total) {}

    /// A listener by the local end of its flow. One on every address has those of its namespace. Of
    /// several at one address of a namespace the first one added has it.
    void add(const abi_flow& listener, std::size_t which);
    /// To be called when all are added.
    void meet();
    /// The listener at this end of a flow. None where it is not certain: at an address that
    /// several namespaces have, only one whose conversations with this namespace were seen at both
    /// ends.
    std::optional<std::size_t> to(const abi_flow& flow, bool local) const;

private:
    using Places = std::map<std::uint32_t, std::size_t>; // netns -> listener
    using Peers = std::set<std::uint32_t>;               // namespaces

    void add_at(std::uint32_t netns, const std::string& address, std::uint16_t port,
                std::size_t which);
    bool owns(std::uint32_t netns, const std::string& address) const;

    const Window* x_total;
    std::map<std::pair<std::string, std::uint16_t>, Places> x_places;  // address, port
    std::map<std::pair<std::uint32_t, std::string>, Peers> x_partners; // netns, remote address
    bool x_ambiguous = false; // the same address and port in several namespaces
};

} // namespace culprit
