// SPDX-License-Identifier: MIT
// too-many-connections. Claim: a process or a namespace has so many sockets that a limit is near:
// open files of the process or of the host, or TCP's memory. Evidence: the count beside the limit.
// Without a limit near, more than the operator's guide allows is `info`. Looks alike: a busy server
// far from its limits (nothing is said), a process that cannot accept any more (fd-exhaustion),
// TIME_WAIT, which belongs to no process (time-wait-growth).
#include <algorithm>
#include <map>
#include <tuple>

#include <fmt/format.h>

#include "detect/receivers.h"
#include "detect/sockets.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

struct Holder {
    Party party;
    std::uint64_t sockets = 0, memory_bytes = 0, first_ns = 0;
    std::uint64_t open_files = 0, files_limit = 0; // 0 when not read

    double files_share() const {
        return files_limit ? double(open_files) / double(files_limit) : 0;
    }
};

using Key = std::tuple<std::uint32_t, std::uint32_t, std::uint64_t>; // netns, pid, start

std::map<Key, Holder> collect(const Window& total) {
    std::map<Key, Holder> holders;
    for (const auto& [row, info] : total.rows<socket_total>(ABI_SOCKET_TOTAL)) {
        if (row.keeper != ABI_KEEPER_PROCESS)
            continue;
        Holder& holder = holders[{row.flow.netns, row.owner.tgid, row.owner.start_ns}];
        holder.party = {row.owner, row.flow.netns};
        holder.sockets += row.at_end;
        holder.memory_bytes += row.memory_bytes;
        holder.first_ns = info.first_ns;
        holder.open_files = std::max<std::uint64_t>(holder.open_files, row.open_files);
        holder.files_limit = std::max<std::uint64_t>(holder.files_limit, row.files_limit);
    }
    return holders;
}

Severity severity_of(double share) {
    return share >= threshold::kSocketsLimitCritical ? Severity::kCritical
           : share >= threshold::kSocketsLimit       ? Severity::kWarning
                                                     : Severity::kInfo;
}

Finding about(const Holder& holder, Severity severity, const std::string& what,
              const Window& total) {
    Finding finding{.id = "too-many-connections", .severity = severity};
    finding.confidence = 0.9;
    finding.title = fmt::format("{} has {} sockets{}", owner_name(holder.party.owner, total.names),
                                holder.sockets, what);
    if (holder.party.owner.tgid)
        finding.culprit = holder.party;
    finding.where.netns = holder.party.netns;
    finding.first_ns = holder.first_ns;
    finding.count = holder.sockets;
    finding.evidence.push_back(
        {fmt::format("{} sockets at the end of the run, {} bytes of memory in their queues",
                     holder.sockets, holder.memory_bytes),
         double(holder.sockets), "sockets", "iter/tcp"});
    finding.verify = verify_in_netns(finding);
    return finding;
}

/// One process and its own limit.
void judge_process(const Holder& holder, const Window& total, std::vector<Finding>& findings) {
    const bool sockets_fill =
        double(holder.sockets) >= threshold::kSocketsOfFiles * double(holder.open_files);
    const double share = sockets_fill ? holder.files_share() : 0;
    const Severity severity = severity_of(share);
    if (severity == Severity::kInfo && holder.sockets <= threshold::kSocketsMany)
        return;
    const std::uint32_t pid = holder.party.owner.tgid;
    Finding finding =
        about(holder, severity,
              severity == Severity::kInfo ? "" : ", and its limit of open files is near", total);
    if (holder.files_limit)
        finding.evidence.push_back(
            {fmt::format("{} files open of {} it may open", holder.open_files, holder.files_limit),
             holder.files_share(), "ratio", "/proc/PID/fd, /proc/PID/limits"});
    finding.advice.push_back({"see whether it needs them all: idle keep-alive connections, a pool "
                              "without an upper bound, a leak",
                              pid ? fmt::format("ss -tnpo | grep -c pid={},", pid) : ""});
    if (severity != Severity::kInfo)
        finding.advice.push_back(
            {fmt::format("raise its limit of open files from {} to {}: takes effect at once, and "
                         "lets it use more memory; LimitNOFILE of its service for good",
                         holder.files_limit, 4 * holder.files_limit),
             fmt::format("prlimit --pid {} --nofile={}", pid, 4 * holder.files_limit)});
    findings.push_back(std::move(finding));
}

/// Files that are no sockets, or sockets of many, fill the limit.
Finding of_nobody(const char* what, Severity severity, const Window& total) {
    Finding finding{.id = "too-many-connections", .severity = severity};
    finding.confidence = 0.8;
    finding.title =
        fmt::format("the host's limit of {} is near; no process fills it with sockets", what);
    finding.first_ns = total.from_ns;
    finding.verify = "diagnose --only too-many-connections --for 30s";
    return finding;
}

/// A limit of the whole host, used by all.
struct HostLimit {
    std::size_t used, limit; // gauges
    const char* what;
    const char* setting;
    const Holder* largest; // nullptr: nobody's sockets are a good part of it
};

void judge_host(const HostLimit& host, const Window& total, std::vector<Finding>& findings) {
    const auto now = host_limit(total, host.used), most = host_limit(total, host.limit);
    const double share = now && most && *most ? double(*now) / double(*most) : 0;
    if (share < threshold::kSocketsLimit)
        return;
    Finding finding =
        host.largest ? about(*host.largest, severity_of(share),
                             fmt::format(", and the host's limit of {} is near", host.what), total)
                     : of_nobody(host.what, severity_of(share), total);
    finding.evidence.push_back(
        {fmt::format("{} of {} {} in use", *now, *most, host.what), share, "ratio", host.setting});
    finding.advice.push_back(
        {fmt::format("{}, or raise {} (now {}) if the host has the memory for it",
                     host.largest ? "have it use fewer sockets or smaller buffers"
                                  : "find out which processes hold them",
                     host.setting, *most),
         fmt::format("sysctl {}", host.setting)});
    findings.push_back(std::move(finding));
}

const Holder* largest(const std::map<Key, Holder>& holders, std::uint64_t Holder::*by) {
    const auto most = std::ranges::max_element(
        holders, {}, [&](const auto& holder) { return holder.second.*by; });
    return most == holders.end() ? nullptr : &most->second;
}

/// Whose sockets are most of the host's open files.
const Holder* fills_files(const std::map<Key, Holder>& holders, const Window& total) {
    const Holder* most = largest(holders, &Holder::sockets);
    const auto used = host_limit(total, gauge("file-nr"));
    const bool fills =
        most && used && double(most->sockets) >= threshold::kSocketsOfFiles * double(*used);
    return fills ? most : nullptr;
}

} // namespace

std::vector<Finding> detect_too_many_connections(const Facts& facts) {
    const std::map<Key, Holder> holders = collect(facts.total);
    std::vector<Finding> findings;
    for (const auto& [key, holder] : holders)
        judge_process(holder, facts.total, findings);
    judge_host({gauge("TCP.mem"), gauge("tcp_mem.high"), "pages of TCP memory", "net.ipv4.tcp_mem",
                largest(holders, &Holder::memory_bytes)},
               facts.total, findings);
    judge_host({gauge("file-nr"), gauge("file-max"), "open files", "fs.file-max",
                fills_files(holders, facts.total)},
               facts.total, findings);
    return findings;
}

} // namespace culprit
