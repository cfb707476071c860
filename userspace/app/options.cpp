// SPDX-License-Identifier: MIT
// Command line to Options, and filters to the constants the programs are loaded with.
#include "app/options.h"

#include <arpa/inet.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "detect/finding.h"
#include "kernel/netns.h"
#include "util/text.h"
#include "util/time.h"

namespace culprit {

namespace {

constexpr const char* kEpilog =
    "Exit codes: 0 done and healthy, 1 could not do it or something is left out,\n"
    "2 wrong usage, 3 done and there are findings of severity warning or critical.";

void add_output(CLI::App& app, Options& o) {
    app.add_option("--output", o.output, "text or json")
        ->check(CLI::IsMember({"text", "json"}))
        ->capture_default_str();
    app.add_option("--color", o.color, "auto, always or never (NO_COLOR is honoured)")
        ->check(CLI::IsMember({"auto", "always", "never"}))
        ->capture_default_str();
    app.add_option("--disable-hook", o.hidden_hooks,
                   "treat a kernel hook as absent, e.g. kfree_skb; may be repeated");
    app.add_flag("--debug", o.debug, "messages of libbpf and the verifier on stderr");
}

void add_filters(CLI::App& app, Filters& f) {
    app.add_option("--pid", f.pid, "owner's process id")->check(CLI::Range(1U, 4194304U));
    app.add_option("--comm", f.comm, "owner's process name, at most 15 bytes")
        ->check([](const std::string& s) {
            return s.size() > 15 ? "longer than 15 bytes" : std::string();
        });
    app.add_option("--cgroup", f.cgroup, "owner's cgroup v2: path below its mount, or id");
    app.add_option("--netns", f.netns, "network namespace: name, or inode number");
    app.add_option("--port", f.port, "port at either end")->check(CLI::Range(1, 65535));
    app.add_option("--addr", f.addr, "address or CIDR at either end");
    app.add_option("--dev", f.dev, "network device, in --netns or the own namespace");
}

void add_thresholds(CLI::App& app, Options& o) {
    app.add_option("--thresholds", o.thresholds,
                   std::string("lines `Name = value` that override thresholds (default ") +
                       kThresholdsFile + ", when it is there)");
}

CLI::Option* add_for(CLI::App& app, Options& o, const std::string& text) {
    return app.add_option_function<std::string>(
        "--for",
        [&o](const std::string& given) {
            const auto ns = parse_duration_ns(given);
            if (!ns)
                throw CLI::ValidationError("--for", "'" + safe_text(given) +
                                                        "' is not a duration like 500ms, 10s, 5m");
            o.for_ns = *ns;
        },
        text);
}

std::string check_kind(const std::string& name) {
    const Kind* kind = find_kind(std::string_view(name));
    if (kind && kind->event)
        return {};
    std::string known;
    for (const Signal* signal : all_signals())
        for (const Kind* k : signal->kinds)
            if (k->event)
                known += (known.empty() ? "" : ", ") + std::string(k->name);
    return "no signal named '" + safe_text(name) + "'; there are " + known;
}

/// A socket has no device, a device no owner.
void check_show_filters(const Options& o) {
    const Filters& f = o.filters;
    const bool links = !o.shows_a_run() && o.topic == Topic::kInterfaces;
    if (o.for_ns && !o.shows_a_run())
        throw CLI::ValidationError("--for", "goes with show tcp and dns only");
    if (!o.dns_ports.empty() && !o.show_dns)
        throw CLI::ValidationError("--dns-port", "goes with show dns only");
    if (!links && !o.show_tcp && !f.dev.empty())
        throw CLI::ValidationError("--dev", "goes with show interfaces and tcp only");
    if (links && (f.pid || f.port || !f.comm.empty() || !f.cgroup.empty() || !f.addr.empty()))
        throw CLI::ValidationError("show interfaces", "takes the filters --netns and --dev only");
}

void add_dns_ports(CLI::App& app, Options& o) {
    app.add_option("--dns-port", o.dns_ports,
                   fmt::format("port of name servers (default 53); up to {}", ABI_DNS_PORTS))
        ->check(CLI::Range(1, 65535))
        ->expected(1, ABI_DNS_PORTS);
}

void add_dns(CLI::App& app, Options& o) {
    add_dns_ports(app, o);
    app.add_flag("--no-dns-names", o.no_dns_names,
                 "leave names that are asked for in the kernel, take only their hashes");
}

CLI::App* add_watch(CLI::App& app, Options& o) {
    CLI::App* watch = app.add_subcommand("watch", "live stream of events");
    watch->add_option("signal", o.kinds, "which events; default all")->check(check_kind);
    add_for(*watch, o, "stop after this time (default: at SIGINT)");
    watch->add_flag("--all", o.all, "also drops that are normal life");
    add_filters(*watch, o.filters);
    add_dns(*watch, o);
    add_output(*watch, o);
    return watch;
}

/// Tables of a moment, and those that take a while to fill.
constexpr const char* kTcpTable = "tcp";
constexpr const char* kDnsTable = "dns";

CLI::App* add_show(CLI::App& app, Options& o) {
    CLI::App* show = app.add_subcommand("show", "what is there now, worst first");
    std::set<std::string> names(std::begin(kTopicNames), std::end(kTopicNames));
    names.insert(kTcpTable);
    names.insert(kDnsTable);
    show->add_option_function<std::string>(
            "table",
            [&o](const std::string& name) {
                o.show_tcp = name == kTcpTable;
                o.show_dns = name == kDnsTable;
                if (!o.shows_a_run())
                    o.topic =
                        static_cast<Topic>(std::ranges::find(kTopicNames, name) - kTopicNames);
            },
            fmt::format("one of {}", fmt::join(names, ", ")))
        ->required()
        ->check(CLI::IsMember(names));
    add_for(*show, o, "tcp, dns: how long to watch (default 5s)");
    show->add_option_function<std::uint32_t>(
            "--limit", [&o](std::uint32_t rows) { o.limit = rows; },
            fmt::format(
                "rows of each table (default {}; all that are kept in JSON); sums are exact "
                "in any case",
                kShowRows))
        ->check(CLI::Range(1U, 1'000'000U));
    show->callback([&o] { check_show_filters(o); });
    add_thresholds(*show, o);
    add_filters(*show, o.filters);
    add_dns_ports(*show, o);
    add_output(*show, o);
    return show;
}

std::string check_finding(const std::string& id) {
    if (std::ranges::find(finding_ids(), std::string_view(id)) != finding_ids().end())
        return {};
    return fmt::format("no finding named '{}'; there are {}", safe_text(id),
                       fmt::join(finding_ids(), ", "));
}

CLI::App* add_diagnose(CLI::App& app, Options& o) {
    CLI::App* diagnose =
        app.add_subcommand("diagnose", "watch for a while, then a verdict layer by layer");
    add_for(*diagnose, o, "how long to watch (default 10s, or as long as --verify's run)");
    diagnose->add_option("--only", o.only, "report only this finding")->check(check_finding);
    diagnose->add_option("--save", o.save, "write what was seen to a file for --replay");
    diagnose->add_option("--replay", o.replay,
                         "judge what --save wrote, without touching the kernel");
    diagnose->add_option("--verify", o.verify,
                         "an earlier verdict as JSON, or what --save wrote: is it repaired?");
    diagnose->add_flag("--explain", o.explain, "all evidence and all advice, nothing shortened");
    add_thresholds(*diagnose, o);
    add_filters(*diagnose, o.filters);
    add_dns(*diagnose, o);
    add_output(*diagnose, o);
    return diagnose;
}

Result<void> resolve_addr(const std::string& text, abi_config& config) {
    const std::size_t slash = text.find('/');
    const std::string host = text.substr(0, slash);
    const bool v6 = host.find(':') != std::string::npos;
    config.addr_family = v6 ? AF_INET6 : AF_INET;
    const unsigned longest = v6 ? 128 : 32;
    const auto prefix =
        slash == std::string::npos ? std::uint64_t{longest} : to_number(text.substr(slash + 1));
    if (inet_pton(config.addr_family, host.c_str(), config.addr) != 1 || !prefix ||
        *prefix > longest)
        return fail(Code::kUsage, "--addr: '" + safe_text(text) + "' is not an address or CIDR");
    for (std::size_t bit = 0; bit < *prefix; bit++)
        config.addr_mask[bit / 8] =
            static_cast<__u8>(config.addr_mask[bit / 8] | (0x80U >> bit % 8));
    for (std::size_t i = 0; i < sizeof(config.addr); i++)
        config.addr[i] &= config.addr_mask[i];
    config.filters |= ABI_FILTER_ADDR;
    return {};
}

Result<Netns> find_netns(const std::string& text) {
    NetnsMisses misses;
    const auto all = list_netns(misses);
    const auto number = to_number(text);
    for (const auto& [inum, netns] : all)
        if ((number && *number == inum) || netns.name == text ||
            (text.empty() && inum == own_netns()))
            return netns;
    return fail(Code::kFailed, "--netns: there is no network namespace '" + safe_text(text) +
                                   "' here (see ip netns)");
}

Result<std::uint64_t> find_cgroup(const std::string& text) {
    if (const auto id = to_number(text))
        return *id;
    for (const char* mount : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}) {
        struct stat st {};
        // only a cgroup v2 folder has this file
        const std::string path = text.starts_with(mount) ? text : mount + ("/" + text);
        if (stat((path + "/cgroup.controllers").c_str(), &st) == 0 && stat(path.c_str(), &st) == 0)
            return st.st_ino;
    }
    return fail(Code::kFailed, "--cgroup: there is no cgroup v2 '" + safe_text(text) + "'");
}

Result<void> resolve_place(const Filters& f, abi_config& config) {
    if (f.netns.empty() && f.dev.empty())
        return {};
    const auto netns = find_netns(f.netns);
    if (!netns)
        return std::unexpected(netns.error());
    config.netns = netns->inum;
    config.filters |= ABI_FILTER_NETNS;
    if (f.dev.empty())
        return {};
    const auto devices = read_devices(*netns);
    if (!devices)
        return std::unexpected(devices.error());
    for (const auto& [ifindex, name] : *devices)
        if (name == f.dev)
            config.ifindex = ifindex;
    if (!config.ifindex)
        return fail(Code::kFailed, "--dev: there is no device '" + safe_text(f.dev) +
                                       "' in that network namespace");
    config.filters |= ABI_FILTER_DEV;
    return {};
}

} // namespace

