// SPDX-License-Identifier: MIT
// qdisc-drop. Claim: an egress queue of this host is given more than it may hold or send, and drops
// a share that hurts. Evidence: dropped packets, the same in the qdisc's own counter, who has most
// of the queue, whose packets are dropped or wait. TCP learns of these drops at once and sends
// again without a retransmission, so there may be none. Looks alike: a burst of a moment, the few
// drops by which TCP finds the rate, active queue management at work (info), a device without
// carrier, whose queue counts nothing (local-drop), tc filters (another reason).
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "detect/drops.h"
#include "detect/queue_waits.h"
#include "detect/queues.h"
#include "detect/receivers.h"
#include "detect/thresholds.h"
#include "model/format.h"
#include "util/text.h"

namespace culprit {

namespace {

bool is_managed(const qdisc_stats& qdisc) {
    constexpr std::string_view kManaged[] = {"fq_codel", "codel",   "cake", "pie",
                                             "fq_pie",   "dualpi2", "red",  "sfb"};
    return std::ranges::find(kManaged, until_nul(qdisc.id)) != std::end(kManaged);
}

/// The part of these drops that is one device's. Who sends again is not known by device: it stays
/// with the device that dropped most.
DropFacts of_device(const DropFacts& all, std::uint32_t ifindex) {
    DropFacts part = all;
    part.packets = all.devices.at(ifindex);
    part.devices = {{ifindex, part.packets}};
    std::erase_if(part.samples,
                  [&](const auto& sample) { return sample.record.flow.ifindex != ifindex; });
    if (all.main_device() == ifindex)
        return part;
    part.affected.clear();
    part.again.clear();
    part.segs_again = part.conversations = part.syn_conversations = part.socket_samples = 0;
    for (const auto& [drop, info] : part.samples) {
        part.socket_samples += drop.owner.tgid ? info.count : 0;
        add_party(part.affected, {drop.owner, drop.flow.netns});
    }
    return part;
}

std::size_t windows_with_drops(const Facts& facts, const DeviceKey& device) {
    return static_cast<std::size_t>(std::ranges::count_if(facts.windows, [&](const Window& window) {
        return std::ranges::any_of(window.rows<qdisc_stats>(ABI_QDISC_STATS), [&](const auto& row) {
            return DeviceKey(row.record.netns, row.record.ifindex) == device && row.record.drops;
        });
    }));
}

struct Overflow {
    const Facts& facts;
    const DropFacts& drops;
    DeviceKey device;
    const qdisc_stats& qdisc; // that drops
    Queues::Counted counted;
    QueueUsers users;

