// SPDX-License-Identifier: MIT
// The folder of a process stays its own when it is opened once: after the exit reading in it fails,
// whoever has the PID then.
#include "kernel/process.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>

#include "kernel/cgroup.h"
#include "kernel/features.h"
#include "util/text.h"
#include "util/time.h"
#include "util/unique_fd.h"

namespace culprit {

namespace {

constexpr std::size_t kFileMax = 16384; // of what is read of one file

/// What proc_pid_stat(5) says of identity and life.
struct Stat {
    char state = 0;
    std::uint64_t threads = 0;
    std::uint64_t start_ticks = 0;
};

/// At most `most` bytes of a small file; empty when there is none.
std::string read_in(const UniqueFd& folder, const char* name, std::size_t most) {
    const UniqueFd fd(::openat(folder.get(), name, O_RDONLY | O_CLOEXEC));
    std::string bytes(most, '\0');
    const ssize_t got = fd ? ::read(fd.get(), bytes.data(), bytes.size()) : -1;
    bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return bytes;
}

std::string read_comm(const UniqueFd& folder) {
    std::string comm = read_in(folder, "comm", kCmdlineMax);
    if (comm.ends_with('\n'))
        comm.pop_back();
    return comm;
}

std::string read_exe(const UniqueFd& folder) {
    std::array<char, PATH_MAX> target;
    const ssize_t length = ::readlinkat(folder.get(), "exe", target.data(), target.size());
    std::string_view path(target.data(), length < 0 ? 0 : static_cast<std::size_t>(length));
    if (path.ends_with(kDeleted))
        path.remove_suffix(kDeleted.size());
    return std::string(path.substr(0, kPathMax));
}

std::string read_cmdline(const UniqueFd& folder) {
    std::string cmdline = read_in(folder, "cmdline", kCmdlineMax);
    cmdline.erase(cmdline.find_last_not_of('\0') + 1);
    std::ranges::replace(cmdline, '\0', ' ');
    return cmdline;
}

/// The name in parentheses may hold anything, parentheses too: only the last one ends it. Behind it
/// stand state (field 3), threads (20) and start (22).
std::optional<Stat> parse_stat(std::string_view text) {
    const std::size_t name_end = text.rfind(')');
    if (name_end == std::string_view::npos)
        return std::nullopt;
    text.remove_prefix(name_end + 1);
    take_until(text, ' ');
    std::array<std::string_view, 20> fields; // from field 3 on
    for (std::string_view& field : fields)
        field = take_until(text, ' ');
    const auto threads = to_number(fields[17]), start = to_number(fields[19]);
    if (fields[0].size() != 1 || !threads || !start)
        return std::nullopt;
    return Stat{fields[0][0], *threads, *start};
}

/// Reaped or not: a leader that ended before its other threads is a zombie too, but they go on.
bool is_alive(const Stat& stat) {
    return (stat.state != 'Z' && stat.state != 'X') || stat.threads > 1;
}

} // namespace

void update(Process& known, const Process& later) {
    if (later.exited)
        known.exited = true;
    else
        known = later;
}

std::optional<Process> read_process(const std::string& proc, const ProcessKey& key) {
    const auto& [tgid, start_ns] = key;
    if (!tgid || !start_ns)
        return std::nullopt;
    const Process gone{.exited = true};
    const UniqueFd folder(
        ::open((proc + '/' + std::to_string(tgid)).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!folder)
        return errno == ENOENT ? std::optional(gone) : std::nullopt;
    Process found{.comm = read_comm(folder),
                  .exe = read_exe(folder),
                  .cmdline = read_cmdline(folder),
                  .cgroup = pick_cgroup(read_in(folder, "cgroup", kFileMax)).substr(0, kPathMax)};
    // last: alive now means that it was while the rest was read
    errno = 0;
    const std::string text = read_in(folder, "stat", kFileMax);
    if (text.empty())
        return errno == ESRCH || errno == ENOENT ? std::optional(gone) : std::nullopt;
    const auto stat = parse_stat(text);
    if (!stat)
        return std::nullopt;
    return stat->start_ticks == to_clock_ticks(start_ns) && is_alive(*stat) ? found : gone;
}

bool sees_host_processes() {
    constexpr std::string_view kHost = "pid:[4026531836]"; // linux/proc_ns.h: PROC_PID_INIT_INO
    std::array<char, 32> target;
    const ssize_t length = ::readlink("/proc/self/ns/pid", target.data(), target.size());
    return std::string_view(target.data(), length < 0 ? 0 : static_cast<std::size_t>(length)) ==
               kHost &&
           read_file("/proc/1/stat").has_value();
}

} // namespace culprit
