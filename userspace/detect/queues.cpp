// SPDX-License-Identifier: MIT
// Puts the shares of a queue together by process, and finds the qdisc that is meant among those of
// a device.
#include "detect/queues.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "detect/thresholds.h"
#include "model/format.h"
#include "util/text.h"

namespace culprit {

namespace {

constexpr std::uint32_t kRoot = 0xffffffff;

using UserKey = std::tuple<std::uint32_t, std::uint64_t, std::string, bool>;

UserKey key_of(const qdisc_share& share) {
    if (share.owner.tgid)
        return {share.owner.tgid, share.owner.start_ns, "", false};
    return {0, 0, share.flow.family ? address(share.flow, true) : "", !share.flow.netns};
}

std::string user_text(const QueueUser& user, const Names& names) {
    if (user.party.owner.tgid)
        return owner_name(user.party.owner, names);
    if (user.source.empty())
        return "others";
    return user.source + (user.forwarded ? " (forwarded)" : " (unknown process)");
}

std::string size_text(std::uint64_t bytes) {
    if (bytes < 10'000)
        return fmt::format("{} bytes", bytes);
    return bytes < 10'000'000 ? fmt::format("{} KB", bytes / 1000)
                              : fmt::format("{} MB", bytes / 1'000'000);
}

std::string rate_text(std::uint64_t bytes_per_s) {
    const double bits = double(bytes_per_s) * 8;
    return bits < 1e9 ? fmt::format("{:.3g} Mbit/s", bits / 1e6)
                      : fmt::format("{:.3g} Gbit/s", bits / 1e9);
}

/// A qdisc below a class of that one.
bool is_inside(const qdisc_stats& inner, const qdisc_stats& outer) {
    // a default mq and its children all have the handle 0
    return inner.parent != kRoot && inner.parent >> 16 == outer.handle >> 16 &&
           (inner.handle != outer.handle || outer.parent == kRoot);
}

template <typename Wanted>
const qdisc_stats* innermost(const std::vector<qdisc_stats>& all, const Wanted& wanted) {
    const qdisc_stats* found = nullptr;
    for (const qdisc_stats& one : all) {
        if (!wanted(one))
            continue;
        const bool deeper = found && is_inside(one, *found);
        const bool outside = found && is_inside(*found, one);
        if (!found || deeper || (!outside && wanted(one) > wanted(*found)))
            found = &one;
    }
    return found;
}

} // namespace

const QueueUser* QueueUsers::hog() const {
    if (all.empty() || share(all.front()) < threshold::kQueueHogShare)
        return nullptr;
    const QueueUser& first = all.front();
    return first.party.owner.tgid || !first.source.empty() ? &first : nullptr;
}

std::vector<const QueueUser*> QueueUsers::waiting() const {
    std::vector<const QueueUser*> out;
    for (const QueueUser& user : all) {
        // a neighbour's or a group's announcement now and then is nobody who waits
        const bool somebody = user.party.owner.tgid || user.timed >= threshold::kQueueStrangerMin;
        if (&user != hog() && somebody && user.mean_ns() >= threshold::kQueueTargetNs)
            out.push_back(&user);
    }
    return out;
}

std::string QueueUsers::text(const Names& names) const {
    constexpr std::size_t kShown = 4;
    constexpr double kWorthIt = 0.001; // less is shown as nothing
    std::string text;
    for (std::size_t i = 0; i < std::min(all.size(), kShown) && share(all[i]) >= kWorthIt; i++)
        text +=
            fmt::format("{}{} {}", i ? ", " : "", user_text(all[i], names), percent(share(all[i])));
    return text;
}

Queues::Queues(const Window& total) {
    for (const auto& [share, info] : total.rows<qdisc_share>(ABI_QDISC_SHARE))
        if (share.netns)
            x_shares.push_back(share);
    for (const auto& [stats, info] : total.rows<qdisc_stats>(ABI_QDISC_STATS))
        if (stats.netns)
            x_stats[{stats.netns, stats.ifindex}].push_back(stats);
}

template <typename Wanted>
QueueUsers Queues::users(const Wanted& wanted) const {
    std::map<UserKey, QueueUser> users;
    QueueUsers out;
    for (const qdisc_share& share : x_shares) {
        if (!wanted(share))
            continue;
        const auto [it, fresh] = users.try_emplace(key_of(share));
        QueueUser& user = it->second;
        if (fresh) {
            const bool local = !share.flow.family || share.flow.netns;
            user.party = {share.owner, local ? share.netns : 0};
            user.source = std::get<std::string>(it->first);
            user.forwarded = std::get<bool>(it->first);
        }
        user.bytes += share.bytes;
        user.timed += share.timed;
        user.sojourn_ns += share.sojourn_ns;
        user.sojourn_max_ns = std::max<std::uint64_t>(user.sojourn_max_ns, share.sojourn_max_ns);
        out.bytes += share.bytes;
    }
    for (auto& [key, user] : users)
        out.all.push_back(std::move(user));
    std::ranges::stable_sort(out.all, std::greater{}, &QueueUser::bytes);
    return out;
}

QueueUsers Queues::users_of(const DeviceKey& device) const {
    return users([&](const qdisc_share& s) { return DeviceKey(s.netns, s.ifindex) == device; });
}

QueueUsers Queues::users_of(const qdisc_total& q) const {
    return users([&](const qdisc_share& s) {
        return s.netns == q.netns && s.ifindex == q.ifindex && s.handle == q.handle &&
               s.parent == q.parent;
    });
}

const qdisc_stats* Queues::dropping(const DeviceKey& device) const {
    const auto known = x_stats.find(device);
    return known == x_stats.end()
               ? nullptr
               : innermost(known->second, [](const qdisc_stats& s) { return s.drops; });
}

const qdisc_stats* Queues::holding(const DeviceKey& device) const {
    const auto known = x_stats.find(device);
    return known == x_stats.end()
               ? nullptr
               : innermost(known->second, [](const qdisc_stats& s) { return s.backlog_bytes; });
}

Queues::Counted Queues::counted(const DeviceKey& device) const {
    Counted sum;
    const auto known = x_stats.find(device);
    if (known == x_stats.end())
        return sum;
    for (const qdisc_stats& one : known->second) {
        const bool inside = std::ranges::any_of(
            known->second, [&](const qdisc_stats& other) { return is_inside(one, other); });
        if (inside)
            continue;
        sum.sent += one.packets;
        sum.drops += one.drops;
    }
    return sum;
}

std::uint64_t Queues::drops_around(const abi_owner& owner) const {
    std::uint64_t drops = 0;
    for (const auto& [device, stats] : x_stats) {
        const bool sends = std::ranges::any_of(x_shares, [&](const qdisc_share& share) {
            return DeviceKey(share.netns, share.ifindex) == device &&
                   same_process(share.owner, owner);
        });
        drops += sends ? counted(device).drops : 0;
    }
    return drops;
}

std::string qdisc_name(const char (&id)[16], std::uint32_t handle, std::uint32_t parent) {
    std::string text = safe_text(until_nul(id));
    if (handle)
        text += fmt::format(" {:x}:", handle >> 16);
    if (parent != kRoot)
        text += fmt::format(" below {:x}:{:x}", parent >> 16, parent & 0xffff);
    return text;
}

std::string qdisc_limits(const qdisc_stats& qdisc) {
    std::string text;
    if (qdisc.limit_bytes)
        text = ", limited to " + size_text(qdisc.limit_bytes);
    if (qdisc.limit_pkts)
        text = fmt::format(", limited to {} packets", qdisc.limit_pkts);
    if (qdisc.rate_bytes)
        text += (text.empty() ? ", at " : " at ") + rate_text(qdisc.rate_bytes);
    return text;
}

} // namespace culprit
