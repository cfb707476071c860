// SPDX-License-Identifier: MIT
// link-down. Claim: a device does not work and traffic wants it. Evidence: its state at the end
// (taken down, or no carrier), drops for it and segments sent again; or it worked and carried
// traffic when the run began. Looks alike: a port that nobody uses (servers have dozens), a device
// that is being removed, one that comes and goes (link-flap), a bridge without ports.
#include <fmt/format.h>

#include "detect/links.h"
#include "detect/thresholds.h"
#include "model/format.h"
#include "util/text.h"

namespace culprit {

namespace {

bool is_down(const LinkFacts& link) {
    return link.state() == LinkState::kOff || link.state() == LinkState::kNoCarrier;
}

/// It worked in this run, with traffic. Of bridges and the like only drops tell: they stop when
/// their last user goes.
bool was_used(const LinkFacts& link) {
    return link.sum.up_ns && link.packets() && (link.hardware() || link.is("veth"));
}

/// Of both ends that end tells that was taken down.
bool tells(const LinkFacts& link, const Links& links) {
    const LinkFacts* other = link.peer;
    if (other && is_down(*other) && link.state() != other->state())
        return link.state() == LinkState::kOff;
    return other && is_down(*other) ? link.key() < other->key() : !links.follows(link);
}

std::string how(const LinkFacts& link, const Names& names) {
    if (link.state() == LinkState::kNoCarrier)
        return fmt::format("{} has no carrier", link.name);
    return link.by.owner.tgid
               ? fmt::format("{} was taken down by {}", link.name, owner_name(link.by.owner, names))
               : fmt::format("{} is switched off", link.name);
}

std::string since(const LinkFacts& link, const Window& total) {
    if (!link.sum.up_ns)
        return "since before the run";
    const std::uint64_t began = link.last_stop_ns ? link.last_stop_ns : link.sum.up_ns;
    return "for " + duration(total.to_ns > began ? total.to_ns - began : 0);
}

Severity severity_of(const LinkFacts& link, bool hurts) {
    if (hurts)
        return Severity::kCritical;
    // who takes a device down that nobody misses means it
    return link.state() == LinkState::kNoCarrier && !(link.peer && link.peer->off_times)
               ? Severity::kWarning
               : Severity::kInfo;
}

Advice advice_for(const LinkFacts& link, const Names& names) {
    const std::string in = in_netns(link.sum.netns, names), dev = shell_word(link.name);
    if (link.state() == LinkState::kOff)
        return {"switch it on again if that was not meant",
                fmt::format("{}ip link set {} up", in, dev)};
    return link.hardware() ? Advice{"cable, transceiver, or the switch's port",
                                    fmt::format("{}ethtool {}", in, dev)}
                           : Advice{"look at the other end of the link",
                                    fmt::format("{}ip -d link show {}", in, dev)};
}

Finding describe(const LinkFacts& link, bool hurts, const Window& total) {
    Finding finding{.id = "link-down", .layer = Layer::kPhysical};
    finding.severity = severity_of(link, hurts);
    finding.confidence = hurts ? 0.95 : 0.8;
    finding.where = {.device = link.name, .netns = link.sum.netns};
    if (link.peer) {
        finding.reaches = link.peer->sum.netns;
        finding.reaches_device = link.peer->name;
    }
    if (link.state() == LinkState::kOff && link.by.owner.tgid)
        finding.culprit = link.by;
    finding.first_ns = link.last_stop_ns ? link.last_stop_ns : link.info.first_ns;
    finding.count = std::max<std::uint64_t>(link.downs(), 1);
    finding.evidence.push_back(
        {fmt::format("{} {}",
                     link.state() == LinkState::kOff ? "the administrator's switch is off"
                                                     : "switched on, but no carrier",
                     since(link, total)),
         std::nullopt, "", "rtnetlink"});
    if (was_used(link))
        finding.evidence.push_back(
            {fmt::format("it worked in this run, with {} packets", link.packets()),
             double(link.packets()), "packets", "rtnetlink"});
    finding.title = fmt::format("{} {}", how(link, total.names), since(link, total));
    add_who_misses_it(finding, link, total);
    finding.advice.push_back(advice_for(link, total.names));
    finding.verify = verify_in_netns(finding);
    return finding;
}

} // namespace

std::vector<Finding> detect_link_down(const Facts& facts) {
    std::vector<Finding> findings;
    for (const auto& [key, link] : facts.links().all()) {
        const bool hurts = link.hurts() || (link.peer && link.peer->hurts());
        const bool wanted = hurts || was_used(link) || (link.peer && was_used(*link.peer));
        if (is_down(link) && wanted && link.downs() < threshold::kFlapMin &&
            tells(link, facts.links()))
            findings.push_back(describe(link, hurts, facts.total));
    }
    return findings;
}

} // namespace culprit
