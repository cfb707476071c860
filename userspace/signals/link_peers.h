// SPDX-License-Identifier: MIT
// In which namespace is the other end of a veth pair? The kernel only gives it a number that each
// namespace counts for itself.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "kernel/links.h"
#include "kernel/netns.h"

namespace culprit {

class LinkPeers {
public:
    /// Lists the namespaces again when an end was not found, at most every few seconds.
    void refresh(std::uint64_t now_ns);
    /// Fills in LinkInfo::peer_netns; for a thread that is inside `netns`. What is not known yet
    /// may be at a later look, when the other end's namespace was seen too.
    void find(std::uint32_t netns, std::vector<LinkInfo>& links);

private:
    static constexpr std::size_t kAsksMax = 64;    // candidates for one device at one look
    static constexpr std::size_t kEndsMax = 65536; // full: further pairs have an unknown other end

    std::uint32_t ask(std::uint32_t netns, const LinkInfo& link) const;

    std::map<std::uint32_t, Netns> x_places;
    std::uint64_t x_listed_ns = 0;
    bool x_missing = true;
    // (ifindex, link) of each veth -> the namespaces that have such a device
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::set<std::uint32_t>> x_ends;
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t>
        x_known; // (netns, ifindex) -> namespace of the other end
};

} // namespace culprit
