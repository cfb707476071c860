// SPDX-License-Identifier: MIT
// `culprit show`: walks all sockets or devices of all network namespaces once, prints one table.
#include <malloc.h>
#include <sys/utsname.h>

#include <set>

#include <fmt/format.h>

#include "app/commands.h"
#include "kernel/ethtool.h"
#include "kernel/names_live.h"
#include "present/inventory.h"
#include "signals/note_names.h"
#include "util/log.h"
#include "util/time.h"

namespace culprit {

namespace {

/// A process that was the way into a namespace may end before we use it: another one may do.
constexpr int kRounds = 3;

class Show {
public:
    Show(const Options& options, const abi_config& config) : x_options(options), x_config(config) {}

    Result<InventoryReport> run();

private:
    Result<void> start_walks();
    Result<bool> visit(const Netns& netns);
    Result<void> visit_all();
    Result<void> look(std::uint32_t inum);
    Result<void> look_at_sockets();
    Result<void> look_at_links(std::uint32_t inum);
    void check_complete();
    void add_names();

    bool wanted(std::uint32_t inum) const {
        return !(x_config.filters & ABI_FILTER_NETNS) || x_config.netns == inum;
    }
    bool about_links() const { return x_options.topic == Topic::kInterfaces; }

    const Options& x_options;
    abi_config x_config;
    Features x_features;
    Capture x_capture;
    InventoryReport x_report;
    std::uint64_t x_received = 0;
    std::size_t x_links_left_out = 0;
};

Result<void> Show::start_walks() {
    x_features = read_features(wanted_hooks(), x_options.hidden_hooks);
    x_capture.start(x_features,
                    {.config = x_config, .kinds = {ABI_SOCKET}, .iterators_only = true});
    for (const SignalStatus& status : x_capture.status()) {
        const std::string why = status.why.empty() ? "" : status.why.front();
        if (status.state == State::kOff && status.name == signal_of(*find_kind(ABI_SOCKET))->name)
            return fail(Code::kUnsupported,
                        "the sockets cannot be walked: " + why + "; see culprit doctor");
        if (status.state != State::kOn)
            x_report.notes.push_back("signal " + status.name + ": " + why);
    }
    return {};
}

Result<void> Show::look_at_sockets() {
    return x_capture.walk_sockets([this](std::span<const std::byte> record) {
        x_received++;
        x_report.inventory.add(value_at<socket_info>(record, 0));
    });
}

Result<void> Show::look_at_links(std::uint32_t inum) {
    auto links = read_links(x_links_left_out);
    if (!links)
        return std::unexpected(links.error());
    const Ethtool ethtool;
    for (LinkInfo& link : *links) {
        link.netns = inum;
        if (link.hardware())
            ethtool.read_speed(link);
        if (!(x_config.filters & ABI_FILTER_DEV) || link.ifindex == x_config.ifindex)
            x_report.links.push_back(std::move(link));
    }
    return {};
}

Result<void> Show::look(std::uint32_t inum) {
    return about_links() ? look_at_links(inum) : look_at_sockets();
}

/// True when it was looked at; what goes wrong inside is an error of the whole.
Result<bool> Show::visit(const Netns& netns) {
    Result<void> looked;
    const auto visited = visit_netns(netns, [&] { looked = look(netns.inum); });
    if (!looked)
        return std::unexpected(looked.error());
    if (visited && *visited)
        x_report.netns[netns.inum] = netns.name;
    return visited && *visited;
}

Result<void> Show::visit_all() {
    const bool may_enter = run_in_netns("/proc/self/ns/net", [] {}).has_value();
    const std::uint32_t own = own_netns();
    NetnsMisses misses;
    std::size_t unreached = 0;
    for (int round = 0; round == 0 || (unreached && round < kRounds); round++) {
        unreached = 0;
        for (const auto& [inum, netns] : list_netns(misses)) {
            if (!wanted(inum) || x_report.netns.contains(inum) || (!may_enter && inum != own))
                continue;
            const auto done = visit(netns);
            if (!done)
                return std::unexpected(done.error());
            unreached += *done ? 0 : 1;
        }
    }
    if (!may_enter && !(x_config.filters & ABI_FILTER_NETNS)) // another one asked for is an error
        x_report.notes.push_back(
            "only the own network namespace was looked at: entering others needs CAP_SYS_ADMIN");
    if (unreached + misses.left_out)
        x_report.notes.push_back(
            fmt::format("{} network namespaces were not looked at", unreached + misses.left_out));
    if (misses.hidden)
        x_report.notes.push_back(hidden_text(misses.hidden));
    if (x_report.netns.empty())
        return fail(Code::kFailed, "the network namespace could not be entered" +
                                       std::string(may_enter ? "" : ": it needs CAP_SYS_ADMIN"));
    return {};
}

void Show::check_complete() {
    if (x_links_left_out)
        x_report.notes.push_back(fmt::format("{} more devices than are kept", x_links_left_out));
    if (about_links())
        return;
    Ledgers ledgers = x_capture.ledgers();
    const abi_ledger& ledger = ledgers[ABI_SOCKET];
    if (x_received != ledger.submitted || x_capture.rejected())
        x_report.notes.push_back(
            fmt::format("{} sockets were written and {} read", ledger.submitted, x_received));
    if (const std::uint64_t full = ledger.map_full)
        x_report.notes.push_back(fmt::format("{} sockets have no owner: too many", full));
}

void Show::add_names() {
    utsname name{};
    uname(&name);
    x_report.host = name.nodename;
    x_report.kernel = name.release;
    for (const auto& [inum, netns] : x_report.netns)
        if (!netns.empty())
            x_report.names.netns[inum] = netns;
}

Result<InventoryReport> Show::run() {
    x_report.topic = x_options.topic;
    x_report.filtered = x_options.filters.any();
    x_report.limit = x_options.limit.value_or(x_options.json() ? Worst::kRowsMax : kShowRows);
    x_report.wall_ns = static_cast<std::int64_t>(boot_now_ns()) + wall_offset_ns();
    if (!about_links())
        if (const auto done = start_walks(); !done)
            return std::unexpected(done.error());
    confine_self();
    if (const auto done = visit_all(); !done)
        return std::unexpected(done.error());
    check_complete();
    add_names();
    if (x_report.topic == Topic::kConnections)
        x_report.issues = pool_issues(x_report.inventory);
    return std::move(x_report);
}

} // namespace

int run_show(const Options& options) {
    // each object reads the kernel's BTF, megabytes: memory that is kept is not faulted in anew
    mallopt(M_MMAP_THRESHOLD, 64 * 1024 * 1024);
    mallopt(M_TRIM_THRESHOLD, 64 * 1024 * 1024);
    const auto config = resolve_filters(options.filters);
    if (!config)
        return print_error(config.error());
    const auto report = Show(options, *config).run();
    if (!report)
        return print_error(report.error());
    if (!print_data(options.json() ? inventory_json(*report)
                                   : inventory_text(*report, style_of(options))) ||
        !flush_data())
        return print_error(sys_error(errno, "write the table"));
    if (!report->issues.empty())
        return kExitFindings;
    return report->notes.empty() ? kExitHealthy : kExitFailed; // each note is something left out
}

} // namespace culprit
