// SPDX-License-Identifier: MIT
// Lists what is attached below the stack, so that a drop there has a name.
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <tuple>
#include <vector>

#include "abi/drop.h"
#include "abi/program.h"
#include "kernel/bpf_programs.h"
#include "kernel/cgroup.h"
#include "kernel/device_programs.h"
#include "kernel/tun_holders.h"
#include "signals/all.h"
#include "util/unique_fd.h"

namespace culprit {

namespace {

constexpr const char* kWheres[] = {"xdp",           "tc ingress", "tc egress", "cgroup ingress",
                                   "cgroup egress", "tun"};
constexpr const char* kModes[] = {"-", "native", "generic", "offload", "filter"};

constexpr Field kFields[] = {
    CULPRIT_FIELD(program_total, owner, Type::kOwner,
                  "process that serves a TUN device; of a cgroup's program the cgroup"),
    CULPRIT_FIELD(program_total, netns, Type::kNetns, "network namespace; - for a cgroup"),
    CULPRIT_FIELD(program_total, ifindex, Type::kDevice, "device it is attached to"),
    CULPRIT_NAMED(program_total, where, "part of the path it sits in", kWheres),
    CULPRIT_NAMED(program_total, mode, "who runs an XDP program; a classifier's filter", kModes),
    CULPRIT_FIELD(program_total, program, Type::kNumber, "id of the BPF program"),
    CULPRIT_FIELD(program_total, priority, Type::kNumber, "of a tc filter (pref)"),
    CULPRIT_FIELD(program_total, handle, Type::kHex, "of a tc filter"),
    CULPRIT_FIELD(program_total, state, Type::kNumber, "letter of the process's state as a number"),
    CULPRIT_FIELD(program_total, name, Type::kText, "of the BPF program"),
    CULPRIT_FIELD(program_total, filter, Type::kText, "kind of tc filter"),
    CULPRIT_FIELD(program_total, drops, Type::kNumber, "packets its actions dropped, or its ring"),
    CULPRIT_FIELD(program_total, packets, Type::kNumber, "packets a TUN device sent"),
};
constexpr Part kKey[] = {
    CULPRIT_OWNER_PART(program_total, owner), CULPRIT_PART(program_total, netns),
    CULPRIT_PART(program_total, ifindex),     CULPRIT_PART(program_total, where),
    CULPRIT_PART(program_total, program),     CULPRIT_PART(program_total, priority),
    CULPRIT_PART(program_total, handle),
};
constexpr Part kSums[] = {CULPRIT_PART(program_total, drops), CULPRIT_PART(program_total, packets)};

constexpr Kind kProgramTotal = {ABI_PROGRAM_TOTAL,
                                "program_total",
                                "programs, filters and processes that may take packets away",
                                sizeof(program_total),
                                false,
                                kFields,
                                kKey,
                                kSums};
constexpr const Kind* kKinds[] = {&kProgramTotal};

template <std::size_t Size>
void put_text(char (&into)[Size], std::string_view text) {
    std::memcpy(into, text.data(), std::min(text.size(), Size));
}

/// Bounded: a table that is full is emptied, and counting begins anew. True: it was.
template <typename Table>
bool bound(Table& table) {
    constexpr std::size_t kEntriesMax = 16384;
    const bool full = table.size() > kEntriesMax;
    if (full)
        table.clear();
    return full;
}

/// Less than before: it is a new one of the same name.
std::uint64_t grew(std::uint64_t now, std::uint64_t before) {
    return now >= before ? now - before : now;
}

class Programs : public Reader {
public:
    void see(std::span<const std::byte> record, const Names& names) override;
    Result<void> read_host(std::uint64_t now_ns, const RecordSink& sink) override;
    Result<void> read_netns(std::uint32_t netns, std::uint64_t now_ns,
                            const RecordSink& sink) override;

private:
    program_total row(std::uint64_t now_ns, std::uint32_t program, std::uint32_t where);
    void read_cgroups();
    void read_cgroup(const std::string& path);
    std::vector<TunHolder> holders_of(std::uint32_t netns, const TunDevice& tun) const;
    void read_tuns(std::uint32_t netns, const std::vector<TunDevice>& tuns, bool first,
                   std::uint64_t now_ns, const RecordSink& sink);
    void report_holders(std::uint32_t netns, const TunDevice& tun, std::uint64_t now_ns,
                        const RecordSink& sink);

