// SPDX-License-Identifier: MIT
// bdp-limited. Claim: the receive buffer is smaller than bandwidth times delay of the path need, so
// a connection sends one window per round trip and waits. Evidence: the sender's time spent waiting
// for the window, window and data in flight alike, room in the congestion window, a reader that
// leaves nothing unread, the setting that holds the buffer small. Looks alike: a slow reader (its
// queue is full: receiver-limited), a short path (any window will do), loss (the congestion window
// is small), a buffer that is still growing (info).
#include <fmt/format.h>

#include "detect/sockets.h"
#include "detect/tcp_flows.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

/// What holds the window small.
enum class Setting {
    kUnknown, // the reader is elsewhere
    kLocked,  // SO_RCVBUF
    kSysctl,  // net.ipv4.tcp_rmem
    kGrowing, // neither: the kernel may still enlarge it
};

struct SmallWindow {
    const FlowFacts* sender = nullptr;
    const FlowFacts* reader = nullptr; // nullptr: elsewhere
    Setting setting = Setting::kUnknown;
    std::uint64_t rmem_max = 0;
    double bytes = 0, rtt_us = 0;

    double rate() const { return rtt_us > 0 ? bytes / rtt_us * 1e6 : 0; }
};

bool waits_for_window(const FlowFacts& flow) {
    using namespace threshold;
    const double window = flow.while_sending(flow.sum.snd_wnd);
    return flow.active_ns() >= kSendingSeconds * 1e9 && flow.rwnd_share() >= kWindowShare &&
           flow.min_rtt_us() >= kBdpRttUs && !flow.sum.zero_window &&
           flow.while_sending(flow.sum.in_flight) >= kWindowUsed * window &&
           flow.while_sending(flow.sum.cwnd) >= kRoomToGrow * window;
}

bool reads_promptly(const FlowFacts& reader) {
    const double unread = reader.at_looks(reader.sum.unread);
    return !reader.sum.closed_window &&
           unread < threshold::kReaderFull / 2 * (unread + reader.at_looks(reader.sum.rcv_wnd));
}

Setting setting_of(const FlowFacts& reader, std::uint64_t rmem_max) {
    constexpr double kAtLimit = 0.9;
    if (reader.sum.rcvbuf_locked)
        return Setting::kLocked;
    return rmem_max && reader.at_looks(reader.sum.rcvbuf) >= kAtLimit * double(rmem_max)
               ? Setting::kSysctl
               : Setting::kGrowing;
}

std::string cause_of(const SmallWindow& window, const Names& names) {
    switch (window.setting) {
    case Setting::kLocked:
        return fmt::format("{} has set its receive buffer to {} (SO_RCVBUF)",
                           owner_name(window.reader->sum.owner, names),
                           size_text(window.reader->at_looks(window.reader->sum.rcvbuf)));
    case Setting::kSysctl:
        return fmt::format("net.ipv4.tcp_rmem allows {} of receive buffer",
                           size_text(double(window.rmem_max)));
    case Setting::kGrowing:
        return "the receive buffer is still growing";
    case Setting::kUnknown:
        break;
    }
    return "the peer offers no larger window";
}

/// A buffer that is set to no less than the kernel would give is no mistake, and what a client
/// elsewhere offers is its own affair.
bool is_too_small(const SmallWindow& window, const Window& total) {
    constexpr double kUnscaled = 65535; // RFC 7323: without the option a window is no larger
    constexpr double kAlmost = 0.9;     // rounded, and estimated from memory
    const double usual = default_buffer(total, threshold::kTcpRmemDefault);
    switch (window.setting) {
    case Setting::kLocked:
        return window.reader->at_looks(window.reader->sum.rcvbuf) <
               (window.rmem_max ? double(window.rmem_max) : usual);
    case Setting::kSysctl:
        return double(window.rmem_max) < kAlmost * usual;
    case Setting::kUnknown:
        return window.bytes <= kUnscaled && !window.sender->serves();
    case Setting::kGrowing:
        break;
    }
    return false;
}

