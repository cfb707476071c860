// SPDX-License-Identifier: MIT
// /proc/PID/fdinfo of an open /dev/net/tun has a line "iff:" with the device's name.
#include "kernel/tun_holders.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <sstream>

#include "kernel/features.h"
#include "util/text.h"
#include "util/time.h"

namespace culprit {

namespace {

namespace fs = std::filesystem;

std::string device_of(const fs::path& fdinfo) {
    std::istringstream lines(read_file(fdinfo.string()).value_or(""));
    for (std::string line; std::getline(lines, line);)
        if (line.starts_with("iff:"))
            return line.substr(std::min(line.find_first_not_of(" \t", 4), line.size()));
    return {};
}

bool is_tun(const fs::path& fd) {
    std::array<char, 16> target;
    const ssize_t length = ::readlink(fd.c_str(), target.data(), target.size());
    return length > 0 &&
           std::string_view(target.data(), static_cast<std::size_t>(length)) == "/dev/net/tun";
}

/// The name in parentheses may hold anything; the fields behind it are those of proc_pid_stat(5)
/// from the third on.
std::optional<TunHolder> read_holder(const fs::path& process, std::uint64_t tgid) {
    constexpr int kStart = 19; // counted from the state
    const std::string stat = read_file((process / "stat").string()).value_or("");
    const std::size_t open = stat.find('('), close = stat.rfind(')');
    struct stat ns {};
    if (open == std::string::npos || close == std::string::npos || close < open ||
        ::stat((process / "ns/net").c_str(), &ns) != 0)
        return std::nullopt;
    std::istringstream rest(stat.substr(close + 1));
    std::string word, state;
    rest >> state;
    for (int i = 0; i < kStart; i++)
        rest >> word;
    // in a time namespace /proc counts from another beginning
    const std::uint64_t ticks = to_number(word).value_or(0) - to_clock_ticks(0);
    return TunHolder{.tgid = static_cast<std::uint32_t>(tgid),
                     .start_ns = ticks * clock_tick_ns(),
                     .netns = static_cast<std::uint32_t>(ns.st_ino),
                     .comm = stat.substr(open + 1, close - open - 1),
                     .state = state.empty() ? '\0' : state.front()};
}

} // namespace

std::vector<TunHolder> find_tun_holders() {
    std::vector<TunHolder> found;
    std::size_t files = 0;
    std::error_code gone; // processes come and go
    for (fs::directory_iterator it("/proc", gone), end; it != end; it.increment(gone)) {
        const auto tgid = to_number(it->path().filename().string());
        if (!tgid)
            continue;
        for (fs::directory_iterator fd(it->path() / "fd", gone); fd != end; fd.increment(gone)) {
            if (++files > kTunFilesMax)
                return found;
            if (!is_tun(fd->path()))
                continue;
            auto holder = read_holder(it->path(), *tgid);
            if (!holder)
                continue;
            holder->device = device_of(it->path() / "fdinfo" / fd->path().filename());
            if (!holder->device.empty())
                found.push_back(std::move(*holder));
        }
    }
    return found;
}

} // namespace culprit
