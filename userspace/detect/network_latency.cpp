// SPDX-License-Identifier: MIT
// network-latency. Claim: round trips to a peer grew far above the smallest ones known, on the way
// and not on this host. Evidence: handshakes, round trips of busy and of young connections, window
// by window, against the smallest one to the same peer. Looks alike: a slow process (its answers
// are late, round trips are not), delayed ACKs (up to 200 ms with little in flight: left out), an
// egress queue of this host (qdisc-latency explains it), a long way (long from the first handshake
// on: information only).
//
// A sender that keeps a queue on the way filled is to blame for it: most of the bytes are his, he
// always has more to send, and the round trip rises and falls with his losses. Does who always has
// more to send delay only himself, it is worth knowing only.
#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "detect/rtt_paths.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

/// All peers of one namespace whose round trips grew.
struct Growth {
    std::uint32_t netns = 0;
    std::vector<const RttPath*> paths; // most samples first
    std::set<std::size_t> windows;
    const RttSender* hog = nullptr;
    std::vector<Party> hurt; // others than the hog
    bool own = false;        // whoever waits does so behind his own packets

    const RttPath& main() const { return *paths.front(); }
    std::string peer_text() const {
        return paths.size() == 1 ? main().peer : fmt::format("{} peers", paths.size());
    }
    double grown_us() const { return main().grown_us() - main().base_us; }
};

std::uint64_t grown_samples(const RttPath& path) {
    return static_cast<std::uint64_t>(std::ranges::count_if(
        path.samples, [&](const RttSample& sample) { return path.has_grown(sample); }));
}

/// For some time, and until the end.
bool is_grown(const RttPath& path, std::size_t windows) {
    const auto grown = path.grown_windows();
    return grown.size() >= std::min(threshold::kRttWindowsMin.value, windows) &&
           grown_samples(path) >= threshold::kRttSamplesMin && grown.back() + 3 >= windows;
}

bool fills_queue(const RttPath& path, const RttSender& sender) {
    using namespace threshold;
    return sender.sending && 2 * sender.app_limited < sender.sending &&
           (sender.lost() >= kRttHogLost || path.variation(party_key(sender.party)) >= kRttVaries);
}

/// Who sent most there, if that is most of all.
struct Biggest {
    const RttSender* sender = nullptr;
    const RttPath* path = nullptr;
};

Biggest find_biggest(const Growth& growth) {
    std::uint64_t all = 0;
    Biggest most;
    for (const RttPath* path : growth.paths)
        for (const auto& [who, sender] : path->senders) {
            all += sender.bytes;
            if (!most.sender || sender.bytes > most.sender->bytes)
                most = {&sender, path};
        }
    const bool is_most = most.sender && most.sender->party.owner.tgid &&
                         double(most.sender->bytes) >= threshold::kRttHogShare * double(all);
    return is_most ? most : Biggest{};
}

/// A queue that nobody drains: its sender always has more. Alone there, it is the only one to wait.
bool is_alone(const Growth& growth, const RttSender& sender) {
    return sender.sending && 2 * sender.app_limited < sender.sending &&
           std::ranges::all_of(growth.hurt, [&](const Party& party) {
               return same_process(party.owner, sender.party.owner);
           });
}

void find_hurt(Growth& growth) {
    for (const RttPath* path : growth.paths)
        for (const RttSample& sample : path->samples) {
            if (!path->has_grown(sample))
                continue;
            const Party& party = path->senders.at(sample.who).party;
            if (!growth.hog || !same_process(party.owner, growth.hog->party.owner))
                add_party(growth.hurt, party);
        }
}

void find_parties(Growth& growth) {
    const auto [sender, path] = find_biggest(growth);
    growth.hog = sender && fills_queue(*path, *sender) ? sender : nullptr;
    find_hurt(growth);
    growth.own = sender && is_alone(growth, *sender);
}

std::map<std::uint32_t, Growth> collect(const std::vector<RttPath>& paths, std::size_t windows) {
    std::map<std::uint32_t, Growth> found;
    for (const RttPath& path : paths) {
        if (!is_grown(path, windows))
            continue;
        Growth& growth = found[path.netns];
        growth.netns = path.netns;
        growth.paths.push_back(&path);
        for (const std::size_t window : path.grown_windows())
            growth.windows.insert(window);
    }
    for (auto& [netns, growth] : found) {
        std::ranges::stable_sort(growth.paths, std::greater{},
                                 [](const RttPath* path) { return grown_samples(*path); });
        find_parties(growth);
    }
    return found;
}

std::string span(double us) {
    return duration(static_cast<std::uint64_t>(us * 1000));
}

