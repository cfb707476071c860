// SPDX-License-Identifier: MIT
// Finds namespaces through /proc/*/ns/net and /run/netns; a namespace that disappears while we look
// is no error.
#include "kernel/netns.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/capability.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/stat.h>

#include <array>
#include <exception>
#include <memory>
#include <system_error>
#include <thread>

#include "kernel/confinement.h"
#include "kernel/features.h"
#include "util/text.h"
#include "util/unique_fd.h"

namespace culprit {

namespace {

// below /proc/PID/net; not there while no connection is tracked on this host
constexpr const char* kConntrackStat = "/stat/nf_conntrack";

struct DirClose {
    void operator()(DIR* d) const { closedir(d); }
};

/// 0, and errno, when it cannot be read.
std::uint32_t inum_of(const std::string& path) {
    struct stat st {};
    return stat(path.c_str(), &st) == 0 ? static_cast<std::uint32_t>(st.st_ino) : 0;
}

template <typename Each>
void each_entry(const char* folder, const Each& each) {
    const std::unique_ptr<DIR, DirClose> dir(opendir(folder));
    while (dirent* entry = dir ? readdir(dir.get()) : nullptr)
        if (entry->d_name[0] != '.')
            each(std::string(entry->d_name));
}

Result<Counters> read_counters_at(const std::string& net) {
    const auto snmp = read_file(net + "/snmp");
    if (!snmp)
        return std::unexpected(snmp.error());
    const auto netstat = read_file(net + "/netstat");
    if (!netstat)
        return std::unexpected(netstat.error());
    Counters counters{};
    parse_counters(*snmp, counters);
    parse_counters(*netstat, counters);
    parse_conntrack(read_file(net + kConntrackStat).value_or(""), counters);
    if (const auto snmp6 = read_file(net + "/snmp6")) // not there when IPv6 is off
        parse_counters6(*snmp6, counters);
    return counters;
}

std::map<std::uint32_t, std::string> devices_here() {
    std::map<std::uint32_t, std::string> devices;
    struct NameFree {
        void operator()(struct if_nameindex* n) const { if_freenameindex(n); }
    };
    const std::unique_ptr<struct if_nameindex, NameFree> all(if_nameindex());
    for (struct if_nameindex* d = all.get(); d && d->if_index; d++)
        devices[d->if_index] = d->if_name;
    return devices;
}

std::set<std::string> addresses_here() {
    struct AddressesFree {
        void operator()(ifaddrs* a) const { freeifaddrs(a); }
    };
    std::set<std::string> addresses;
    ifaddrs* first = nullptr;
    if (getifaddrs(&first))
        return addresses;
    const std::unique_ptr<ifaddrs, AddressesFree> all(first);
    for (const ifaddrs* a = first; a && addresses.size() < kAddressesMax; a = a->ifa_next) {
        const int family = a->ifa_addr ? a->ifa_addr->sa_family : AF_UNSPEC;
        const void* bytes = nullptr;
        if (family == AF_INET)
            bytes = &reinterpret_cast<const sockaddr_in*>(a->ifa_addr)->sin_addr;
        else if (family == AF_INET6)
            bytes = &reinterpret_cast<const sockaddr_in6*>(a->ifa_addr)->sin6_addr;
        std::array<char, INET6_ADDRSTRLEN> text;
        if (bytes && inet_ntop(family, bytes, text.data(), text.size()))
            addresses.insert(text.data());
    }
    return addresses;
}

/// What `read` finds on a thread inside the namespace.
template <typename Read>
auto read_inside(const Netns& netns, const Read& read) -> Result<decltype(read())> {
    if (netns.inum == own_netns())
        return read();
    decltype(read()) found;
    const auto entered = run_in_netns(netns.path, [&] { found = read(); });
    if (!entered)
        return std::unexpected(entered.error());
    return found;
}

} // namespace

std::uint32_t own_netns() {
    return inum_of("/proc/self/ns/net");
}

std::map<std::uint32_t, Netns> list_netns(NetnsMisses& misses) {
    std::map<std::uint32_t, Netns> found;
    misses = {};
    const auto add = [&](const std::string& path, const std::string& proc,
                         const std::string& name) {
        const std::uint32_t inum = inum_of(path);
        if (!inum)
            misses.hidden += errno == EACCES || errno == EPERM;
        if (!inum || (!found.contains(inum) && found.size() >= kNetnsMax && ++misses.left_out))
            return;
        Netns& netns = found.try_emplace(inum, Netns{inum, "", path, proc}).first->second;
        if (!name.empty() && netns.name.empty())
            netns.name = name;
        if (netns.proc.empty())
            netns.proc = proc;
    };
    add("/proc/self/ns/net", "/proc/self", "");
    each_entry("/proc", [&](const std::string& pid) {
        if (to_number(pid))
            add("/proc/" + pid + "/ns/net", "/proc/" + pid, "");
    });
    for (const char* folder : {"/run/netns", "/run/docker/netns"})
        each_entry(folder, [&](const std::string& name) { add(folder + ("/" + name), "", name); });
    if (has_capability(CAP_SYS_PTRACE)) // a security module's will: no right would help
        misses.hidden = 0;
    return found;
}

std::string hidden_text(std::size_t processes) {
    return "the network namespaces of " + std::to_string(processes) +
           " processes are hidden and were not looked at, should there be others: it needs "
           "CAP_SYS_PTRACE";
}

Result<void> run_in_netns(const std::string& path, const std::function<void()>& work) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd)
        return std::unexpected(sys_error(errno, "open " + path));
    Result<void> done;
    const auto inside = [&] {
        if (setns(fd.get(), CLONE_NEWNET) != 0) {
            done = std::unexpected(sys_error(errno, "enter network namespace " + path));
            return;
        }
        try {
            work();
        } catch (const std::exception& error) { // it would end the process
            done = fail(Code::kFailed, "in network namespace " + path + ": " + error.what());
        }
    };
    try {
        std::thread(inside).join();
    } catch (const std::system_error& error) {
        return fail(Code::kFailed, std::string("start a thread: ") + error.what());
    }
    return done;
}

