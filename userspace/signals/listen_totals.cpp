// SPDX-License-Identifier: MIT
// Looks at the queues several times a tick, so that shares of time and means are known; and at a
// listener's process while connections wait for it, and now and then while it is used.
#include "signals/listen_totals.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "abi/listen.h"
#include "kernel/task_state.h"

namespace culprit {

namespace {

/// From how many requests on a SYN gets a cookie or is dropped (net/ipv4/tcp_input.c:
/// tcp_conn_request()): the accept queue's limit, and without cookies three quarters of
/// tcp_max_syn_backlog.
std::uint64_t syn_limit(const listen_value& v) {
    const std::uint32_t quarters = v.max_syn_backlog - (v.max_syn_backlog >> 2) + 1;
    return v.syncookies ? v.limit : std::min(v.limit, quarters);
}

/// One listening socket.
struct Listener {
    listen_value last{};            // as last looked at
    listen_total sampled{};         // since the last record
    std::uint32_t drops = 0;        // as of the last record
    std::uint64_t synacks = 0;      // as of the last record
    std::uint64_t owner_cpu_ns = 0; // at the last look at the process; 0 when that is long ago
    std::uint64_t owner_ns = 0;     // when that was
    bool present = false;           // at the last look; false: it closed
    bool troubled = false;          // once
};

/// The connections of one address, from its first listener to its last.
struct Group {
    std::uint64_t came = 0;       // connections that came into a queue so far
    std::int64_t taken = 0;       // out of one, so far
    std::int64_t left_behind = 0; // what the queues of closed sockets grew shorter by
    std::uint64_t came_told = 0;  // as of the last record
    std::int64_t taken_told = 0;  // as of the last record
    listen_value any{};           // one of its sockets
    std::uint32_t members = 0;    // sockets in this tick

    bool shared() const { return any.sockets > 1 || members > 1; }
    /// Moves what came since the last record into a record.
    void tell(listen_total& total) {
        total.established = came - came_told;
        total.accepted = taken > taken_told ? static_cast<std::uint64_t>(taken - taken_told) : 0;
        came_told = came;
        taken_told = std::max(taken, taken_told);
    }
};

class ListenTotals : public Totals {
public:
    void look(const MapReader& maps) override;
    void take(const MapReader& maps, std::uint64_t now_ns, const RecordSink& sink) override;

private:
    using GroupKey = std::pair<std::uint64_t, std::uint16_t>; // since when, port

    Listener& listener_of(const listen_value& value);
    void note(const listen_value& value);
    Group& group_of(const listen_value& value) {
        return x_groups[{value.group_ns, value.flow.local_port}];
    }
    void count_groups();
    void report(Listener& one, std::uint64_t now_ns, const RecordSink& sink);
    void report(Group& group, std::uint64_t now_ns, const RecordSink& sink) const;

