// SPDX-License-Identifier: MIT
// `culprit diagnose`: watches (or replays what was saved), judges, prints one verdict.
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include <fmt/format.h>

#include "app/collector.h"
#include "app/commands.h"
#include "model/owner_fill.h"
#include "model/window_json.h"
#include "util/log.h"
#include "util/text.h"
#include "util/time.h"

namespace culprit {

namespace {

constexpr std::uint64_t kWindowNs = 1'000'000'000;
constexpr int kTickMs = 200;

double cpu_seconds() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::uint64_t rss_bytes() {
    const std::string statm = read_file("/proc/self/statm").value_or("");
    const std::size_t space = statm.find(' ');
    const auto pages =
        space == std::string::npos
            ? std::nullopt
            : to_number(statm.substr(space + 1, statm.find(' ', space + 1) - space - 1));
    return pages.value_or(0) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

Result<void> collect(const Options& options, Session& session, History& history) {
    LiveNames names(session.features);
    Collector collector(session.capture, names);
    std::ofstream save;
    if (!options.save.empty()) {
        save.open(options.save, std::ios::trunc);
        if (!save)
            return std::unexpected(sys_error(errno, "write " + safe_text(options.save)));
    }
    collector.begin();
    const std::uint64_t until = boot_now_ns() + options.for_ns;
    std::uint64_t window_end = std::min(boot_now_ns() + kWindowNs, until);
    for (bool last = false; !last;) {
        const std::uint64_t now = boot_now_ns();
        const std::uint64_t left_ms = now < window_end ? (window_end - now) / 1'000'000 + 1 : 0;
        if (const auto done =
                collector.poll(static_cast<int>(std::min<std::uint64_t>(left_ms, kTickMs)));
            !done)
            return std::unexpected(done.error());
        last = stop_requested || boot_now_ns() >= until;
        if (!last && boot_now_ns() < window_end)
            continue;
        auto window = collector.cut(last);
        if (!window)
            return std::unexpected(window.error());
        if (save.is_open() && !(save << window_to_json(*window) << '\n'))
            return fail(Code::kFailed,
                        "write " + safe_text(options.save) + ": no space or no access");
        history.add(std::move(*window));
        window_end = std::min(boot_now_ns() + kWindowNs, until);
    }
    return {};
}

Result<History> replay(const std::string& path) {
    std::ifstream file(path);
    if (!file)
        return std::unexpected(sys_error(errno, "read " + safe_text(path)));
    History history;
    std::string line;
    for (std::size_t number = 1; std::getline(file, line); number++) {
        auto window = window_from_json(line);
        if (!window)
            return std::unexpected(
                window.error().in(fmt::format("{} line {}", safe_text(path), number)));
        history.add(std::move(*window));
    }
    if (history.windows().empty())
        return fail(Code::kFailed, safe_text(path) + " has no windows");
    return history;
}

int print_verdict(const Options& options, Verdict verdict) {
    utsname name{};
    uname(&name);
    if (options.replay.empty()) {
        verdict.host = safe_text(name.nodename);
        verdict.kernel = safe_text(name.release);
    }
    if (!print_data(options.json() ? verdict_json(verdict)
                                   : verdict_text(verdict, style_of(options))) ||
        !flush_data())
        return print_error(sys_error(errno, "write the verdict"));
    switch (verdict.outcome) {
    case Outcome::kHealthy:
        return kExitHealthy;
    case Outcome::kFindings:
        return kExitFindings;
    case Outcome::kIncomplete:
        break;
    }
    return kExitFailed;
}

Verdict judge_history(const Options& options, const History& history,
                      std::vector<SignalStatus> status) {
    Window total = history.total();
    fill_unknown_owners(total);
    return judge({.facts = {std::move(total), history.windows()},
                  .status = std::move(status),
                  .filtered = options.filters.any(),
                  .only = options.only});
}

} // namespace

int run_diagnose(const Options& options) {
    if (!options.replay.empty()) {
        const auto history = replay(options.replay);
        if (!history)
            return print_error(history.error());
        std::vector<SignalStatus> status;
        for (const Signal* signal : all_signals())
            status.push_back({signal->name, State::kOn, {}, {}, {}});
        return print_verdict(options, judge_history(options, *history, std::move(status)));
    }
    const double cpu = cpu_seconds();
    auto session = start_session(options, all_kinds(), false);
    if (!session)
        return print_error(session.error());
    const double cpu_started = cpu_seconds();
    log(Level::kDebug, fmt::format("start used {:.3f} s of CPU", cpu_started - cpu));
    History history;
    if (const auto done = collect(options, *session, history); !done)
        return print_error(done.error());
    const double cpu_watching = cpu_seconds() - cpu_started;
    Verdict verdict = judge_history(options, history, session->capture.status());
    const double seconds = static_cast<double>(verdict.to_ns - verdict.from_ns) / 1e9;
    verdict.self = {seconds > 0 ? 100 * cpu_watching / seconds : 0, rss_bytes(),
                    session->capture.costs()};
    return print_verdict(options, std::move(verdict));
}

} // namespace culprit
