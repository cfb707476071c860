// SPDX-License-Identifier: MIT
// packet-loss. Claim: segments of this process are lost beyond this host. Evidence: segments sent
// again, less those the receiver reports as duplicates (DSACK, RFC 2883: sent again for nothing),
// less those of flows whose loss drops on this host account for; against all segments sent. Looks
// alike: reordering and probes into a closed window (all DSACKed), local drops, handshakes that
// repeat (connect-timeout), segments too big for the path (mtu-blackhole), a peer that is gone
// (peer-dead).
#include <algorithm>
#include <array>
#include <map>
#include <set>

#include <fmt/format.h>

#include "detect/dead_peers.h"
#include "detect/finding.h"
#include "detect/flows.h"
#include "detect/listeners.h"
#include "detect/mtu.h"
#include "detect/queues.h"
#include "detect/slow_readers.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

struct Loser {
    Party party;
    std::uint64_t segs = 0, first_ns = 0;
    std::uint64_t life_segs = 0, life_again = 0; // of the sockets that lost something
    std::array<std::uint64_t, 6> by_type{};
    std::map<std::string, std::uint64_t> peers;
};

using Key = std::tuple<std::uint32_t, std::uint32_t, std::uint64_t>; // netns, pid, start

struct NetnsLoss {
    std::uint64_t segs = 0;     // sent again, handshakes left out
    std::uint64_t spurious = 0; // of them reported as duplicates
    std::uint64_t sent = 0;     // all segments
    std::uint64_t seen = 0;     // sent again, handshakes included
    std::uint64_t again = 0;    // of that, by the kernel's word
    double folded = 1;          // times what is seen: the rest had no room for rows of its own
    double real_share() const {
        const double all = double(segs) * folded;
        return all > 0 ? 1 - std::min(double(spurious), all) / all : 0;
    }
};

bool is_handshake(std::uint32_t type) {
    return type == ABI_RETRANSMIT_SYN || type == ABI_RETRANSMIT_SYNACK;
}

/// Places of this host whose drops account for what is sent again in the conversations they were
/// seen in. One sampled drop excuses nothing: the same conversation may lose far more elsewhere.
/// Whether such drops are worth a finding is for its detector to say: active queue management drops
/// a little for good reason.
/// One packet that is too big makes its sender repeat all that is on its way in smaller ones.
std::set<DropPlace> places_that_explain(const Window& total, const LocalDrops& drops) {
    constexpr std::uint64_t kSegment = 1400; // bytes: a dropped packet may be a train of segments
    std::map<DropPlace, std::uint64_t> again, dropped;
    for (const auto& [row, info] : total.rows<retransmit_event>(ABI_RETRANSMIT))
        if (const DropPlace* at = drops.of(row.flow); at && !is_handshake(row.type))
            again[*at] += row.segs;
    for (const auto& [row, info] : total.rows<drop_total>(ABI_DROP_TOTAL))
        dropped[{row.reason, row.netns, row.location}] +=
            std::max<std::uint64_t>(row.packets, row.bytes / kSegment);
    std::set<DropPlace> places;
    for (const auto& [at, segs] : again)
        if (segs < threshold::kLossSegsMin || segs <= threshold::kLossSegsPerDrop * dropped[at] ||
            drop_reason(at.reason, total.names) == "PKT_TOO_BIG")
            places.insert(at);
    return places;
}

/// Why segments are sent again that no path beyond this host lost.
class OtherReasons {
public:
    explicit OtherReasons(const Facts& facts)
        : x_drops(find_local_drops(facts.total)),
          x_explaining(places_that_explain(facts.total, x_drops)), x_listeners(facts.total),
          x_holes(facts.total), x_dead(facts.dead_peers()), x_closed(facts) {}