    struct Attached {
        std::uint32_t program, where;
        std::uint64_t cgroup;
    };
    using FilterKey = std::tuple<std::uint32_t, std::uint32_t, std::uint32_t, std::uint32_t,
                                 std::uint32_t>; // netns, ifindex, where, priority, handle

    std::map<std::uint32_t, std::string> x_names; // by id; ids are not used again
    std::set<std::uint32_t> x_seen; // namespaces: what appears in them now counted from 0
    std::map<FilterKey, std::uint64_t> x_drops;
    std::map<std::pair<std::uint32_t, std::uint32_t>, TunDevice> x_tuns; // by netns, ifindex
    std::vector<TunHolder> x_holders;
    std::uint64_t x_holders_ns = 0;
    std::set<std::uint32_t> x_packet_programs;
    std::vector<Attached> x_attached; // to cgroups
    std::uint64_t x_attached_ns = 0;
    bool x_cgroup_drops = false; // since these were told last
};

/// A program of a cgroup is worth a row when one of them drops: there may be one for each service
/// of the host.
void Programs::see(std::span<const std::byte> record, const Names& names) {
    if (head_of(record).kind != ABI_DROP_TOTAL)
        return;
    const auto reason =
        names.drop_reasons.find(value_at<std::uint32_t>(record, offsetof(drop_total, reason)));
    if (reason != names.drop_reasons.end() &&
        (reason->second == "BPF_CGROUP_EGRESS" || reason->second == "SOCKET_FILTER"))
        x_cgroup_drops = true;
}

program_total Programs::row(std::uint64_t now_ns, std::uint32_t program, std::uint32_t where) {
    bound(x_names);
    const auto [name, fresh] = x_names.try_emplace(program);
    if (fresh && program)
        name->second = program_name(program);
    program_total total{};
    total.head = {now_ns, ABI_PROGRAM_TOTAL, sizeof(total), 0};
    total.program = program;
    total.where = where;
    put_text(total.name, name->second);
    return total;
}

void Programs::read_cgroup(const std::string& path) {
    struct stat st {};
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd || ::fstat(fd.get(), &st) != 0)
        return;
    for (const auto& [type, where] : {std::pair(kAttachCgroupIngress, ABI_PROGRAM_CGROUP_INGRESS),
                                      std::pair(kAttachCgroupEgress, ABI_PROGRAM_CGROUP_EGRESS)})
        for (const std::uint32_t id : attached_programs(fd.get(), type))
            x_attached.push_back({id, where, st.st_ino});
}

/// At most kCgroupsMax; programs of others have no name in a finding.
void Programs::read_cgroups() {
    constexpr std::size_t kCgroupsMax = 8192;
    namespace fs = std::filesystem;
    x_attached.clear();
    const std::string root = CgroupTree().mount_point();
    if (root.empty())
        return;
    read_cgroup(root);
    std::size_t seen = 0;
    std::error_code gone;
    for (fs::recursive_directory_iterator it(root, gone), end; it != end && seen < kCgroupsMax;
         it.increment(gone))
        if (it->is_directory(gone)) {
            read_cgroup(it->path().string());
            seen++;
        }
}

Result<void> Programs::read_host(std::uint64_t now_ns, const RecordSink& sink) {
    constexpr std::uint64_t kAgainNs = 5'000'000'000;
    auto programs = cgroup_packet_programs();
    // most come with being loaded; what is attached or moved later is found a little later
    if (programs != x_packet_programs || now_ns - x_attached_ns > kAgainNs) {
        x_packet_programs = std::move(programs);
        x_attached_ns = now_ns;
        x_attached.clear();
        if (!x_packet_programs.empty())
            read_cgroups();
    }
    if (!x_cgroup_drops)
        return {};
    x_cgroup_drops = false;
    for (const Attached& one : x_attached) {
        program_total total = row(now_ns, one.program, one.where);
        total.owner.cgroup_id = one.cgroup;
        sink(bytes_of(total));
    }
    return {};
}

/// Of the device, as far as can be told: names are unique in a namespace only. A process in the
/// device's own namespace comes first. One elsewhere that has a device of that name at home holds
/// that one, and of several processes that are left nobody is named.
std::vector<TunHolder> Programs::holders_of(std::uint32_t netns, const TunDevice& tun) const {
    const auto has_own = [&](std::uint32_t home) {
        return std::ranges::any_of(x_tuns, [&](const auto& known) {
            return known.first.first == home && known.second.name == tun.name;
        });
    };
    std::vector<TunHolder> at_home, elsewhere;
    std::set<std::uint32_t> tgids;
    for (const TunHolder& holder : x_holders) {
        if (holder.device != tun.name)
            continue;
        if (holder.netns == netns) {
            at_home.push_back(holder);
        } else if (!has_own(holder.netns)) {
            elsewhere.push_back(holder);
            tgids.insert(holder.tgid);
        }
    }
    if (!at_home.empty())
        return at_home;
    return tgids.size() > 1 ? std::vector<TunHolder>() : elsewhere;
}

void Programs::report_holders(std::uint32_t netns, const TunDevice& tun, std::uint64_t now_ns,
                              const RecordSink& sink) {
    constexpr std::uint64_t kAgainNs = 1'000'000'000;
    if (!x_holders_ns || now_ns - x_holders_ns > kAgainNs) {
        x_holders = find_tun_holders();
        x_holders_ns = now_ns;
    }
    for (const TunHolder& holder : holders_of(netns, tun)) {
        program_total total = row(now_ns, 0, ABI_PROGRAM_TUN);
        total.netns = netns;
        total.ifindex = tun.ifindex;
        total.owner.tgid = holder.tgid;
        total.owner.start_ns = holder.start_ns;
        total.owner.provenance = ABI_OWNER_HOLDER;
        put_text(total.owner.comm, holder.comm);
        total.state = static_cast<unsigned char>(holder.state);
        total.drops = tun.tx_dropped;
        total.packets = tun.tx_packets;
        sink(bytes_of(total));
    }
}

Result<void> Programs::read_netns(std::uint32_t netns, std::uint64_t now_ns,
                                  const RecordSink& sink) {
    const auto found = read_device_programs();
    if (!found)
        return std::unexpected(found.error());
    const bool drops_gone = bound(x_drops), tuns_gone = bound(x_tuns);
    if (drops_gone || tuns_gone)
        x_seen.clear();
    bound(x_seen);
    const bool first = x_seen.insert(netns).second;
    for (const DeviceProgram& one : found->programs) {
        program_total total = row(now_ns, one.program, one.where);
        total.netns = netns;
        total.ifindex = one.ifindex;
        total.mode = one.mode;
        total.priority = one.priority;
        total.handle = one.handle;
        put_text(total.filter, one.filter);
        std::uint64_t& seen = x_drops[{netns, one.ifindex, one.where, one.priority, one.handle}];
        total.drops = first ? 0 : grew(one.drops, seen);
        seen = one.drops;
        sink(bytes_of(total));
    }
    read_tuns(netns, found->tuns, first, now_ns, sink);
    return {};
}

void Programs::read_tuns(std::uint32_t netns, const std::vector<TunDevice>& tuns, bool first,
                         std::uint64_t now_ns, const RecordSink& sink) {
    std::map<std::uint32_t, TunDevice> before; // by ifindex
    std::erase_if(x_tuns, [&](const auto& known) {
        const bool here = known.first.first == netns;
        if (here)
            before[known.first.second] = known.second;
        return here;
    });
    for (const TunDevice& tun : tuns)
        x_tuns[{netns, tun.ifindex}] = tun;
    for (const TunDevice& tun : tuns) {
        const auto known = before.find(tun.ifindex);
        const TunDevice seen = known == before.end() ? TunDevice{} : known->second;
        const TunDevice growth{tun.ifindex, tun.name, grew(tun.tx_packets, seen.tx_packets),
                               grew(tun.tx_dropped, seen.tx_dropped)};
        if (!first && growth.tx_dropped)
            report_holders(netns, growth, now_ns, sink);
    }
}

} // namespace

const Signal program_signal = {
    "program", "who may take packets away below the stack",         nullptr, {}, kKinds,
    nullptr,   [] {
        return std::unique_ptr<Reader>(new Programs); }};

} // namespace culprit