void advise(Finding& finding, const SmallWindow& window, const Names& names) {
    if (window.setting == Setting::kLocked)
        finding.advice.push_back(
            {"do not set SO_RCVBUF: the kernel sizes the buffer by itself, and "
             "a size set never grows",
             in_netns(window.reader->sum.flow.netns, names) + "ss -tnmi"});
    else if (window.setting == Setting::kSysctl)
        finding.advice.push_back(
            {fmt::format("allow larger buffers (now {}); each busy connection may then take that "
                         "much memory",
                         window.rmem_max),
             fmt::format(
                 "{}sysctl -w net.ipv4.tcp_rmem='4096 131072 {}'",
                 in_netns(window.reader->sum.flow.netns, names),
                 std::max<std::uint64_t>(threshold::kTcpRmemDefault, 2 * window.rmem_max))});
    else
        finding.advice.push_back(
            {"look at receive buffer and window scaling of the peer's socket", ""});
}

Finding describe(const SmallWindow& window, const Window& total) {
    const FlowFacts& sender = *window.sender;
    const FlowFacts& seen = window.reader ? *window.reader : sender;
    Finding finding{.id = "bdp-limited"};
    finding.severity = is_too_small(window, total) ? Severity::kWarning : Severity::kInfo;
    finding.confidence = window.reader ? 0.9 : 0.7;
    if (window.setting == Setting::kLocked)
        finding.culprit = window.reader->party();
    add_party(finding.affected, sender.party());
    finding.where = {.local = seen.serves() ? seen.service() : "",
                     .remote = seen.serves() ? seen.peer() : seen.service(),
                     .netns = seen.sum.flow.netns};
    finding.title =
        fmt::format("{} cannot send more than {} to {}: {}",
                    owner_name(sender.sum.owner, total.names), rate_text(window.rate()),
                    window.reader ? owner_name(seen.sum.owner, total.names) : finding.where.remote,
                    cause_of(window, total.names));
    finding.first_ns = sender.first_ns;
    finding.count = sender.sum.sending;
    finding.rate_per_s = per_second(total, double(finding.count));
    finding.evidence.push_back(
        {fmt::format("{} of the time with data to send it waited for the window, {} per round trip "
                     "of {}",
                     percent(sender.rwnd_share()), size_text(window.bytes),
                     duration(static_cast<std::uint64_t>(window.rtt_us * 1000))),
         sender.rwnd_share(), "ratio", "tcp_sock.chrono_stat, snd_wnd"});
    finding.evidence.push_back(
        {fmt::format("in flight {}, while the network would take {} (congestion window)",
                     size_text(sender.while_sending(sender.sum.in_flight)),
                     size_text(sender.while_sending(sender.sum.cwnd))),
         sender.while_sending(sender.sum.cwnd), "bytes", "tcp_sock.snd_cwnd"});
    if (window.reader)
        finding.evidence.push_back({fmt::format("the reader keeps up: {} unread on average",
                                                size_text(seen.at_looks(seen.sum.unread))),
                                    seen.at_looks(seen.sum.unread), "bytes",
                                    "tcp_sock.copied_seq"});
    advise(finding, window, total.names);
    finding.verify = verify_in_netns(finding);
    return finding;
}

} // namespace

std::vector<Finding> detect_bdp_limited(const Facts& facts) {
    const TcpFlows& flows = facts.flows();
    std::vector<Finding> findings;
    for (const FlowFacts& sender : flows.all()) {
        if (!waits_for_window(sender))
            continue;
        SmallWindow window{.sender = &sender};
        window.bytes = sender.while_sending(sender.sum.snd_wnd);
        window.rtt_us = sender.rtt_us();
        for (const FlowFacts* other : flows.others(sender))
            if (!window.reader || other->sum.bytes_received > window.reader->sum.bytes_received)
                window.reader = other;
        if (window.reader) {
            if (!reads_promptly(*window.reader))
                continue;
            window.rmem_max =
                gauge_of(facts.total, window.reader->sum.flow.netns, gauge("tcp_rmem.max"))
                    .value_or(0);
            window.setting = setting_of(*window.reader, window.rmem_max);
        }
        findings.push_back(describe(window, facts.total));
    }
    limit_per_process(findings);
    return findings;
}

} // namespace culprit
