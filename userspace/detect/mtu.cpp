// SPDX-License-Identifier: MIT
// One uninterrupted series of timeouts over full-size segments is the mark; that smaller packets
// pass is what tells it from a peer or a path that is dead.
#include "detect/mtu.h"

#include <algorithm>

#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

void raise(std::uint64_t& most, std::uint64_t value) {
    most = std::max(most, value);
}

void note(StuckFlow& flow, const retransmit_event& again, const RowInfo& info) {
    flow.flow = again.flow;
    flow.party = {again.owner, again.flow.netns};
    raise(flow.acked_bytes, again.acked_bytes > 1 ? again.acked_bytes : 0); // 1 is the SYN
    raise(flow.acked_segs, again.acked_segs);
    if (again.type != ABI_RETRANSMIT_RTO || !again.segs)
        return;
    raise(flow.attempts, again.attempts);
    raise(flow.sacked_segs, again.sacked_segs);
    raise(flow.heard_ns, again.heard_ns);
    raise(flow.mss, again.mss);
    flow.resent += again.segs;
    flow.resent_bytes += again.bytes;
    flow.first_ns = flow.first_ns ? std::min(flow.first_ns, info.first_ns) : info.first_ns;
}

/// By flow and namespace: both ends of a connection may be on this host.
std::map<std::pair<std::uint32_t, std::string>, StuckFlow> collect(const Window& total) {
    std::map<std::pair<std::uint32_t, std::string>, StuckFlow> flows;
    for (const auto& [again, info] : total.rows<retransmit_event>(ABI_RETRANSMIT))
        if (again.mss)
            note(flows[{again.flow.netns, conversation(again.flow)}], again, info);
    return flows;
}

} // namespace

bool StuckFlow::never_large() const {
    return !acked_bytes || double(acked_bytes) < threshold::kStuckSmall * double(mss * acked_segs);
}

bool StuckFlow::stands_still() const {
    using namespace threshold;
    // the kernel starts to count anew when something is acknowledged
    return mss > kStuckMssMin && attempts >= kStuckTimeouts && resent && resent <= attempts &&
           resent_bytes + kStuckOptions * resent >= mss * resent;
}

void MtuHoles::add_handshakes(const Window& total) {
    for (const auto& [attempt, info] : total.rows<connect_event>(ABI_CONNECT)) {
        if (attempt.result != ABI_RESULT_OK)
            continue;
        Handshakes& passed = x_handshakes[{attempt.flow.netns, address(attempt.flow, false)}];
        passed.count += info.count;
        passed.last_ns = std::max(passed.last_ns, info.last_ns);
    }
}

bool MtuHoles::small_ones_pass(const StuckFlow& flow) const {
    using namespace threshold;
    if (flow.too_big)
        return true; // this host itself saw which packets do not
    const Peer peer{flow.flow.netns, address(flow.flow, false)};
    const auto passed = x_handshakes.find(peer);
    // one transfer that worked and stops may have lost its peer; that of others is alive
    if (passed != x_handshakes.end() && passed->second.last_ns > flow.first_ns &&
        (flow.never_large() || x_still.at(peer) >= kStuckFlowsMin))
        return true;
    if (flow.never_large() && (flow.sacked_segs || flow.heard_ns > flow.first_ns))
        return true;
    return !flow.acked_bytes && x_silent.at(peer) >= kStuckFlowsMin;
}

MtuHoles::MtuHoles(const Window& total) {
    add_handshakes(total);
    const LocalDrops drops = find_local_drops(total);
    std::vector<StuckFlow> all;
    for (auto& [key, flow] : collect(total)) {
        const DropPlace* place = drops.of(flow.flow);
        const bool too_big = place && drop_reason(place->reason, total.names) == "PKT_TOO_BIG";
        if (!flow.stands_still() || (place && !too_big))
            continue;
        if (too_big)
            flow.too_big = *place;
        const Peer peer{flow.flow.netns, address(flow.flow, false)};
        x_silent[peer] += !flow.acked_bytes;
        x_still[peer]++;
        all.push_back(flow);
    }
    for (StuckFlow& flow : all)
        if (small_ones_pass(flow)) {
            x_index.emplace(conversation(flow.flow), x_stuck.size());
            x_stuck.push_back(std::move(flow));
        }
}

bool MtuHoles::explains(const abi_flow& flow) const {
    return x_index.contains(conversation(flow));
}

std::uint64_t MtuHoles::handshakes_since(std::uint32_t netns, const std::string& peer) const {
    const auto passed = x_handshakes.find({netns, peer});
    std::uint64_t first_ns = ~0ULL;
    for (const StuckFlow& flow : x_stuck)
        if (flow.flow.netns == netns && address(flow.flow, false) == peer)
            first_ns = std::min(first_ns, flow.first_ns);
    return passed != x_handshakes.end() && passed->second.last_ns > first_ns ? passed->second.count
                                                                             : 0;
}

} // namespace culprit
