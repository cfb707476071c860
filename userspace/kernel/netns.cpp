// SPDX-License-Identifier: MIT
// Finds namespaces through /proc/*/ns/net and /run/netns; a namespace that disappears while we look
// is no error.
#include "kernel/netns.h"

#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/stat.h>

#include <memory>
#include <thread>

#include "kernel/features.h"
#include "util/text.h"
#include "util/unique_fd.h"

namespace culprit {

namespace {

struct DirClose {
    void operator()(DIR* d) const { closedir(d); }
};

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

Counters parse_both(const std::string& snmp, const std::string& netstat) {
    Counters counters{};
    parse_counters(snmp, counters);
    parse_counters(netstat, counters);
    return counters;
}

Result<Counters> read_counters_at(const std::string& net) {
    const auto snmp = read_file(net + "/snmp");
    if (!snmp)
        return std::unexpected(snmp.error());
    const auto netstat = read_file(net + "/netstat");
    if (!netstat)
        return std::unexpected(netstat.error());
    return parse_both(*snmp, *netstat);
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

} // namespace

std::uint32_t own_netns() {
    return inum_of("/proc/self/ns/net");
}

std::map<std::uint32_t, Netns> list_netns(std::size_t& left_out) {
    std::map<std::uint32_t, Netns> found;
    left_out = 0;
    const auto add = [&](const std::string& path, const std::string& proc,
                         const std::string& name) {
        const std::uint32_t inum = inum_of(path);
        if (!inum || (!found.contains(inum) && found.size() >= kNetnsMax && ++left_out))
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
    return found;
}

Result<void> run_in_netns(const std::string& path, const std::function<void()>& work) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd)
        return std::unexpected(sys_error(errno, "open " + path));
    int error = 0;
    std::thread([&] {
        if (setns(fd.get(), CLONE_NEWNET) == 0)
            work();
        else
            error = errno;
    }).join();
    if (error)
        return std::unexpected(sys_error(error, "enter network namespace " + path));
    return {};
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
    if (!entered && entered.error().code == Code::kDenied)
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

Result<std::map<std::uint32_t, std::string>> read_devices(const Netns& netns) {
    if (netns.inum == own_netns())
        return devices_here();
    std::map<std::uint32_t, std::string> devices;
    const auto entered = run_in_netns(netns.path, [&] { devices = devices_here(); });
    if (!entered)
        return std::unexpected(entered.error());
    return devices;
}

} // namespace culprit
