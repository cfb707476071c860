// SPDX-License-Identifier: MIT
// A window is longer than the interval in which a good queue drains, so it shows one that stands.
#include "detect/queue_waits.h"

#include <algorithm>
#include <map>

#include "detect/thresholds.h"
#include "util/text.h"

namespace culprit {

namespace {

/// Packets of theirs are held back until the sender's own time, so waiting is no fault.
bool waits_on_purpose(const qdisc_total& queue) {
    constexpr std::string_view kPaced[] = {"fq", "etf", "taprio"};
    return std::ranges::find(kPaced, until_nul(queue.id)) != std::end(kPaced);
}

bool stands(const qdisc_total& queue) {
    std::uint64_t waited = 0;
    for (std::size_t i = threshold::kQueueTargetSlot; i < ABI_HIST_SLOTS; i++)
        waited += queue.slots[i];
    return queue.timed >= threshold::kQueueTimedMin &&
           double(waited) >= threshold::kQueueStandingShare * double(queue.timed);
}

} // namespace

/// Slot i holds waits from 2^(i-1) to 2^i us, taken as spread evenly.
std::uint64_t QueueWait::quantile_ns(double share) const {
    double left = share * double(timed);
    for (std::size_t i = 0; i < slots.size(); i++) {
        const double count = double(slots[i]);
        if (left <= count && count > 0) {
            const double low = i ? double(1ULL << (i - 1)) : 0, high = double(1ULL << i);
            return static_cast<std::uint64_t>((low + (high - low) * left / count) * 1000);
        }
        left -= count;
    }
    return 0;
}

std::vector<QueueWait> standing_queues(const Facts& facts) {
    std::map<std::array<std::uint32_t, 4>, QueueWait> waits;
    for (const Window& window : facts.windows)
        for (const auto& [queue, info] : window.rows<qdisc_total>(ABI_QDISC_TOTAL)) {
            if (!queue.netns || waits_on_purpose(queue) || !stands(queue))
                continue;
            QueueWait& wait = waits[{queue.netns, queue.ifindex, queue.handle, queue.parent}];
            if (!wait.windows++) {
                wait.queue = queue;
                wait.first_ns = window.from_ns;
            }
            wait.timed += queue.timed;
            wait.backlog_bytes = std::max<std::uint64_t>(wait.backlog_bytes, queue.backlog_bytes);
            for (std::size_t i = 0; i < wait.slots.size(); i++)
                wait.slots[i] += queue.slots[i];
        }
    std::vector<QueueWait> out;
    for (const auto& [key, wait] : waits)
        if (wait.windows >= threshold::kQueueWindowsMin &&
            wait.quantile_ns(0.99) >= threshold::kQueueSlowNs)
            out.push_back(wait);
    return out;
}

} // namespace culprit
