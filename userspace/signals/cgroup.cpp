// SPDX-License-Identifier: MIT
// Reads the CPU quotas of the processes that have sockets, and how often they used them up.
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "abi/cgroup.h"
#include "kernel/cpu_quota.h"
#include "signals/all.h"

namespace culprit {

namespace {

constexpr Field kFields[] = {
    CULPRIT_FIELD(cgroup_total, owner, Type::kOwner, "a process with sockets in it or below it"),
    CULPRIT_FIELD(cgroup_total, cgroup, Type::kHex, "inode of its folder"),
    CULPRIT_FIELD(cgroup_total, version, Type::kNumber, "of the cgroup hierarchy"),
    CULPRIT_FIELD(cgroup_total, path, Type::kText, "its folder"),
    CULPRIT_FIELD(cgroup_total, quota_us, Type::kNumber, "CPU time it may use in a period"),
    CULPRIT_FIELD(cgroup_total, period_us, Type::kNumber, "length of a period"),
    CULPRIT_FIELD(cgroup_total, periods, Type::kNumber, "periods in which it wanted to run"),
    CULPRIT_FIELD(cgroup_total, throttled, Type::kNumber, "of them, it used up its quota"),
    CULPRIT_FIELD(cgroup_total, throttled_ns, Type::kDurationNs,
                  "time it had to wait, of all CPUs"),
};
constexpr Part kKey[] = {CULPRIT_OWNER_PART(cgroup_total, owner),
                         CULPRIT_PART(cgroup_total, cgroup)};
constexpr Part kSums[] = {CULPRIT_PART(cgroup_total, periods),
                          CULPRIT_PART(cgroup_total, throttled),
                          CULPRIT_PART(cgroup_total, throttled_ns)};

constexpr Kind kCgroupTotal = {ABI_CGROUP_TOTAL,
                               "cgroup_total",
                               "processes that may use only part of the CPU time",
                               sizeof(cgroup_total),
                               false,
                               kFields,
                               kKey,
                               kSums};
constexpr const Kind* kKinds[] = {&kCgroupTotal};

class Cgroups : public Reader {
public:
    void see(std::span<const std::byte> record, const Names&) override;
    Result<void> read_host(std::uint64_t now_ns, const RecordSink& sink) override;

private:
    struct One {
        abi_owner owner{};
        std::vector<std::string> folders; // as of the last look at the process
        unsigned age = 0;                 // looks since then
        bool wanted = false;              // seen since the last look
    };
    /// What one tick brought.
    struct Growth {
        CpuQuota now, grown;
        std::uint64_t id = 0;
        bool known = false; // before this tick
    };
    const Growth& growth_of(const std::string& folder, std::map<std::string, Growth>& tick);
    void tell(const One& one, const std::string& folder, const Growth& growth, std::uint64_t now_ns,
              const RecordSink& sink) const;

    static constexpr std::size_t kProcessesMax = 512;
    static constexpr unsigned kLooksKept = 3, kIdleLooks = 30; // in ticks

    CpuQuotas x_quotas;
    // by process; full: others are not looked at, and it is said
    std::map<std::pair<std::uint32_t, std::uint64_t>, One> x_processes;
    std::map<std::string, CpuQuota> x_last; // folder -> as last read; those of x_processes
    bool x_full = false;                    // since the last look
};

void Cgroups::see(std::span<const std::byte> record, const Names&) {
    if (!x_quotas.version())
        return;
    for (const Field& field : find_kind(head_of(record).kind)->fields) {
        if (field.type != Type::kOwner)
            continue;
        const auto owner = value_at<abi_owner>(record, field.offset);
        if (!owner.tgid)
            continue;
        const auto known = x_processes.find({owner.tgid, owner.start_ns});
        if (known != x_processes.end()) {
            known->second.wanted = true;
        } else if (x_processes.size() < kProcessesMax) {
            One& one = x_processes[{owner.tgid, owner.start_ns}];
            one.owner = owner;
            one.wanted = true;
        } else {
            x_full = true;
        }
    }
}

const Cgroups::Growth& Cgroups::growth_of(const std::string& folder,
                                          std::map<std::string, Growth>& tick) {
    const auto [it, fresh] = tick.try_emplace(folder);
    Growth& growth = it->second;
    if (!fresh || !x_quotas.read(folder, growth.now))
        return growth;
    const auto before = x_last.find(folder);
    growth.known = before != x_last.end() && before->second.periods <= growth.now.periods;
    if (growth.known) {
        growth.grown.periods = growth.now.periods - before->second.periods;
        growth.grown.throttled = growth.now.throttled - before->second.throttled;
        growth.grown.throttled_ns = growth.now.throttled_ns - before->second.throttled_ns;
    }
    struct stat st {};
    growth.id = ::stat(folder.c_str(), &st) == 0 ? st.st_ino : 0;
    return growth;
}

void Cgroups::tell(const One& one, const std::string& folder, const Growth& growth,
                   std::uint64_t now_ns, const RecordSink& sink) const {
    if (!growth.known || !growth.grown.periods)
        return;
    cgroup_total total{};
    total.head = {now_ns, ABI_CGROUP_TOTAL, sizeof(total), 0};
    total.owner = one.owner;
    total.cgroup = growth.id;
    total.quota_us = growth.now.quota_us;
    total.period_us = growth.now.period_us;
    total.periods = growth.grown.periods;
    total.throttled = growth.grown.throttled;
    total.throttled_ns = growth.grown.throttled_ns;
    total.version = static_cast<std::uint32_t>(x_quotas.version());
    folder.copy(total.path, sizeof(total.path));
    sink(bytes_of(total));
}

Result<void> Cgroups::read_host(std::uint64_t now_ns, const RecordSink& sink) {
    std::map<std::string, Growth> tick;
    for (auto& [key, one] : x_processes) {
        // a process may be moved, or end: its folders are asked for anew every few ticks
        if (one.age % kLooksKept == 0)
            one.folders = x_quotas.folders_of(one.owner.tgid);
        // who is gone makes room at once; many clients live for one connection
        const bool gone = one.folders.empty() && !one.wanted;
        one.age = gone ? kIdleLooks + 1 : one.wanted ? (one.age + 1) % kLooksKept : one.age + 1;
        one.wanted = false;
        for (const std::string& folder : one.folders)
            tell(one, folder, growth_of(folder, tick), now_ns, sink);
    }
    std::erase_if(x_processes, [](const auto& one) { return one.second.age > kIdleLooks; });
    x_last.clear();
    for (const auto& [folder, growth] : tick)
        if (growth.now.quota_us)
            x_last.emplace(folder, growth.now);
    if (!std::exchange(x_full, false))
        return {};
    return fail(Code::kFailed, "CPU quotas of more than 512 processes are not looked at");
}

} // namespace

const Signal cgroup_signal = {
    "cgroup", "who waits for CPU time because of a quota",        nullptr, {}, kKinds,
    nullptr,  [] { return std::unique_ptr<Reader>(new Cgroups); }};

} // namespace culprit