bool Filters::any() const {
    return partial() || !netns.empty();
}

bool Filters::partial() const {
    return pid || port || !(comm.empty() && cgroup.empty() && addr.empty() && dev.empty());
}

Result<abi_config> resolve_filters(const Filters& f) {
    abi_config config{};
    if (f.pid) {
        config.tgid = f.pid;
        config.filters |= ABI_FILTER_TGID;
    }
    if (!f.comm.empty()) {
        std::memcpy(config.comm, f.comm.data(), std::min(f.comm.size(), sizeof(config.comm) - 1));
        config.filters |= ABI_FILTER_COMM;
    }
    if (f.port) {
        config.port = f.port;
        config.filters |= ABI_FILTER_PORT;
    }
    if (!f.cgroup.empty()) {
        const auto id = find_cgroup(f.cgroup);
        if (!id)
            return std::unexpected(id.error());
        config.cgroup_id = *id;
        config.filters |= ABI_FILTER_CGROUP;
    }
    if (!f.addr.empty())
        if (const auto done = resolve_addr(f.addr, config); !done)
            return std::unexpected(done.error());
    if (const auto done = resolve_place(f, config); !done)
        return std::unexpected(done.error());
    return config;
}

void set_dns(const Options& options, abi_config& config) {
    config.dns_hashes = options.no_dns_names;
    const std::vector<std::uint16_t> ports =
        options.dns_ports.empty() ? std::vector<std::uint16_t>{53} : options.dns_ports;
    for (std::size_t i = 0; i < ABI_DNS_PORTS; i++)
        config.dns_ports[i] = ports[i < ports.size() ? i : 0];
}

