// SPDX-License-Identifier: MIT
// Reads how full the input backlog of each CPU ran.
#include <fmt/format.h>

#include <array>
#include <filesystem>
#include <map>
#include <sstream>
#include <vector>

#include "abi/softnet.h"
#include "kernel/features.h"
#include "signals/all.h"
#include "signals/softnet_stat.h"
#include "util/text.h"
#include "util/time.h"

namespace culprit {

namespace {

constexpr Field kFields[] = {
    CULPRIT_FIELD(softnet_total, number, Type::kNumber, "CPU"),
    CULPRIT_FIELD(softnet_total, max_backlog, Type::kNumber, "net.core.netdev_max_backlog"),
    CULPRIT_FIELD(softnet_total, processed, Type::kNumber, "packets it took"),
    CULPRIT_FIELD(softnet_total, dropped, Type::kNumber,
                  "packets dropped because its backlog was full"),
    CULPRIT_FIELD(softnet_total, time_squeeze, Type::kNumber,
                  "times softirq ran out of time or budget"),
    CULPRIT_FIELD(softnet_total, flow_limit, Type::kNumber,
                  "of the dropped ones those of a flow that filled the backlog"),
    CULPRIT_FIELD(softnet_total, backlog, Type::kNumber, "packets waiting in it, the most seen"),
    CULPRIT_FIELD(softnet_total, ksoftirqd_ns, Type::kDurationNs, "CPU time of ksoftirqd"),
    CULPRIT_FIELD(softnet_total, watched_ns, Type::kDurationNs, "time in which it used that"),
};
constexpr Part kKey[] = {CULPRIT_PART(softnet_total, number)};
constexpr Part kSums[] = {
    CULPRIT_PART(softnet_total, processed),    CULPRIT_PART(softnet_total, dropped),
    CULPRIT_PART(softnet_total, time_squeeze), CULPRIT_PART(softnet_total, flow_limit),
    CULPRIT_PART(softnet_total, ksoftirqd_ns), CULPRIT_PART(softnet_total, watched_ns),
};
constexpr Part kMaxima[] = {CULPRIT_PART(softnet_total, backlog)};

constexpr Kind kSoftnetTotal = {ABI_SOFTNET_TOTAL,
                                "softnet_total",
                                "packets each CPU took from its input backlog, and dropped",
                                sizeof(softnet_total),
                                false,
                                kFields,
                                kKey,
                                kSums,
                                kMaxima};
constexpr const Kind* kKinds[] = {&kSoftnetTotal};

/// CPU -> process number of its ksoftirqd.
std::map<std::uint32_t, std::uint64_t> find_ksoftirqd() {
    constexpr std::string_view kName = "ksoftirqd/";
    std::map<std::uint32_t, std::uint64_t> found;
    std::error_code gone;
    for (std::filesystem::directory_iterator it("/proc", gone), end; it != end;
         it.increment(gone)) {
        const auto pid = to_number(it->path().filename().string());
        if (!pid)
            continue;
        std::string comm = read_file(it->path().string() + "/comm").value_or("");
        comm.resize(std::min(comm.find('\n'), comm.size()));
        if (const auto cpu =
                comm.starts_with(kName) ? to_number(comm.substr(kName.size())) : std::nullopt)
            found.emplace(static_cast<std::uint32_t>(*cpu), *pid);
    }
    return found;
}

/// User and system time together, fields 14 and 15 of proc_pid_stat(5).
std::uint64_t cpu_ns_of(std::uint64_t pid) {
    const std::string stat = read_file(fmt::format("/proc/{}/stat", pid)).value_or("");
    std::istringstream rest(stat.substr(std::min(stat.rfind(')') + 1, stat.size())));
    std::string skipped;
    for (int i = 0; i < 11; i++)
        rest >> skipped;
    std::uint64_t user = 0, system = 0;
    rest >> user >> system;
    return (user + system) * clock_tick_ns();
}

class Softnet : public Reader {
public:
    Result<void> read_host(std::uint64_t now_ns, const RecordSink& sink) override;

private:
    struct Cpu {
        SoftnetLine last;
        std::uint64_t ksoftirqd_ns = 0, looked_ns = 0; // at the last look, which needs drops
    };
    void look_at_ksoftirqd(Cpu& cpu, std::uint64_t now_ns, softnet_total& total);

