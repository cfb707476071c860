// SPDX-License-Identifier: MIT
// mtu-mismatch. Claim: frames longer than the other end of a link takes are sent over it.
// Evidence: drops where a veth device hands a frame to its other end, with the sizes and both MTUs;
// or a device that counts frames above its own length. Looks alike: the other end does not work
// (link-down, link-flap: frames of any size go), a router that says the packet is too big
// (mtu-blackhole), damaged frames (nic-errors).
#include <fmt/format.h>

#include "detect/links.h"
#include "detect/thresholds.h"
#include "model/format.h"
#include "util/text.h"

namespace culprit {

namespace {

/// The drops at each device of the place apart.
std::vector<DropFacts> by_device(const DropFacts& drops) {
    std::vector<DropFacts> parts;
    for (const auto& [ifindex, packets] : drops.devices) {
        DropFacts& part = parts.emplace_back(drops);
        part.devices = {{ifindex, packets}};
        part.packets = packets;
        std::erase_if(part.samples,
                      [&](const auto& sample) { return sample.record.flow.ifindex != ifindex; });
    }
    return parts;
}

std::optional<Finding> refused(const DropFacts& drops, const Facts& facts) {
    const Names& names = facts.total.names;
    const LinkFacts* from = facts.links().at(drops.at.netns, drops.main_device());
    const LinkFacts* to = from ? from->peer : nullptr;
    const std::string name = device(drops.at.netns, drops.main_device(), names);
    DropStory story{.id = "mtu-mismatch", .layer = Layer::kDataLink};
    story.title =
        to ? fmt::format("{} sends frames of up to {} bytes; {} takes packets of {}", name,
                         longest_frame(drops), link_name(*to, drops.at.netns, names), to->sum.mtu)
           : fmt::format("{} sends frames of up to {} bytes, more than its other end takes", name,
                         longest_frame(drops));
    // path MTU probes of a few connections are fewer
    const std::uint64_t sent = from ? from->sum.tx_packets : 0;
    story.needed = double(drops.packets) >= threshold::kMtuShare * double(sent + drops.packets);
    story.advice.push_back({"give both ends the same MTU",
                            fmt::format("{}ip link set {} mtu {}", in_netns(drops.at.netns, names),
                                        shell_word(name), to ? std::to_string(to->sum.mtu) : "N")});
    auto finding = drop_finding(story, drops, facts.total);
    if (finding && from)
        finding->evidence.push_back({fmt::format("MTU {} here, {} there", from->sum.mtu,
                                                 to ? std::to_string(to->sum.mtu) : "unknown"),
                                     double(from->sum.mtu), "bytes", "rtnetlink"});
    return finding;
}

/// Frames above its length arrive at a device: their sender is elsewhere.
std::optional<Finding> too_long(const LinkFacts& link, const Window& total) {
    const std::uint64_t errors = link.sum.rx_length;
    const double share = errors ? double(errors) / double(errors + link.sum.rx_packets) : 0;
    if (errors <= threshold::kNicErrors &&
        (errors < threshold::kNicErrorsMin || share < threshold::kNicErrorShare))
        return std::nullopt;
    Finding finding{.id = "mtu-mismatch", .layer = Layer::kDataLink};
    finding.confidence = 0.7; // frames too short count the same
    finding.title =
        fmt::format("frames longer than its MTU of {} bytes arrive at {}", link.sum.mtu, link.name);
    finding.where = {.device = link.name, .netns = link.sum.netns};
    finding.first_ns = link.info.first_ns;
    finding.count = errors;
    finding.rate_per_s = per_second(total, double(errors));
    finding.evidence.push_back(
        {fmt::format("{} rx_length errors, {} packets without", errors, link.sum.rx_packets),
         double(errors), "errors", "rtnetlink"});
    finding.advice.push_back(
        {"give both ends of the link, and the switch between, the same MTU",
         fmt::format("{}ip link show {}", in_netns(link.sum.netns, total.names),
                     shell_word(link.name))});
    finding.verify = verify_in_netns(finding);
    return finding;
}

} // namespace

std::vector<Finding> detect_mtu_mismatch(const Facts& facts) {
    std::vector<Finding> findings;
    for (const DropFacts& place : facts.drops().of("mtu-mismatch"))
        for (const DropFacts& drops : by_device(place))
            if (frames_too_long(drops, facts.links()))
                if (auto finding = refused(drops, facts))
                    findings.push_back(std::move(*finding));
    for (const auto& [key, link] : facts.links().all())
        if (auto finding = too_long(link, facts.total))
            findings.push_back(std::move(*finding));
    return findings;
}

} // namespace culprit