    bool explain(const retransmit_event& again) const {
        // the final ACK of a handshake that a full accept queue drops makes its client repeat data
        const DropPlace* at = x_drops.of(again.flow);
        return (at && x_explaining.contains(*at)) || x_listeners.at(again.flow, false) ||
               x_holes.explains(again.flow) || x_dead.explains(again.flow) ||
               x_closed.explains(again);
    }

private:
    LocalDrops x_drops;
    std::set<DropPlace> x_explaining;
    Listeners x_listeners;
    MtuHoles x_holes;
    const DeadPeers& x_dead;
    ClosedWindows x_closed;
};

/// Short connections may be more than a window has rows. What has none is taken to be of the same
/// losers, in each namespace up to what the kernel counts there.
void add_folded(const Window& total, std::map<std::uint32_t, NetnsLoss>& netns) {
    std::uint64_t kept = 0, rest = 0;
    for (const auto& [again, info] : total.rows<retransmit_event>(ABI_RETRANSMIT))
        (again.flow.family ? kept : rest) += again.segs;
    for (auto& [inum, loss] : netns)
        if (rest && loss.seen) {
            const double most = double(kept + rest) / double(kept);
            loss.folded = std::clamp(double(loss.again) / double(loss.seen), 1.0, most);
        }
}

std::map<Key, Loser> collect(const Facts& facts, std::map<std::uint32_t, NetnsLoss>& netns) {
    std::map<Key, Loser> losers;
    const Window& total = facts.total;
    const OtherReasons reasons(facts);
    for (const auto& [again, info] : total.rows<retransmit_event>(ABI_RETRANSMIT)) {
        if (again.flow.family)
            netns[again.flow.netns].seen += again.segs;
        if (!again.segs || !again.flow.family || is_handshake(again.type))
            continue;
        netns[again.flow.netns].segs += again.segs;
        if (reasons.explain(again))
            continue;
        Loser& loser = losers[{again.flow.netns, again.owner.tgid, again.owner.start_ns}];
        loser.party = {again.owner, again.flow.netns};
        loser.segs += again.segs;
        loser.first_ns = loser.first_ns ? std::min(loser.first_ns, info.first_ns) : info.first_ns;
        loser.by_type[again.type] += again.segs;
        loser.peers[address(again.flow, false)] += again.segs;
        if (again.type == ABI_RETRANSMIT_RTO || again.type == ABI_RETRANSMIT_FAST) {
            loser.life_segs += again.life_segs_out;
            loser.life_again += again.life_retransmits;
        }
    }
    for (auto& [inum, loss] : netns)
        if (const auto it = total.counters.find(inum); it != total.counters.end()) {
            loss.spurious = it->second.growth[counter("TcpExt.TCPDSACKRecvSegs")];
            loss.sent = it->second.growth[counter("Tcp.OutSegs")];
            loss.again = it->second.growth[counter("Tcp.RetransSegs")];
        }
    add_folded(total, netns);
    return losers;
}

/// Drops are sampled, so not each flow that lost packets in a queue of this host is known by them.
/// A dropped packet may have been of several segments.
bool lost_in_own_queue(const Loser& loser, const Queues& queues) {
    return loser.party.owner.tgid &&
           loser.segs <= threshold::kQueueSegsPerDrop * queues.drops_around(loser.party.owner);
}

std::string mix(const Loser& loser) {
    return fmt::format("{} by fast retransmit, {} by timeout, {} by tail loss probe",
                       loser.by_type[ABI_RETRANSMIT_FAST], loser.by_type[ABI_RETRANSMIT_RTO],
                       loser.by_type[ABI_RETRANSMIT_TLP]);
}

std::string top_peers(const Loser& loser) {
    std::vector<std::pair<std::uint64_t, std::string>> sorted;
    for (const auto& [peer, segs] : loser.peers)
        sorted.emplace_back(segs, peer);
    std::ranges::sort(sorted, std::greater{});
    std::string text;
    for (std::size_t i = 0; i < std::min<std::size_t>(sorted.size(), 3); i++)
        text += fmt::format("{}{} ({})", i ? ", " : "", sorted[i].second, sorted[i].first);
    return sorted.size() > 3 ? text + fmt::format(" and {} more", sorted.size() - 3) : text;
}

