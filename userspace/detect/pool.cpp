// SPDX-License-Identifier: MIT
// TIME_WAIT is a share because it costs ports and memory in proportion; CLOSE_WAIT is a count
// because each one is a descriptor that a process forgot.
#include "detect/pool.h"

#include <netinet/tcp.h>

#include <fmt/format.h>

#include "detect/thresholds.h"

namespace culprit {

using namespace threshold;

std::vector<PoolIssue> pool_issues(const Inventory& inventory) {
    std::vector<PoolIssue> issues;
    const std::uint64_t all = inventory.tcp_connections();
    const auto share = [&](std::uint64_t part) {
        return all < kPoolSmall ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(all);
    };
    const auto check = [&](const char* id, double value, double limit, const std::string& text) {
        if (value > limit)
            issues.push_back({id, text, value, limit});
    };
    const std::uint64_t time_wait = inventory.in_state(TCP_TIME_WAIT);
    check("time-wait-share", share(time_wait), kPoolTimeWaitPercent,
          fmt::format("{} of {} connections are in TIME_WAIT: this host closes many short "
                      "connections; keep them open, or let the peer close first",
                      time_wait, all));
    const std::uint64_t close_wait = inventory.in_state(TCP_CLOSE_WAIT);
    check("close-wait-count", static_cast<double>(close_wait), kPoolCloseWait,
          fmt::format("{} connections are in CLOSE_WAIT: the peer closed them, the process does "
                      "not; it leaks descriptors",
                      close_wait));
    check("connection-count", static_cast<double>(all), kPoolConnections,
          fmt::format("{} connections: look at memory, descriptors and conntrack limits", all));
    check("failing-share", share(failing(inventory.tcp)), kPoolFailingPercent,
          fmt::format("{} of {} connections wait for an answer in SYN_SENT, SYN_RECV, FIN_WAIT1, "
                      "CLOSE_WAIT, LAST_ACK or CLOSING",
                      failing(inventory.tcp), all));
    return issues;
}

} // namespace culprit