    double share() const {
        const std::uint64_t given = counted.sent + counted.drops;
        return given ? double(counted.drops) / double(given) : 0;
    }
    bool hurts() const {
        const double limit =
            is_managed(qdisc) ? threshold::kQueueDropShareManaged : threshold::kQueueDropShare;
        return drops.packets >= threshold::kQueueDropMin && share() >= limit &&
               windows_with_drops(facts, device) >= threshold::kQueueWindowsMin;
    }
};

/// A long queue that is full drops a little too, which is how TCP learns of it: the waiting is the
/// story, and qdisc-latency tells it. Who drops nothing but TCP's packets has no other part in it.
bool told_by_waiting(const std::vector<QueueWait>& waits, const DeviceKey& device,
                     const Overflow& overflow) {
    const auto& protocols = overflow.drops.protocols;
    const bool only_tcp = protocols.size() == 1 && protocols.contains("tcp");
    const double most =
        only_tcp ? threshold::kQueueDropShareTcp.value : threshold::kQueueDropShareManaged.value;
    return overflow.share() < most && std::ranges::any_of(waits, [&](const QueueWait& wait) {
               return DeviceKey(wait.queue.netns, wait.queue.ifindex) == device &&
                      wait.quantile_ns(0.5) >= threshold::kQueueHurtNs;
           });
}

/// Who loses or waits, but for the one who fills the queue.
std::vector<Party> victims_of(const Overflow& o) {
    const QueueUser* hog = o.users.hog();
    const auto is_hog = [&](const abi_owner& owner) {
        return hog && same_process(owner, hog->party.owner);
    };
    std::vector<Party> victims;
    for (const Party& party : o.drops.affected)
        if (!is_hog(party.owner))
            add_party(victims, party);
    for (const QueueUser* user : o.users.waiting())
        add_party(victims, user->party);
    return victims;
}

std::string title_of(const Overflow& o, const Finding& finding, const std::vector<Party>& victims) {
    const Names& names = o.facts.total.names;
    std::string text = fmt::format("the egress queue of {} ({}) overflows", finding.where.device,
                                   qdisc_name(o.qdisc.id, o.qdisc.handle, o.qdisc.parent));
    if (finding.culprit)
        text += fmt::format(": {} fills it", owner_name(finding.culprit->owner, names));
    else if (const QueueUser* hog = o.users.hog())
        text += fmt::format(": traffic from {} fills it", hog->source);
    if (!victims.empty())
        text += fmt::format("; {}{}", owner_name(victims.front().owner, names),
                            victims.size() > 1 ? " and others suffer" : " suffers");
    return text;
}

void add_evidence(Finding& finding, const Overflow& o) {
    const Window& total = o.facts.total;
    std::vector<Evidence> own;
    own.push_back({fmt::format("{} of the {} packets it was given, {}, by the qdisc's own count{}",
                               o.counted.drops, o.counted.sent + o.counted.drops,
                               percent(o.share()), qdisc_limits(o.qdisc)),
                   o.share(), "ratio", "RTM_GETQDISC TCA_STATS2"});
    if (!o.users.all.empty())
        own.push_back({"of the bytes in the queue: " + o.users.text(total.names), std::nullopt, "",
                       "qdisc_dequeue"});
    if (!o.drops.segs_again && o.drops.protocols.contains("tcp"))
        own.push_back({"TCP slows down at once and sends again without a retransmission",
                       std::nullopt, "", "tcp_retransmit_skb"});
    if (const auto errors = udp_growth(total, o.device.first).sndbuf)
        own.push_back(
            {fmt::format("{} datagrams were refused after sendto() had accepted them", errors),
             double(errors), "datagrams", "Udp.SndbufErrors"});
    finding.evidence.insert(finding.evidence.begin() + 1, own.begin(), own.end());
}

std::vector<Advice> advice_for(const Overflow& o, const std::string& device) {
    const std::string in = in_netns(o.device.first, o.facts.total.names);
    std::vector<Advice> advice = {{"see which queue drops, and at which rate",
                                   in + "tc -s qdisc show dev " + shell_word(device)}};
    if (o.users.hog())
        advice.push_back({"limit the sender that fills the queue, or queue it apart from the "
                          "others (fq_codel, a class of its own); a longer queue turns the drops "
                          "into waiting",
                          ""});
    else
        advice.push_back({"the link or its shaper has less than its senders offer: raise the rate, "
                          "or lower the demand",
                          ""});
    return advice;
}

std::optional<Finding> overflow_finding(const Overflow& o) {
    DropStory story{.id = "qdisc-drop", .layer = Layer::kDataLink, .needed = o.hurts()};
    auto finding = drop_finding(story, o.drops, o.facts.total);
    if (!finding)
        return finding;
    if (const QueueUser* hog = o.users.hog(); hog && hog->party.owner.tgid)
        finding->culprit = hog->party;
    const std::vector<Party> victims = victims_of(o);
    finding->severity = !o.hurts()        ? Severity::kInfo
                        : victims.empty() ? Severity::kWarning
                                          : Severity::kCritical;
    finding->confidence = o.hurts() ? 0.97 : 0.6;
    if (!victims.empty())
        finding->affected = victims;
    finding->title = title_of(o, *finding, victims);
    add_evidence(*finding, o);
    finding->advice = advice_for(o, finding->where.device);
    return finding;
}

/// Nothing in the queue's own count: the device has none that counts, as without carrier.
std::optional<Finding> no_queue_finding(const Facts& facts, const DropFacts& drops) {
    const std::string name = device(drops.at.netns, drops.main_device(), facts.total.names);
    DropStory story{.id = "local-drop", .layer = Layer::kDataLink};
    story.title = fmt::format("packets for {} are dropped before its queue, {} at {}", name,
                              drops.reason, drops.symbol);
    story.advice.push_back(
        {"look at the device: is it up, has it carrier",
         in_netns(drops.at.netns, facts.total.names) + "ip -d link show dev " + shell_word(name)});
    return drop_finding(story, drops, facts.total);
}

void add(std::vector<Finding>& findings, std::optional<Finding> finding) {
    if (finding)
        findings.push_back(std::move(*finding));
}

} // namespace

std::vector<Finding> detect_qdisc_drop(const Facts& facts) {
    std::vector<Finding> findings;
    const auto by_netns = [](const DropFacts& drops) { return std::to_string(drops.at.netns); };
    const Queues queues(facts.total);
    const std::vector<QueueWait> waits = standing_queues(facts);
    for (const DropFacts& all : facts.drops().of("qdisc-drop", by_netns))
        for (const auto& [ifindex, packets] : all.devices) {
            const DropFacts drops = of_device(all, ifindex);
            const DeviceKey device(drops.at.netns, ifindex);
            const qdisc_stats* qdisc = queues.dropping(device);
            if (!qdisc) {
                add(findings, no_queue_finding(facts, drops));
                continue;
            }
            const Overflow overflow{
                facts, drops, device, *qdisc, queues.counted(device), queues.users_of(device)};
            if (!told_by_waiting(waits, device, overflow))
                add(findings, overflow_finding(overflow));
        }
    return findings;
}

} // namespace culprit