Result<bool> visit_netns(const Netns& netns, const std::function<void()>& work) {
    if (netns.inum == own_netns()) {
        work();
        return true;
    }
    bool inside = false;
    const auto entered = run_in_netns(netns.path, [&] {
        inside = inum_of("/proc/thread-self/ns/net") == netns.inum;
        if (inside)
            work();
    });
    if (!entered && (inside || entered.error().code == Code::kDenied))
        return std::unexpected(entered.error());
    return inside;
}

Result<Counters> read_counters(const Netns& netns) {
    // the process may have moved or its PID may be another's by now: only trust it while it is
    // still in there
    if (!netns.proc.empty() && inum_of(netns.proc + "/ns/net") == netns.inum) {
        auto counters = read_counters_at(netns.proc + "/net");
        if (counters)
            return counters;
    }
    Result<Counters> counters = fail(Code::kFailed, "not read");
    const auto entered =
        visit_netns(netns, [&] { counters = read_counters_at("/proc/thread-self/net"); });
    if (!entered)
        return std::unexpected(entered.error());
    return *entered ? counters : fail(Code::kFailed, "the namespace is gone");
}

Gauges read_gauges(const Netns& netns) {
    Gauges gauges;
    const auto read = [&](const std::string& net) {
        const auto text = read_file(net + "/sockstat");
        if (text)
            parse_sockstat(*text, gauges);
        parse_conntrack_count(read_file(net + kConntrackStat).value_or(""), gauges);
        return text.has_value();
    };
    if (!netns.proc.empty() && inum_of(netns.proc + "/ns/net") == netns.inum &&
        read(netns.proc + "/net"))
        return gauges;
    (void)visit_netns(netns, [&] { read("/proc/thread-self/net"); });
    return gauges;
}

Gauges read_limits(const Netns& netns) {
    Gauges gauges;
    (void)visit_netns(netns, [&] { read_limits(gauges); });
    return gauges;
}

Result<std::set<std::string>> read_addresses(const Netns& netns) {
    return read_inside(netns, &addresses_here);
}

Result<Routing> read_routing(const Netns& netns) {
    Result<Routing> routing = fail(Code::kFailed, "the namespace is gone");
    const auto entered = visit_netns(netns, [&] { routing = read_routing(); });
    return entered ? routing : std::unexpected(entered.error());
}

Result<std::map<std::uint32_t, std::string>> read_devices(const Netns& netns) {
    return read_inside(netns, &devices_here);
}

} // namespace culprit