void add_evidence(Finding& finding, const Growth& growth, const Facts& facts) {
    const RttPath& path = growth.main();
    finding.evidence.push_back(
        {fmt::format("round trips to {}: {} where they were {} at the smallest, in {} of {} "
                     "windows",
                     path.peer, span(path.grown_us()), span(path.base_us),
                     path.grown_windows().size(), facts.windows.size()),
         path.grown_us() / 1000, "ms", "tcp_sock.srtt_us, rtt_min"});
    std::uint64_t handshakes = 0;
    for (const RttPath* one : growth.paths)
        for (const RttSample& sample : one->samples)
            handshakes += sample.handshake && one->has_grown(sample);
    if (handshakes)
        finding.evidence.push_back({"handshakes take as long, so no process is the reason",
                                    double(handshakes), "samples", "inet_sock_set_state"});
    if (growth.hog)
        finding.evidence.push_back(
            {fmt::format("{} sent {} there and always had more; {} segments of it were lost",
                         owner_name(growth.hog->party.owner, facts.total.names),
                         size_text(double(growth.hog->bytes)), growth.hog->lost()),
             double(growth.hog->bytes), "bytes", "tcp_sock.bytes_acked"});
    else if (growth.own)
        finding.evidence.push_back({"who sends there always had more to send: the queue may be its "
                                    "own, and nobody else is seen to wait",
                                    std::nullopt, "", "tcp_sock.app_limited"});
}

Severity severity_of(const Growth& growth) {
    if (growth.own)
        return Severity::kInfo;
    return growth.grown_us() >= threshold::kRttGrownHurtUs ? Severity::kCritical
                                                           : Severity::kWarning;
}

void advise(Finding& finding, const Growth& growth) {
    if (growth.hog)
        finding.advice.push_back({"let it send more slowly than the narrowest link on the way, or "
                                  "shape it there (tbf, cake) so that the queue stays short",
                                  ""});
    else
        finding.advice.push_back(
            {"find the hop where the time grows; routes that changed and links "
             "that are full come first",
             "mtr -rwzc 50 " + growth.main().peer});
}

Finding describe(const Growth& growth, const Facts& facts) {
    Finding finding{.id = "network-latency", .layer = Layer::kNetwork};
    finding.severity = severity_of(growth);
    finding.confidence = growth.hog ? 0.8 : 0.85;
    if (growth.hog)
        finding.culprit = growth.hog->party;
    finding.affected = growth.hurt;
    finding.where.remote = growth.paths.size() == 1 ? growth.main().peer : "";
    finding.where.netns = growth.netns;
    finding.title =
        fmt::format("round trips to {} grew from {} to {} on the path", growth.peer_text(),
                    span(growth.main().base_us), span(growth.main().grown_us()));
    if (growth.hog)
        finding.title += fmt::format(": {} fills a queue there",
                                     owner_name(growth.hog->party.owner, facts.total.names));
    finding.first_ns = facts.windows[*growth.windows.begin()].from_ns;
    for (const RttPath* path : growth.paths)
        finding.count += grown_samples(*path);
    finding.rate_per_s = per_second(facts.total, double(finding.count));
    add_evidence(finding, growth, facts);
    advise(finding, growth);
    finding.verify = verify_in_netns(finding);
    return finding;
}

/// Worth knowing only: the longest way of a namespace.
Finding long_way(const RttPath& path, const Window& total) {
    Finding finding{.id = "network-latency", .layer = Layer::kNetwork};
    finding.severity = Severity::kInfo;
    finding.confidence = 0.9;
    finding.where = {.remote = path.peer, .netns = path.netns};
    finding.title =
        fmt::format("{} is {} away, from the first handshake on", path.peer, span(path.base_us));
    finding.first_ns = total.from_ns;
    finding.count = path.samples.size();
    finding.evidence.push_back({fmt::format("no round trip took less than {}", span(path.base_us)),
                                path.base_us / 1000, "ms", "tcp_sock.rtt_min"});
    finding.advice.push_back({"nothing is wrong with a long way; what needs few round trips is "
                              "quick over it, too",
                              ""});
    finding.verify = verify_in_netns(finding);
    return finding;
}

} // namespace

std::vector<Finding> detect_network_latency(const Facts& facts) {
    const TcpFlows& flows = facts.flows();
    const std::vector<RttPath> paths = rtt_paths(facts, flows);
    std::vector<Finding> findings;
    const auto grown = collect(paths, facts.windows.size());
    for (const auto& [netns, growth] : grown)
        findings.push_back(describe(growth, facts));
    std::map<std::uint32_t, const RttPath*> longest;
    for (const RttPath& path : paths)
        if (path.base_us >= threshold::kRttLongUs && !grown.contains(path.netns)) {
            const RttPath*& most = longest[path.netns];
            most = most && most->base_us >= path.base_us ? most : &path;
        }
    for (const auto& [netns, path] : longest)
        findings.push_back(long_way(*path, facts.total));
    return findings;
}

} // namespace culprit