Finding describe(const Loser& loser, const NetnsLoss& loss, double ratio, double real,
                 const Window& total) {
    Finding finding{.id = "packet-loss"};
    finding.severity =
        ratio >= threshold::kLossRatioCritical ? Severity::kCritical : Severity::kWarning;
    finding.confidence = loss.sent ? 0.9 : 0.6;
    const std::string peer = loser.peers.size() == 1 ? loser.peers.begin()->first
                                                     : fmt::format("{} peers", loser.peers.size());
    finding.title = fmt::format("{} loses {} of its segments beyond this host, towards {}",
                                owner_name(loser.party.owner, total.names), percent(ratio), peer);
    add_party(finding.affected, loser.party);
    finding.where.remote = loser.peers.size() == 1 ? peer : "";
    finding.where.netns = loser.party.netns;
    finding.first_ns = loser.first_ns;
    finding.count = static_cast<std::uint64_t>(real);
    finding.rate_per_s = total.seconds() > 0 ? real / total.seconds() : 0;
    finding.evidence.push_back({fmt::format("{} segments sent again: {}", loser.segs, mix(loser)),
                                static_cast<double>(loser.segs), "segments", "tcp_retransmit_skb"});
    if (loss.sent) {
        const double again = double(loss.segs) * loss.folded, all = again / double(loss.sent);
        finding.evidence.push_back(
            {fmt::format("retransmission ratio of the namespace {} ({:.0f} of {} segments sent)",
                         percent(all), again, loss.sent),
             all, "ratio", "tcp_retransmit_skb / Tcp.OutSegs"});
    }
    finding.evidence.push_back(
        {fmt::format("{} of them were for nothing, by the receivers' word", loss.spurious),
         static_cast<double>(loss.spurious), "segments", "TcpExt.TCPDSACKRecvSegs"});
    finding.evidence.push_back(no_local_drop(total));
    finding.evidence.push_back({"peers by segments sent again: " + top_peers(loser), std::nullopt,
                                "", "tcp_retransmit_skb"});
    if (double(loser.by_type[ABI_RETRANSMIT_RTO]) >
        threshold::kTimeoutShareBurst * double(loser.segs))
        finding.evidence.push_back(
            {"most losses were found only by the timer: bursts, or the tail of a transfer",
             std::nullopt, "", "tcp_retransmit_skb"});
    finding.advice.push_back(
        {"the path to the peer loses packets: check its links, both directions, hop by hop",
         loser.peers.size() ? "mtr -rwzc 100 " + loser.peers.begin()->first : ""});
    finding.verify = "diagnose --only packet-loss --for 30s";
    return finding;
}

} // namespace

std::vector<Finding> detect_packet_loss(const Facts& facts) {
    std::map<std::uint32_t, NetnsLoss> netns;
    std::vector<Finding> findings;
    const Queues queues(facts.total);
    for (const auto& [key, loser] : collect(facts, netns)) {
        const NetnsLoss& loss = netns[std::get<0>(key)];
        const double real = double(loser.segs) * loss.folded * loss.real_share();
        const double of_netns = loss.sent ? real / double(loss.sent) : 0;
        const double own =
            loser.life_segs ? double(loser.life_again) / double(loser.life_segs) * loss.real_share()
                            : 0;
        const bool own_counts =
            real >= double(threshold::kLossSegsOwnRatio) && own >= threshold::kLossRatioCritical;
        if (real < double(threshold::kLossSegsMin) ||
            (of_netns < threshold::kLossRatioWarning && !own_counts))
            continue;
        if (lost_in_own_queue(loser, queues))
            continue;
        findings.push_back(
            describe(loser, loss, std::max(of_netns, own_counts ? own : 0), real, facts.total));
    }
    return findings;
}

} // namespace culprit