std::expected<Options, int> parse_options(int argc, char** argv) {
    Options o;
    CLI::App app("Which process, which socket and which place in the kernel is to blame for this "
                 "host's network trouble?",
                 "culprit");
    app.set_version_flag("--version", CULPRIT_VERSION);
    app.footer(kEpilog);
    app.require_subcommand(1);
    CLI::App* diagnose = add_diagnose(app, o);
    CLI::App* watch = add_watch(app, o);
    CLI::App* show = add_show(app, o);
    CLI::App* doctor =
        app.add_subcommand("doctor", "what this kernel offers, and what is missing and why");
    doctor->add_flag("--list-thresholds", o.list_thresholds,
                     "the numbers that findings are judged by, and nothing else");
    add_thresholds(*doctor, o);
    add_output(*doctor, o);
    try {
        app.parse(argc, argv);
        if (!o.replay.empty() && (!o.save.empty() || o.filters.any() || o.for_ns))
            throw CLI::ValidationError(
                "--replay",
                "goes with --only, --verify, --explain, --thresholds, --output and --color");
    } catch (const CLI::ParseError& e) {
        const int code = app.exit(e);
        return std::unexpected(code == 0 ? 0 : 2);
    }
    o.command = *diagnose ? Command::kDiagnose
                : *watch  ? Command::kWatch
                : *show   ? Command::kShow
                          : Command::kDoctor;
    return o;
}

} // namespace culprit