    // as many as the kernel's maps have keys
    std::map<std::uint64_t, Listener> x_listeners; // by since_ns
    std::map<GroupKey, Group> x_groups;
};

bool in_trouble(const listen_total& total) {
    return total.drops || total.looks_full || (total.looks && total.depth > total.limit);
}

void look_at_owner(Listener& one, listen_total& total, std::uint64_t now_ns) {
    constexpr std::uint64_t kNowAndThenNs = 5'000'000'000; // counting files may take a while
    const bool trouble = in_trouble(total);
    one.troubled = one.troubled || trouble;
    const bool waited_for = trouble || one.last.depth;
    const bool due = waited_for || (total.established && now_ns - one.owner_ns >= kNowAndThenNs);
    const auto now = due && one.last.owner.tgid
                         ? read_task_state(one.last.owner.tgid, one.last.owner.start_ns)
                         : Result<TaskState>(fail(Code::kFailed, "nobody to look at"));
    if (!now) {
        one.owner_cpu_ns = 0;
        return;
    }
    one.owner_ns = now_ns;
    total.owner_looks = 1;
    total.owner_stopped = now->state == 'T'; // not 't': somebody traces it
    total.owner_running = now->state == 'R';
    total.owner_cpu_ns = one.owner_cpu_ns ? now->cpu_ns - one.owner_cpu_ns : 0;
    total.open_files = now->open_files;
    total.files_limit = now->files_limit;
    one.owner_cpu_ns = now->cpu_ns;
}

Listener& ListenTotals::listener_of(const listen_value& value) {
    const auto [it, fresh] = x_listeners.try_emplace(value.since_ns);
    if (fresh)
        it->second.drops = value.drops_before;
    return it->second;
}

void ListenTotals::note(const listen_value& value) {
    Listener& one = listener_of(value);
    one.last = value;
    one.present = true;
    listen_total& s = one.sampled;
    s.looks++;
    s.looks_full += value.depth > value.limit;
    s.depth_sum += value.depth;
    s.depth = std::max<std::uint64_t>(s.depth, value.peak);
    s.looks_syn_full += value.syn_depth && value.syn_depth >= syn_limit(value);
    s.syn_depth = std::max<std::uint64_t>(s.syn_depth, value.syn_depth);
}

void ListenTotals::look(const MapReader& maps) {
    maps.run("listen_look", "listening", [this](std::span<const std::byte> written) {
        for (auto& [id, one] : x_listeners)
            one.present = false;
        for (; written.size() >= sizeof(listen_value);
             written = written.subspan(sizeof(listen_value)))
            note(value_at<listen_value>(written, 0));
    });
}

void ListenTotals::count_groups() {
    for (auto& [key, group] : x_groups) {
        group.taken = group.left_behind;
        group.members = 0;
    }
    for (auto& [id, one] : x_listeners) {
        Group& group = group_of(one.last);
        const std::int64_t shorter =
            std::int64_t{one.last.depth_before} - std::int64_t{one.last.depth};
        group.taken += shorter;
        group.left_behind += one.present ? 0 : shorter;
        group.came = std::max<std::uint64_t>(group.came, one.last.established);
        group.any = one.last;
        group.members++;
    }
    std::erase_if(x_groups, [](const auto& group) { return !group.second.members; });
    for (auto& [key, group] : x_groups)
        group.taken += static_cast<std::int64_t>(group.came);
}

void ListenTotals::report(Listener& one, std::uint64_t now_ns, const RecordSink& sink) {
    const listen_value& v = one.last;
    listen_total total = one.sampled;
    total.head = {now_ns, ABI_LISTEN_TOTAL, sizeof(total), 0};
    total.flow = v.flow;
    total.owner = v.owner;
    total.since_ns = v.since_ns;
    total.limit = v.limit;
    total.syn_limit = syn_limit(v);
    total.somaxconn = v.somaxconn;
    total.syncookies = v.syncookies;
    total.defer_accept = v.defer_accept;
    total.sockets = v.sockets;
    total.drops = static_cast<std::uint32_t>(v.drops - one.drops); // the kernel's is as wide
    total.synack_retransmits = v.synack_retransmits - one.synacks;
    if (Group& group = group_of(v); !group.shared())
        group.tell(total);
    look_at_owner(one, total, now_ns);
    one.drops = v.drops;
    one.synacks = v.synack_retransmits;
    one.sampled = {};
    // a quiet tick has no record, and its looks do not count: they would thin out what the next
    // busy one shows; after trouble each tick has one, so that shares of time are of the whole run
    if (one.troubled || total.established || total.accepted || total.synack_retransmits ||
        total.depth || total.syn_depth)
        sink(bytes_of(total));
}

void ListenTotals::report(Group& group, std::uint64_t now_ns, const RecordSink& sink) const {
    listen_total total{};
    total.head = {now_ns, ABI_LISTEN_TOTAL, sizeof(total), 0};
    total.flow = group.any.flow;
    total.scope = ABI_LISTEN_GROUP;
    total.sockets = group.any.sockets;
    group.tell(total);
    if (total.established || total.accepted)
        sink(bytes_of(total));
}

void ListenTotals::take(const MapReader& maps, std::uint64_t now_ns, const RecordSink& sink) {
    look(maps);
    std::vector<std::uint64_t> ended;
    maps.each("ended", [&](const void*, const std::byte* bytes, std::size_t, std::size_t) {
        listen_value value;
        std::memcpy(&value, bytes, sizeof(value));
        Listener& one = listener_of(value);
        one.last = value;
        one.present = false;
        one.sampled.depth = std::max<std::uint64_t>(one.sampled.depth, value.peak);
        ended.push_back(value.since_ns);
    });
    for (const std::uint64_t id : ended)
        maps.erase("ended", &id);
    count_groups();
    for (auto& [id, one] : x_listeners)
        report(one, now_ns, sink);
    for (auto& [key, group] : x_groups)
        if (group.shared())
            report(group, now_ns, sink);
    std::erase_if(x_listeners, [](const auto& one) { return !one.second.present; });
}

} // namespace

std::unique_ptr<Totals> listen_totals() {
    return std::make_unique<ListenTotals>();
}

} // namespace culprit
