// SPDX-License-Identifier: MIT
// md5-mismatch. Claim: the two ends of a connection do not agree on TCP-MD5 or TCP-AO signatures,
// so that packets are dropped. Evidence: the kernel drops them for that reason, and says which: no
// signature, one that is not expected, a wrong one. Looks alike: a firewall, loss on the way (no
// such drops), a stranger that knocks at a BGP port without a key (few packets: `info`).
#include <fmt/format.h>

#include "detect/drops.h"
#include "detect/listeners.h"
#include "model/format.h"

namespace culprit {

namespace {

/// IPv4 and IPv6 drop at different places.
std::string per_reason(const DropFacts& drops) {
    return fmt::format("{} {}", drops.at.netns, drops.reason);
}

const char* what_is_wrong(std::string_view reason) {
    if (reason.ends_with("NOTFOUND") && !reason.ends_with("KEYNOTFOUND"))
        return "are not signed, and have to be";
    if (reason.ends_with("UNEXPECTED"))
        return "are signed, and no key is set here";
    return "are signed with another key";
}

/// The most frequent sender and receiver among the samples.
const drop_event* example(const DropFacts& drops) {
    const auto most =
        std::ranges::max_element(drops.samples, {}, [](const auto& row) { return row.info.count; });
    return most == drops.samples.end() ? nullptr : &most->record;
}

/// Whoever has the receiving end on this host.
Party receiver(const drop_event& packet, const Listeners& listeners) {
    if (packet.owner.tgid)
        return {packet.owner, packet.flow.netns};
    const ListenerFacts* listener = listeners.of(packet.flow, false);
    return listener ? Party{listener->sum.owner, listener->sum.flow.netns} : Party{};
}

DropStory story_of(const DropFacts& drops, const drop_event* packet, const Party& to,
                   const Names& names) {
    DropStory story{.id = "md5-mismatch", .layer = Layer::kTransport, .title = {}, .advice = {}};
    story.needed = true; // who signs has agreed on it with the other end
    const std::string from = packet ? address(packet->flow, true) : "a peer";
    const std::string at = packet ? endpoint(packet->flow, false) : "this host";
    story.title =
        fmt::format("packets of {} to {}{} {} (TCP {})", from, at,
                    to.owner.tgid ? fmt::format(" of {}", owner_name(to.owner, names)) : "",
                    what_is_wrong(drops.reason), drops.reason.starts_with("TCP_AO") ? "AO" : "MD5");
    story.advice.push_back(
        {fmt::format("set the same key for the other end in the configuration of both processes "
                     "(neighbor password in BGP daemons), then restart the session: here for {}, "
                     "there for {}",
                     from, at),
         in_netns(drops.at.netns, names) + "ss -tinpao"});
    return story;
}

} // namespace

std::vector<Finding> detect_md5_mismatch(const Facts& facts) {
    const Listeners listeners(facts.total);
    std::vector<Finding> findings;
    for (const DropFacts& drops : facts.drops().of("md5-mismatch", per_reason)) {
        const drop_event* packet = example(drops);
        const Party to = packet ? receiver(*packet, listeners) : Party{};
        auto finding =
            drop_finding(story_of(drops, packet, to, facts.total.names), drops, facts.total);
        if (!finding)
            continue;
        if (to.owner.tgid) // one of both ends has the wrong key; this is the one on this host
            finding->culprit = to;
        if (packet) {
            finding->where.local = endpoint(packet->flow, false);
            finding->where.remote = address(packet->flow, true);
        }
        findings.push_back(std::move(*finding));
    }
    return findings;
}

} // namespace culprit
