// SPDX-License-Identifier: MIT
// RTM_GETNSID says which number a namespace has here; it is asked for those that have a device with
// the right two numbers.
#include "signals/link_peers.h"

#include <fcntl.h>

#include "util/unique_fd.h"

namespace culprit {

namespace {

constexpr std::uint64_t kListNs = 3'000'000'000;

bool has_far_end(const LinkInfo& link) {
    return link.type == "veth" && link.link && link.link_netns_id >= 0;
}

} // namespace

void LinkPeers::refresh(std::uint64_t now_ns) {
    if (!x_missing || (x_listed_ns && now_ns - x_listed_ns < kListNs))
        return;
    NetnsMisses misses;
    x_places = list_netns(misses);
    x_listed_ns = now_ns;
    x_missing = false;
}

std::uint32_t LinkPeers::ask(std::uint32_t netns, const LinkInfo& link) const {
    const auto ends = x_ends.find({link.link, link.ifindex});
    if (ends == x_ends.end())
        return 0;
    std::size_t asked = 0;
    for (const std::uint32_t candidate : ends->second) {
        const auto place = x_places.find(candidate);
        if (candidate == netns || place == x_places.end() || asked++ >= kAsksMax)
            continue;
        const UniqueFd fd(::open(place->second.path.c_str(), O_RDONLY | O_CLOEXEC));
        if (fd && netns_id(fd.get()) == link.link_netns_id)
            return candidate;
    }
    return 0;
}

void LinkPeers::find(std::uint32_t netns, std::vector<LinkInfo>& links) {
    for (LinkInfo& link : links) {
        if (!has_far_end(link)) {
            link.peer_netns = link.link && link.link_netns_id < 0 ? netns : 0;
            continue;
        }
        if (x_ends.size() < kEndsMax)
            x_ends[{link.ifindex, link.link}].insert(netns);
        auto known = x_known.find({netns, link.ifindex});
        if (known == x_known.end())
            if (const std::uint32_t other = ask(netns, link); other && x_known.size() < kEndsMax)
                known = x_known.emplace(std::pair(netns, link.ifindex), other).first;
        if (known != x_known.end())
            link.peer_netns = known->second;
        else
            x_missing = true;
    }
}

} // namespace culprit
