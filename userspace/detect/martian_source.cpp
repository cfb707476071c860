// SPDX-License-Identifier: MIT
// martian-source. Claim: packets come in from addresses that cannot be out there: this host's own,
// loopback, multicast or none. Evidence: drops with these reasons, their device and source; that
// somebody waits, or that they are much of what comes in. Looks alike: a single stray (info at
// most), a source that may exist but not behind that device (rp-filter-drop).
#include <fmt/format.h>

#include "detect/routes.h"
#include "model/format.h"
#include "util/text.h"

namespace culprit {

namespace {

const char* what(const std::string& reason) {
    if (reason == "IP_LOCAL_SOURCE")
        return "from this host's own address";
    if (reason == "IP_LOCALNET")
        return "with a loopback address";
    if (reason == "IP_INVALID_SOURCE")
        return "from an impossible source";
    return "with impossible addresses";
}

} // namespace

std::vector<Finding> detect_martian_source(const Facts& facts) {
    std::vector<Finding> findings;
    const Names& names = facts.total.names;
    for (const DropFacts& drops : facts.drops().of("martian-source")) {
        const std::string dev = device(drops.at.netns, drops.main_device(), names);
        const std::string source = main_source(drops);
        DropStory story{.id = "martian-source", .layer = Layer::kNetwork};
        story.title = fmt::format("{} receives packets {}{}", dev, what(drops.reason),
                                  source.empty() ? "" : " (source " + source + ")");
        story.needed = is_awaited(drops) || is_much(drops, facts.total);
        story.advice = {
            {"find the sender by its hardware address: a host with the same address, a loop, or a "
             "forged source",
             fmt::format("{}tcpdump -enc 10 -i {}{}", in_netns(drops.at.netns, names),
                         shell_word(dev), source.empty() ? "" : " src host " + source)}};
        auto finding = drop_finding(story, drops, facts.total);
        if (!finding)
            continue;
        finding->where.remote = source;
        findings.push_back(std::move(*finding));
    }
    return findings;
}

} // namespace culprit
