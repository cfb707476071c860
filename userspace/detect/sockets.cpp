// SPDX-License-Identifier: MIT
// Sums over socket_total and close rows.
#include "detect/sockets.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "detect/receivers.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

bool is_loopback(const abi_flow& flow) {
    if (flow.family == AF_INET)
        return flow.remote[0] == 127;
    return flow.remote[15] == 1 &&
           std::all_of(flow.remote, flow.remote + 15, [](std::uint8_t byte) { return byte == 0; });
}

/// Documentation/networking/ip-sysctl.rst: tcp_tw_reuse.
bool may_reuse(const Window& total, const abi_flow& flow) {
    constexpr std::uint64_t kAlways = 1, kLoopback = 2;
    const auto reuse = gauge_of(total, flow.netns, gauge("tcp_tw_reuse"));
    return reuse == kAlways || (reuse == kLoopback && is_loopback(flow));
}

std::uint64_t ports_of(const Window& total, std::uint32_t netns) {
    const auto low = gauge_of(total, netns, gauge("ip_local_port_range.low"));
    const auto high = gauge_of(total, netns, gauge("ip_local_port_range.high"));
    return low && high && *high >= *low ? *high - *low + 1 : 0;
}

} // namespace

void Shares::add(const abi_owner& owner, std::uint64_t count, std::uint64_t first_ns) {
    all += count;
    const auto known = std::ranges::find_if(
        parts, [&](const Share& share) { return same_process(share.owner, owner); });
    if (known == parts.end()) {
        parts.push_back({owner, count, first_ns});
        return;
    }
    known->count += count;
    known->first_ns = std::min(known->first_ns, first_ns);
}

void Shares::sort() {
    std::ranges::stable_sort(parts, std::greater{}, &Share::count);
}

Share Shares::main() const {
    if (parts.empty() || 2 * parts.front().count < all)
        return {};
    return parts.front();
}

std::uint8_t role_of(const close_event& closed) {
    if (closed.role != ABI_ROLE_UNKNOWN)
        return closed.role;
    return closed.service_port == closed.flow.local_port ? ABI_ROLE_SERVER : ABI_ROLE_CLIENT;
}

Shares entries_into_time_wait(const Window& total,
                              const std::function<bool(const close_event&)>& wanted) {
    Shares shares;
    for (const auto& [closed, info] : total.rows<close_event>(ABI_CLOSE)) {
        const bool enters =
            closed.ending == ABI_ENDING_FIN &&
            (closed.last_state == TCP_FIN_WAIT2 || closed.last_state == TCP_CLOSING);
        if (enters && wanted(closed))
            shares.add(closed.owner, info.count, info.first_ns);
    }
    shares.sort();
    return shares;
}

double Pressure::share() const {
    return limit ? static_cast<double>(used) / static_cast<double>(limit) : 0;
}

std::optional<double> Pressure::seconds_left() const {
    if (used >= limit || growth_per_s <= 0 || (levels_off > 0 && levels_off < double(limit)))
        return std::nullopt;
    return double(limit - used) / growth_per_s;
}

bool Pressure::is_high() const {
    if (share() >= threshold::kLimitHigh)
        return true;
    const auto left = seconds_left();
    return share() >= threshold::kLimitBegun && left && *left <= threshold::kLimitSoonSeconds;
}

std::string Pressure::text(const std::string& what) const {
    std::string text = fmt::format("{} of {} {} ({})", used, limit, what, percent(share()));
    if (const auto left = seconds_left())
        text +=
            fmt::format(", all of them in {:.0f} s at {:.0f} more per second", *left, growth_per_s);
    else if (levels_off > 0 && used < limit)
        text += fmt::format("; levels off at about {:.0f}", levels_off);
    return text;
}

/// net/ipv4/tcp.c: tcp_init(): the 128th part of the memory that buffers may take; tcp_mem[2] is
/// three halves of its 16th part, in pages.
double default_buffer(const Window& total, std::uint64_t most) {
    constexpr double kPage = 4096;
    const auto pages = host_limit(total, gauge("tcp_mem.high"));
    return pages && *pages ? std::min(double(most), double(*pages) * kPage / 12) : double(most);
}

bool has_no_port(const connect_event& attempt) {
    return attempt.result == ABI_RESULT_LOCAL && attempt.error == EADDRNOTAVAIL;
}

std::string port_use_key(const abi_flow& flow) {
    std::string key(reinterpret_cast<const char*>(flow.local), sizeof(flow.local));
    key.append(reinterpret_cast<const char*>(flow.remote), sizeof(flow.remote));
    return key + fmt::format("{} {}", flow.netns, flow.remote_port);
}

std::vector<PortUse> port_use(const Window& total) {
    std::map<std::string, PortUse> found;
    for (const auto& [row, info] : total.rows<socket_total>(ABI_SOCKET_TOTAL)) {
        const bool time_wait = row.state == TCP_TIME_WAIT;
        if (row.role != ABI_ROLE_CLIENT || !row.flow.remote_port ||
            (time_wait && may_reuse(total, row.flow)))
            continue;
        PortUse& use = found[port_use_key(row.flow)];
        use.flow = row.flow;
        use.at_begin += row.at_begin;
        use.at_end += row.at_end;
        if (time_wait)
            use.time_wait += row.at_end;
        else
            use.holders.add(row.owner, row.at_end, info.first_ns);
    }
    std::vector<PortUse> all;
    for (auto& [key, use] : found) {
        use.range = ports_of(total, use.flow.netns);
        use.holders.sort();
        all.push_back(std::move(use));
    }
    return all;
}

std::optional<std::uint64_t> gauge_of(const Window& total, std::uint32_t netns, std::size_t index) {
    const auto counters = total.counters.find(netns);
    return counters == total.counters.end() ? std::nullopt : counters->second.gauges.at(index);
}

} // namespace culprit
