// SPDX-License-Identifier: MIT
// Reads /proc/PID/stat, limits and fd.
#include "kernel/task_state.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "kernel/features.h"
#include "util/text.h"
#include "util/time.h"

namespace culprit {

namespace {

/// The words behind the name, which may contain anything; the first is the state.
std::vector<std::string> stat_words(const std::string& text) {
    std::istringstream rest(text.substr(std::min(text.rfind(')') + 1, text.size())));
    std::vector<std::string> words;
    for (std::string word; rest >> word;)
        words.push_back(word);
    return words;
}

std::uint64_t number_of(const std::string& word) {
    return to_number(word).value_or(0);
}

/// "Max open files            1024                 524288               files"
std::uint64_t soft_limit(const std::string& limits) {
    constexpr std::string_view kName = "Max open files";
    const std::size_t at = limits.find(kName);
    if (at == std::string::npos)
        return 0;
    std::istringstream rest(limits.substr(at + kName.size()));
    std::string soft;
    rest >> soft;
    return soft == "unlimited" ? UINT64_MAX : number_of(soft);
}

/// The folder's size is the number since Linux 6.2; before that it is 0.
std::uint64_t count_files(const std::string& folder) {
    struct stat st {};
    if (::stat(folder.c_str(), &st) == 0 && st.st_size > 0)
        return static_cast<std::uint64_t>(st.st_size);
    std::error_code denied;
    std::uint64_t count = 0;
    for (std::filesystem::directory_iterator it(folder, denied), end; !denied && it != end;
         it.increment(denied))
        count++;
    return count;
}

} // namespace

Result<TaskState> read_task_state(std::uint32_t tgid, std::uint64_t start_ns) {
    // fields of proc_pid_stat(5), counted from the state
    constexpr std::size_t kUser = 11, kSystem = 12, kStart = 19;
    const std::string folder = fmt::format("/proc/{}", tgid);
    const auto stat = read_file(folder + "/stat");
    if (!stat)
        return std::unexpected(stat.error());
    const auto words = stat_words(*stat);
    if (words.size() <= kStart)
        return fail(Code::kFailed, folder + "/stat has too few fields");
    if (to_clock_ticks(start_ns) != number_of(words[kStart]))
        return fail(Code::kFailed, fmt::format("process {} is another one by now", tgid));
    const auto limits = read_file(folder + "/limits");
    return TaskState{words[0].front(),
                     (number_of(words[kUser]) + number_of(words[kSystem])) * clock_tick_ns(),
                     count_files(folder + "/fd"), limits ? soft_limit(*limits) : 0};
}

} // namespace culprit
