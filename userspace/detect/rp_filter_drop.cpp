// SPDX-License-Identifier: MIT
// rp-filter-drop. Claim: the reverse path filter drops packets that somebody needs, because the way
// back to their source leads elsewhere. Evidence: drops with that reason, attempts that repeat or
// sockets of this host that wait, the setting. Looks alike: forged sources, which the filter is for
// (no attempts that repeat, a small share: info at most).
#include <algorithm>

#include <fmt/format.h>

#include "detect/routes.h"
#include "model/format.h"
#include "util/text.h"

namespace culprit {

namespace {

std::string setting_text(const DropFacts& drops, const std::string& device, const Window& total) {
    const Routing* routing = routing_of(total, drops.at.netns);
    if (!routing)
        return "";
    const auto it = routing->devices.find(drops.main_device());
    if (it == routing->devices.end())
        return "";
    const std::uint32_t used = std::max(routing->all.rp_filter, it->second.rp_filter);
    return fmt::format("net.ipv4.conf.all.rp_filter = {}, net.ipv4.conf.{}.rp_filter = {}: {}",
                       routing->all.rp_filter, device, it->second.rp_filter,
                       used == 1   ? "strict"
                       : used == 2 ? "loose"
                                   : "off");
}

} // namespace

std::vector<Finding> detect_rp_filter_drop(const Facts& facts) {
    std::vector<Finding> findings;
    const Names& names = facts.total.names;
    for (const DropFacts& drops : facts.drops().of("rp-filter-drop")) {
        const std::string dev = device(drops.at.netns, drops.main_device(), names);
        const std::string source = main_source(drops);
        const std::string in = in_netns(drops.at.netns, names);
        std::string key = dev; // sysctl takes a slash for a dot within a name
        std::ranges::replace(key, '.', '/');
        DropStory story{.id = "rp-filter-drop", .layer = Layer::kNetwork};
        story.title = fmt::format("the reverse path filter of {} drops packets from {}", dev,
                                  source.empty() ? "unexpected sources" : source);
        story.needed = is_awaited(drops) || is_much(drops, facts.total);
        story.advice = {{"the way back to the source leads by another device: mend the route",
                         fmt::format("{}ip route get {}", in, source.empty() ? "SOURCE" : source)},
                        {"or, where ways may differ, filter loosely",
                         fmt::format("{}sysctl -w {}", in,
                                     shell_word("net.ipv4.conf." + key + ".rp_filter=2"))}};
        auto finding = drop_finding(story, drops, facts.total);
        if (!finding)
            continue;
        finding->where.remote = source;
        if (const std::string setting = setting_text(drops, dev, facts.total); !setting.empty())
            finding->evidence.push_back({setting, std::nullopt, "", "rtnetlink"});
        findings.push_back(std::move(*finding));
    }
    return findings;
}

} // namespace culprit
