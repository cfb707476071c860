// SPDX-License-Identifier: MIT
// Sums per peer first, so that a bad path is not hidden by good ones; then one finding for all bad
// ones of a namespace.
#include "detect/path_trouble.h"

#include <algorithm>

#include <fmt/format.h>

#include "model/format.h"

namespace culprit {

std::string PathTrouble::peer_text() const {
    return peers.size() == 1 ? peers.begin()->first : fmt::format("{} peers", peers.size());
}

void PathTrouble::add(const FlowFacts& flow) {
    netns = flow.sum.flow.netns;
    segs_out += flow.sum.segs_out;
    retransmits += flow.sum.retransmits;
    spurious += flow.sum.spurious;
    reordered += flow.sum.reordered;
    first_ns = first_ns ? std::min(first_ns, flow.first_ns) : flow.first_ns;
    peers[flow.peer()] += flow.sum.segs_out;
    auto& sender = senders[party_key(flow.party())];
    sender.first += flow.sum.segs_out;
    sender.second = flow.party();
}

void PathTrouble::add(const PathTrouble& other) {
    netns = other.netns;
    segs_out += other.segs_out;
    retransmits += other.retransmits;
    spurious += other.spurious;
    reordered += other.reordered;
    first_ns = first_ns ? std::min(first_ns, other.first_ns) : other.first_ns;
    peers.insert(other.peers.begin(), other.peers.end());
    for (const auto& [key, sender] : other.senders) {
        senders[key].first += sender.first;
        senders[key].second = sender.second;
    }
}

std::vector<PathTrouble> path_troubles(const Facts& facts, bool (*wanted)(const PathTrouble&)) {
    std::map<std::pair<std::uint32_t, std::string>, PathTrouble> by_peer;
    for (const FlowFacts& flow : facts.flows().all())
        by_peer[{flow.sum.flow.netns, flow.peer()}].add(flow);
    std::map<std::uint32_t, PathTrouble> by_netns;
    for (const auto& [key, path] : by_peer)
        if (wanted(path))
            by_netns[path.netns].add(path);
    std::vector<PathTrouble> out;
    for (auto& [netns, path] : by_netns)
        out.push_back(std::move(path));
    return out;
}

Finding path_finding(const char* id, const PathTrouble& path, std::uint64_t count,
                     const Window& total) {
    Finding finding{.id = id};
    std::vector<std::pair<std::uint64_t, Party>> senders;
    for (const auto& [key, sender] : path.senders)
        senders.push_back(sender);
    std::ranges::stable_sort(senders, std::greater{}, &std::pair<std::uint64_t, Party>::first);
    for (const auto& [segs, party] : senders)
        add_party(finding.affected, party);
    finding.where.remote = path.peers.size() == 1 ? path.peers.begin()->first : "";
    finding.where.netns = path.netns;
    finding.first_ns = path.first_ns;
    finding.count = count;
    finding.rate_per_s = per_second(total, double(count));
    finding.verify = verify_in_netns(finding);
    return finding;
}

} // namespace culprit
