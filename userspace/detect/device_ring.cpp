// SPDX-License-Identifier: MIT
// tx-ring-full, nic-tx-timeout. Claim: the device does not take what it is given: its ring is full,
// because the process behind a TUN device does not read or the hardware is slow; or a transmit
// queue hung. Evidence: drops at the ring, refusals and time-outs of the driver. Looks alike: a
// queue of the stack that is full (another place); a driver that is busy: it takes the packet
// later, nothing is lost (info, and only when it goes on).
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "abi/nic.h"
#include "detect/below_drop.h"
#include "detect/thresholds.h"
#include "model/format.h"
#include "util/text.h"

namespace culprit {

namespace {

void blame_reader(DropStory& story, const program_total& reader, const Names& names) {
    const std::string who = owner_name(reader.owner, names);
    const std::string pid = std::to_string(reader.owner.tgid);
    if (reader.state == 'T') {
        story.title += fmt::format(" because {} is stopped and does not read it", who);
        story.advice = {{"let the process go on", "kill -CONT " + pid}};
    } else {
        story.title += fmt::format(" because {} reads it too slowly", who);
        story.advice = {{"see what keeps the process from reading", "top -H -p " + pid}};
    }
}

std::optional<Finding> ring_finding(const DropFacts& drops, const Window& total) {
    const std::string dev = device(drops.at.netns, drops.main_device(), total.names);
    const auto readers = attached_to(total, drops.at.netns, drops.main_device(), ABI_PROGRAM_TUN);
    DropStory story{.id = "tx-ring-full", .layer = Layer::kPhysical};
    story.title = fmt::format("the ring of TUN device {} is full", dev);
    if (!readers.empty()) {
        const program_total& reader = readers.front();
        const auto all = double(std::max<std::uint64_t>(reader.drops + reader.packets, 1));
        if (readers.size() == 1) // which of several is slow is not known
            blame_reader(story, reader, total.names);
        story.needed = double(reader.drops) / all >= threshold::kRingShare;
    }
    story.advice.push_back({"a longer ring takes longer bursts, no more",
                            fmt::format("{}ip link set dev {} txqueuelen 2000",
                                        in_netns(drops.at.netns, total.names), shell_word(dev))});
    auto finding = drop_finding(story, drops, total);
    if (!finding)
        return finding;
    for (const program_total& reader : readers) {
        if (readers.size() == 1)
            finding->culprit = Party{reader.owner, drops.at.netns};
        finding->evidence.push_back(
            {fmt::format("{} holds the device open, which sent {} packets and lost {}",
                         owner_name(reader.owner, total.names), reader.packets, reader.drops),
             std::nullopt, "", "/proc/PID/fdinfo, RTM_GETLINK"});
    }
    return finding;
}

/// A driver that says "busy" again and again instead of stopping its queue.
std::optional<Finding> busy_finding(const nic_total& nic, const Window& total) {
    if (nic.busy < threshold::kBusyMin)
        return std::nullopt;
    const std::string dev = device(nic.netns, nic.ifindex, total.names);
    Finding finding{.id = "tx-ring-full", .layer = Layer::kPhysical, .confidence = 0.7};
    finding.severity = Severity::kInfo; // nothing is lost
    finding.title =
        fmt::format("the transmit ring of {} has no room: packets wait for its driver", dev);
    finding.where = {.device = dev, .netns = nic.netns};
    finding.count = nic.busy;
    finding.rate_per_s = per_second(total, double(nic.busy));
    finding.evidence.push_back({fmt::format("the driver was busy {} times", nic.busy),
                                static_cast<double>(nic.busy), "times", "net_dev_xmit"});
    finding.advice = {
        {"look at the length of its rings, and at pause frames",
         fmt::format("{}ethtool -g {}", in_netns(nic.netns, total.names), shell_word(dev))}};
    finding.verify = verify_in_netns(finding);
    return finding;
}

} // namespace

std::vector<Finding> detect_tx_ring_full(const Facts& facts) {
    std::vector<Finding> findings;
    for (const DropFacts& drops : facts.drops().of("tx-ring-full"))
        if (auto finding = ring_finding(drops, facts.total))
            findings.push_back(std::move(*finding));
    for (const auto& [nic, info] : facts.total.rows<nic_total>(ABI_NIC_TOTAL))
        if (auto finding = busy_finding(nic, facts.total))
            findings.push_back(std::move(*finding));
    return findings;
}

std::vector<Finding> detect_nic_tx_timeout(const Facts& facts) {
    struct Hung {
        std::map<std::uint32_t, std::uint64_t> queues; // -> times
        std::uint64_t times = 0, first_ns = 0;
    };
    std::map<std::pair<std::uint32_t, std::uint32_t>, Hung> devices;
    for (const auto& [event, info] : facts.total.rows<nic_event>(ABI_NIC))
        if (event.type == ABI_NIC_TIMEOUT) {
            Hung& hung = devices[{event.netns, event.ifindex}];
            hung.queues[event.queue] += info.count;
            hung.times += info.count;
            hung.first_ns = hung.first_ns ? std::min(hung.first_ns, info.first_ns) : info.first_ns;
        }
    std::vector<Finding> findings;
    for (const auto& [at, hung] : devices) {
        const std::string dev = device(at.first, at.second, facts.total.names);
        const std::string in = in_netns(at.first, facts.total.names);
        Finding finding{.id = "nic-tx-timeout", .layer = Layer::kPhysical};
        finding.severity = Severity::kCritical;
        finding.confidence = 0.95;
        finding.title = fmt::format("transmit queue {} of {} hung {} times",
                                    hung.queues.begin()->first, dev, hung.times);
        finding.where = {.device = dev, .netns = at.first};
        finding.first_ns = hung.first_ns;
        finding.count = hung.times;
        finding.rate_per_s = per_second(facts.total, double(hung.times));
        for (const auto& [queue, times] : hung.queues)
            finding.evidence.push_back(
                {fmt::format("queue {} sent nothing for the device's time limit, {} times", queue,
                             times),
                 static_cast<double>(times), "times", "net_dev_xmit_timeout"});
        finding.advice = {
            {"the driver or the hardware is at fault: see what it reports", "dmesg | grep " + dev},
            {"compare driver and firmware with what the vendor advises",
             in + "ethtool -i " + shell_word(dev)}};
        finding.verify = verify_in_netns(finding);
        findings.push_back(std::move(finding));
    }
    return findings;
}

} // namespace culprit
