// SPDX-License-Identifier: MIT
// Timeouts in a row with nothing heard are the mark; that nothing came until the end of the run
// tells a dead peer from a burst of losses that was survived.
#include "detect/dead_peers.h"

#include <algorithm>

#include "detect/listeners.h"
#include "detect/tcp_flows.h"
#include "detect/thresholds.h"
#include "detect/unreachable.h"
#include "model/format.h"

namespace culprit {

namespace {

using Key = std::pair<PartyKey, std::string>; // process, address of the peer

/// A connection that was alive once and sends into the void since.
bool is_silent(const retransmit_event& again, const RowInfo& info) {
    return again.type == ABI_RETRANSMIT_RTO && again.segs && again.heard_ns &&
           again.attempts >= threshold::kDeadTimeouts && info.last_ns > again.heard_ns &&
           info.last_ns - again.heard_ns >= threshold::kDeadQuietNs;
}

void add(DeadPeer& dead, const retransmit_event& again, const RowInfo& info) {
    dead.party = {again.owner, again.flow.netns};
    dead.peer = address(again.flow, false);
    dead.flow = again.flow;
    dead.conversations.insert(conversation(again.flow));
    dead.attempts = std::max<std::uint64_t>(dead.attempts, again.attempts);
    dead.segs += again.segs;
    dead.heard_ns = std::max<std::uint64_t>(dead.heard_ns, again.heard_ns);
    dead.quiet_ns = std::max<std::uint64_t>(dead.quiet_ns, info.last_ns - again.heard_ns);
    dead.first_ns = dead.first_ns ? std::min(dead.first_ns, info.first_ns) : info.first_ns;
}

/// An attempt to connect to that address since it was heard last.
void add_attempt(DeadPeer& dead, const connect_event& attempt, const RowInfo& info) {
    const bool answered = attempt.result == ABI_RESULT_OK || attempt.error == ECONNREFUSED;
    const bool silent = attempt.result == ABI_RESULT_ABANDONED || attempt.error == ETIMEDOUT;
    dead.alive += answered ? 1 : 0;
    dead.unanswered_syns += silent ? info.count : 0;
}

/// What the last looks at its process's connections to that peer say.
struct LastLooks {
    std::uint64_t silent = 0, flows = 0;
    bool heard = false, serves = false;
};

std::map<Key, LastLooks> last_looks(std::span<const Window> windows) {
    constexpr std::size_t kWindows = 2; // an answer may take that long to show
    std::map<Key, LastLooks> found;
    for (const Window& window : windows.last(std::min(windows.size(), kWindows)))
        for (const auto& [sum, info] : window.rows<flow_total>(ABI_FLOW_TOTAL)) {
            LastLooks& last =
                found[{party_key({sum.owner, sum.flow.netns}), address(sum.flow, false)}];
            last.silent = std::max<std::uint64_t>(last.silent, sum.silent);
            last.flows = std::max<std::uint64_t>(last.flows, sum.flows);
            last.heard |= sum.segs_in > 0;
            last.serves |= sum.role == ABI_ROLE_SERVER;
        }
    return found;
}

} // namespace

const DeadPeers& Facts::dead_peers() const {
    if (!known_dead_peers)
        known_dead_peers = std::make_shared<const DeadPeers>(*this);
    return *known_dead_peers;
}

DeadPeers::DeadPeers(const Facts& facts) {
    collect(facts.total);
    look_for_life(facts);
    keep_dead();
    for (const DeadPeer& dead : x_all)
        x_flows.insert(dead.conversations.begin(), dead.conversations.end());
}

void DeadPeers::collect(const Window& total) {
    std::map<Key, DeadPeer> found;
    const LocalDrops drops = find_local_drops(total);
    const MtuHoles holes(total);
    const Unreachables unreachables(total);
    const Listeners listeners(total); // whose full queue dropped the end of the handshake
    for (const auto& [again, info] : total.rows<retransmit_event>(ABI_RETRANSMIT))
        if (is_silent(again, info) && !drops.of(again.flow) && !holes.explains(again.flow) &&
            !unreachables.explains(again.flow) && !listeners.at(again.flow, false))
            add(found[{party_key({again.owner, again.flow.netns}), address(again.flow, false)}],
                again, info);
    for (auto& [key, dead] : found)
        x_all.push_back(std::move(dead));
}

void DeadPeers::look_for_life(const Facts& facts) {
    using Host = std::pair<std::uint32_t, std::string>; // netns, address
    const std::map<Key, LastLooks> looks = last_looks(facts.windows);
    // without looks what the timer says has to do
    std::erase_if(x_all, [&](const DeadPeer& dead) {
        const auto own = looks.find({party_key(dead.party), dead.peer});
        return !looks.empty() && (own == looks.end() || !own->second.silent);
    });
    std::map<Host, std::vector<DeadPeer*>> hosts;
    for (DeadPeer& dead : x_all)
        hosts[{dead.party.netns, dead.peer}].push_back(&dead);
    const auto at = [&](const Host& host) {
        const auto found = hosts.find(host);
        return found == hosts.end() ? std::vector<DeadPeer*>() : found->second;
    };
    for (const auto& [attempt, info] : facts.total.rows<connect_event>(ABI_CONNECT))
        for (DeadPeer* dead : at({attempt.flow.netns, address(attempt.flow, false)}))
            if (info.last_ns > dead->heard_ns)
                add_attempt(*dead, attempt, info);
    for (const auto& [key, last] : looks)
        for (DeadPeer* dead : at({std::get<0>(key.first), key.second})) {
            const bool own = key.first == party_key(dead->party);
            dead->serves |= own && last.serves;
            dead->others_heard |= last.heard && (!own || last.flows > last.silent);
        }
}

/// Seen from both ends, one of them tells it: the one with more connections.
void DeadPeers::keep_dead() {
    std::erase_if(x_all, [](const DeadPeer& dead) {
        const bool alone = dead.alive || dead.others_heard;
        return alone && dead.quiet_ns < threshold::kForgottenQuietNs;
    });
    std::ranges::stable_sort(x_all, std::greater{},
                             [](const DeadPeer& dead) { return dead.conversations.size(); });
    std::set<std::string> told;
    std::erase_if(x_all, [&](const DeadPeer& dead) {
        const bool known = std::ranges::all_of(
            dead.conversations, [&](const std::string& one) { return told.contains(one); });
        told.insert(dead.conversations.begin(), dead.conversations.end());
        return known;
    });
}

} // namespace culprit
