// SPDX-License-Identifier: MIT
// link-flap. Claim: a device that traffic uses stops and works again, over and over; a process does
// it, or its carrier comes and goes. Evidence: the kernel's count of lost carriers, the hook that
// sees a device stop with the process that took it down, drops and repeats meanwhile. Looks alike:
// maintenance (once, nobody hurt: info), a device that stays down (link-down), one that is removed
// (containers end all the time), a bridge that follows its ports (told of once, where it begins).
#include <fmt/format.h>

#include "detect/links.h"
#include "detect/thresholds.h"
#include "model/format.h"
#include "util/text.h"

namespace culprit {

namespace {

/// Of both ends that end tells, where it begins: the one that was taken down.
bool tells(const LinkFacts& link, const Links& links) {
    const LinkFacts* other = link.peer;
    if (!other || !other->downs())
        return !links.follows(link);
    if (link.off_times != other->off_times)
        return link.off_times > other->off_times;
    return link.key() < other->key();
}

bool flaps(const LinkFacts& link, bool hurts) {
    if (link.state() == LinkState::kGone)
        return false;
    const bool back = link.state() == LinkState::kUp;
    return link.downs() >= threshold::kFlapMin || (link.downs() && back && hurts);
}

std::string what_happens(const LinkFacts& link, const Names& names) {
    const std::string times = link.downs() == 1 ? "once" : fmt::format("{} times", link.downs());
    if (!link.off_times)
        return fmt::format("{} lost its carrier {}", link.name, times);
    return link.by.owner.tgid ? fmt::format("{} was taken down {} by {}", link.name, times,
                                            owner_name(link.by.owner, names))
                              : fmt::format("{} was taken down {}", link.name, times);
}

Advice advice_for(const LinkFacts& link, const Names& names) {
    const std::string dev = shell_word(link.name);
    if (link.by.owner.tgid)
        return {"find out why this process sets the device down; it may be a helper of another one",
                fmt::format("ps -o pid,ppid,lstart,cmd -p {}", link.by.owner.tgid)};
    if (link.hardware())
        return {"cable, transceiver, the switch's port, or the driver resets the device",
                fmt::format("{}ethtool {}; dmesg | grep -F {}", in_netns(link.sum.netns, names),
                            dev, dev)};
    return {"look at the other end of the link",
            fmt::format("{}ip -d -s link show {}", in_netns(link.sum.netns, names), dev)};
}

Finding describe(const LinkFacts& link, bool hurts, const Window& total) {
    Finding finding{.id = "link-flap", .layer = Layer::kPhysical};
    const bool used = link.packets() || (link.peer && link.peer->packets());
    finding.severity = hurts                                         ? Severity::kCritical
                       : used && link.downs() >= threshold::kFlapMin ? Severity::kWarning
                                                                     : Severity::kInfo;
    finding.confidence = hurts ? 0.95 : 0.9;
    finding.where = {.device = link.name, .netns = link.sum.netns};
    if (link.peer) {
        finding.reaches = link.peer->sum.netns;
        finding.reaches_device = link.peer->name;
    }
    if (link.by.owner.tgid)
        finding.culprit = link.by;
    finding.first_ns = link.stopped_ns ? link.stopped_ns : link.info.first_ns;
    finding.count = link.downs();
    finding.rate_per_s = per_second(total, double(link.downs()));
    finding.evidence.push_back(
        {fmt::format(
             "{} lost carriers, {} gained in {:.0f} s; {} changes since the device was made",
             link.sum.carrier_downs, link.sum.carrier_ups, total.seconds(),
             link.sum.carrier_changes_ever),
         double(link.sum.carrier_downs), "times", "rtnetlink"});
    if (link.off_times)
        finding.evidence.push_back(
            {fmt::format("taken down {} times by a process, not by the cable", link.off_times),
             double(link.off_times), "times", "qdisc_reset"});
    finding.title = what_happens(link, total.names);
    add_who_misses_it(finding, link, total);
    finding.advice.push_back(advice_for(link, total.names));
    finding.verify = verify_in_netns(finding);
    return finding;
}

} // namespace

std::vector<Finding> detect_link_flap(const Facts& facts) {
    std::vector<Finding> findings;
    for (const auto& [key, link] : facts.links().all()) {
        const bool hurts = link.hurts() || (link.peer && link.peer->hurts());
        if (flaps(link, hurts) && tells(link, facts.links()))
            findings.push_back(describe(link, hurts, facts.total));
    }
    return findings;
}

} // namespace culprit
