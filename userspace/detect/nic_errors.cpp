// SPDX-License-Identifier: MIT
// nic-errors. Claim: a device receives or sends damaged frames, or loses them itself. Evidence: its
// error counters by kind, and its driver's. Looks alike: protocols nobody handles here
// (rx_nohandler, rx_dropped: noise), frames that are too long (mtu-mismatch), a link that is down
// (link-flap), a few errors in a lot of traffic.
#include <algorithm>

#include <fmt/format.h>

#include "detect/links.h"
#include "detect/thresholds.h"
#include "model/format.h"
#include "util/text.h"

namespace culprit {

namespace {

struct ErrorKind {
    const char* name;
    __u64 link_total::*counter;
    const char* meaning;
    const char* advice;
};

constexpr const char* kMedium =
    "change the cable or transceiver, clean the fibre, try another port";
constexpr const char* kHost = "the host takes frames too slowly: larger rings, more queues, IRQ "
                              "affinity";
constexpr const char* kDuplex = "both ends disagree on duplex: let both negotiate";

constexpr ErrorKind kReceive[] = {
    {"rx_crc", &link_total::rx_crc, "frames damaged on the way", kMedium},
    {"rx_frame", &link_total::rx_frame, "malformed frames", kMedium},
    {"rx_fifo", &link_total::rx_fifo, "the device's memory overflowed", kHost},
    {"rx_over", &link_total::rx_over, "the device's ring overflowed", kHost},
    {"rx_missed", &link_total::rx_missed, "the host had no buffer for them", kHost},
};
constexpr ErrorKind kTransmit[] = {
    {"tx_carrier", &link_total::tx_carrier, "no carrier while sending", kMedium},
    {"tx_aborted", &link_total::tx_aborted, "given up", kDuplex},
    {"tx_window", &link_total::tx_window, "late collisions", kDuplex},
    {"tx_fifo", &link_total::tx_fifo, "the device was not fed fast enough", kHost},
    {"tx_heartbeat", &link_total::tx_heartbeat, "no heartbeat", kMedium},
};

/// Errors of one direction of a device.
struct Errors {
    const char* direction;
    std::uint64_t count = 0, packets = 0;
    std::vector<std::pair<std::uint64_t, ErrorKind>> kinds; // worst first

    double share() const { return count ? double(count) / double(count + packets) : 0; }
    bool is_fault() const {
        using namespace threshold;
        return (count > kNicErrors && share() >= kNicErrorShareMin) ||
               (count >= kNicErrorsMin && share() >= kNicErrorShare);
    }
};

Errors sum_up(const char* direction, const link_total& row, std::span<const ErrorKind> kinds,
              std::uint64_t all, std::uint64_t packets) {
    Errors errors{.direction = direction, .packets = packets};
    std::uint64_t known = 0;
    for (const ErrorKind& kind : kinds) {
        if (row.*kind.counter)
            errors.kinds.emplace_back(row.*kind.counter, kind);
        known += row.*kind.counter;
    }
    std::ranges::stable_sort(errors.kinds, std::greater{}, [](const auto& k) { return k.first; });
    errors.count = std::max(all, known);
    return errors;
}

Errors received(const link_total& row) {
    const std::uint64_t size = row.rx_length; // told of by mtu-mismatch
    return sum_up("received", row, kReceive,
                  row.rx_errors + row.rx_missed > size ? row.rx_errors + row.rx_missed - size : 0,
                  row.rx_packets);
}

Errors sent(const link_total& row) {
    return sum_up("sent", row, kTransmit, row.tx_errors, row.tx_packets);
}

/// What the driver says, largest first.
std::string driver_text(const Window& total, const LinkFacts& link) {
    std::vector<std::pair<std::uint64_t, std::string>> counters;
    for (const auto& [stat, info] : total.rows<link_stat>(ABI_LINK_STAT))
        if (stat.netns == link.sum.netns && stat.ifindex == link.sum.ifindex)
            counters.emplace_back(stat.growth,
                                  std::string(stat.name, ::strnlen(stat.name, sizeof(stat.name))));
    std::ranges::sort(counters, std::greater{});
    std::string text;
    for (std::size_t i = 0; i < std::min<std::size_t>(counters.size(), 3); i++)
        text += fmt::format("{}{} {}", i ? ", " : "", counters[i].second, counters[i].first);
    return text;
}

void add_advice(Finding& finding, const Errors& errors, const LinkFacts& link, const Names& names) {
    const bool tunnel = !link.hardware() && !errors.kinds.empty() &&
                        errors.kinds.front().second.counter == &link_total::tx_carrier;
    const char* text = tunnel                 ? "the tunnel finds no route to its other end"
                       : errors.kinds.empty() ? "the driver's counters tell what they are"
                                              : errors.kinds.front().second.advice;
    const std::string dev = shell_word(link.name);
    finding.advice.push_back({text, fmt::format("{}ethtool -S {}; {}ip -s -s link show {}",
                                                in_netns(link.sum.netns, names), dev,
                                                in_netns(link.sum.netns, names), dev)});
}

Finding describe(const Errors& errors, const LinkFacts& link, const Window& total) {
    Finding finding{.id = "nic-errors", .layer = Layer::kPhysical};
    finding.severity =
        errors.share() >= threshold::kNicErrorShareCritical && errors.count > threshold::kNicErrors
            ? Severity::kCritical
            : Severity::kWarning;
    finding.confidence = 0.9;
    finding.where = {.device = link.name, .netns = link.sum.netns};
    finding.first_ns = link.info.first_ns;
    finding.count = errors.count;
    finding.rate_per_s = per_second(total, double(errors.count));
    finding.title = fmt::format("{} has errors in {} of the packets {}", link.name,
                                percent(errors.share()), errors.direction);
    finding.evidence.push_back({fmt::format("{} errors, {} packets {} without", errors.count,
                                            errors.packets, errors.direction),
                                double(errors.count), "errors", "rtnetlink"});
    for (const auto& [count, kind] : errors.kinds)
        finding.evidence.push_back({fmt::format("{} {}: {}", count, kind.name, kind.meaning),
                                    double(count), "errors", "rtnetlink"});
    if (const std::string driver = driver_text(total, link); !driver.empty())
        finding.evidence.push_back({"its driver counts " + driver, std::nullopt, "", "ethtool -S"});
    if (link.sum.speed_mbit)
        finding.evidence.push_back({fmt::format("{} Mbit/s, {} duplex", link.sum.speed_mbit,
                                                link.sum.duplex == 0 ? "half" : "full"),
                                    double(link.sum.speed_mbit), "Mbit/s", "ethtool"});
    add_advice(finding, errors, link, total.names);
    finding.verify = verify_in_netns(finding);
    return finding;
}

} // namespace

std::vector<Finding> detect_nic_errors(const Facts& facts) {
    std::vector<Finding> findings;
    for (const auto& [key, link] : facts.links().all()) {
        if (link.is("bond") || link.is("team"))
            continue; // its counters are the sums of its parts', which are told themselves
        for (const Errors& errors : {received(link.sum), sent(link.sum)})
            if (errors.is_fault())
                findings.push_back(describe(errors, link, facts.total));
    }
    return findings;
}

} // namespace culprit