    std::map<std::uint32_t, Cpu> x_cpus; // as many as the host has
    std::map<std::uint32_t, std::uint64_t> x_ksoftirqd;
};

void Softnet::look_at_ksoftirqd(Cpu& cpu, std::uint64_t now_ns, softnet_total& total) {
    if (x_ksoftirqd.empty())
        x_ksoftirqd = find_ksoftirqd();
    const auto thread = x_ksoftirqd.find(total.number);
    if (thread == x_ksoftirqd.end())
        return;
    const std::uint64_t used = cpu_ns_of(thread->second);
    if (cpu.looked_ns) {
        total.ksoftirqd_ns = used - cpu.ksoftirqd_ns;
        total.watched_ns = now_ns - cpu.looked_ns;
    }
    cpu.ksoftirqd_ns = used;
    cpu.looked_ns = now_ns;
}

Result<void> Softnet::read_host(std::uint64_t now_ns, const RecordSink& sink) {
    const auto text = read_file("/proc/net/softnet_stat");
    if (!text)
        return std::unexpected(text.error());
    const std::string limit = read_file("/proc/sys/net/core/netdev_max_backlog").value_or("0\n");
    const auto max_backlog = to_number(limit.substr(0, limit.find('\n'))).value_or(0);
    for (const SoftnetLine& now : parse_softnet(*text)) {
        const auto [it, fresh] = x_cpus.try_emplace(now.cpu);
        Cpu& cpu = it->second;
        softnet_total total{};
        total.head = {now_ns, ABI_SOFTNET_TOTAL, sizeof(total), 0};
        total.number = now.cpu;
        total.max_backlog = static_cast<std::uint32_t>(max_backlog);
        // the kernel's counters are 32 bits wide and wrap
        total.processed = now.processed - cpu.last.processed;
        total.dropped = now.dropped - cpu.last.dropped;
        total.time_squeeze = now.time_squeeze - cpu.last.time_squeeze;
        total.flow_limit = now.flow_limit - cpu.last.flow_limit;
        total.backlog = now.backlog;
        cpu.last = now;
        if (fresh)
            continue;
        if (total.dropped)
            look_at_ksoftirqd(cpu, now_ns, total);
        if (total.processed || total.dropped || total.time_squeeze)
            sink(bytes_of(total));
    }
    return {};
}

} // namespace

std::vector<SoftnetLine> parse_softnet(const std::string& text) {
    constexpr std::size_t kColumnsMin = 10, kNumber = 12;
    std::vector<SoftnetLine> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) {
        std::vector<std::uint32_t> columns;
        std::istringstream words(line);
        for (std::uint32_t value = 0; words >> std::hex >> value;)
            columns.push_back(value);
        if (columns.size() < kColumnsMin)
            continue;
        // the number came with Linux 5.10; before it lines are in the order of the CPUs
        const bool numbered = columns.size() > kNumber;
        columns.resize(kNumber + 1);
        lines.push_back(
            {.cpu = numbered ? columns[kNumber] : static_cast<std::uint32_t>(lines.size()),
             .processed = columns[0],
             .dropped = columns[1],
             .time_squeeze = columns[2],
             .flow_limit = columns[10],
             .backlog = columns[11]});
    }
    return lines;
}

const Signal softnet_signal = {
    "softnet", "do CPUs keep up with the packets that arrive",     nullptr, {}, kKinds,
    nullptr,   [] { return std::unique_ptr<Reader>(new Softnet); }};

} // namespace culprit
