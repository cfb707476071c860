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
#include "app/verify.h"
#include "model/window_json.h"
#include "present/dns.h"
#include "present/tcp.h"
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

RunInfo info_of(const Options& options) {
    utsname name{};
    uname(&name);
    return {.host = name.nodename, .kernel = name.release, .filtered = options.filters.any()};
}

Result<void> collect(const Options& options, Session& session, Run& run) {
    LiveNames names(session.features);
    Collector collector(session.capture, names);
    std::ofstream save;
    if (!options.save.empty()) {
        save.open(options.save, std::ios::trunc);
        if (!save)
            return std::unexpected(sys_error(errno, "write " + safe_text(options.save)));
    }
    confine_self();
    run.info = info_of(options);
    const std::uint64_t until = boot_now_ns() + options.for_ns; // the first look is part of the run
    collector.begin();
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
        run.info.status = session.capture.status();
        run.info.gaps = collector.gaps();
        if (save.is_open() && !(save << window_to_json(*window, &run.info) << '\n'))
            return fail(Code::kFailed,
                        "write " + safe_text(options.save) + ": no space or no access");
        run.history.add(std::move(*window));
        window_end = std::min(boot_now_ns() + kWindowNs, until);
    }
    return {};
}

int exit_code(const Verdict& verdict) {
    if (const auto& verified = verdict.verification) {
        if (verified->any_left)
            return kExitFindings;
        return verified->any_open || verdict.outcome == Outcome::kIncomplete ? kExitFailed
                                                                             : kExitHealthy;
    }
    return verdict.outcome == Outcome::kHealthy    ? kExitHealthy
           : verdict.outcome == Outcome::kFindings ? kExitFindings
                                                   : kExitFailed;
}

int print_verdict(const Options& options, const Verdict& verdict) {
    if (!print_data(options.json() ? verdict_json(verdict)
                                   : verdict_text(verdict, style_of(options))) ||
        !flush_data())
        return print_error(sys_error(errno, "write the verdict"));
    return exit_code(verdict);
}

Verdict judge_run(const Options& options, const Run& run, const std::optional<Earlier>& earlier) {
    VerdictInput input = input_of(run);
    input.only = options.only;
    Verdict verdict = judge(input);
    verdict.host = run.info.host;
    verdict.kernel = run.info.kernel;
    if (earlier)
        verdict.verification =
            verify(*earlier, verdict, input.facts, view_of(options, input.facts));
    return verdict;
}

Result<Verdict> watch_and_judge(const Options& options, const std::optional<Earlier>& earlier) {
    const double cpu = cpu_seconds();
    auto session = start_session(options, all_kinds(), false);
    if (!session)
        return std::unexpected(session.error());
    const double cpu_started = cpu_seconds();
    log(Level::kDebug, fmt::format("start used {:.3f} s of CPU", cpu_started - cpu));
    Run run;
    if (const auto done = collect(options, *session, run); !done)
        return std::unexpected(done.error());
    const double cpu_watching = cpu_seconds() - cpu_started;
    Verdict verdict = judge_run(options, run, earlier);
    const double seconds = static_cast<double>(verdict.to_ns - verdict.from_ns) / 1e9;
    verdict.self = {seconds > 0 ? 100 * cpu_watching / seconds : 0, rss_bytes(),
                    session->capture.costs()};
    return verdict;
}

Result<Verdict> judge_saved(const Options& options, const std::optional<Earlier>& earlier) {
    const auto run = replay(options.replay);
    if (!run)
        return std::unexpected(run.error());
    return judge_run(options, *run, earlier);
}

std::string tcp_table(const Options& options, const Verdict& verdict) {
    const std::size_t limit =
        options.limit.value_or(options.json() ? verdict.tcp.size() : kShowRows);
    return options.json() ? tcp_json(verdict)
                          : tcp_text(verdict.tcp, verdict.names, limit, style_of(options));
}

std::string dns_table(const Options& options, const Verdict& verdict) {
    return options.json() ? dns_json(verdict, options.limit.value_or(DnsServices::kClientsMax))
                          : dns_text(verdict, options.limit.value_or(kShowRows), style_of(options));
}

} // namespace

int run_diagnose(const Options& given) {
    Options options = given;
    std::optional<Earlier> earlier;
    if (!options.verify.empty()) {
        auto read = read_earlier(options.verify, options.only);
        if (!read)
            return print_error(read.error());
        earlier = std::move(*read);
    }
    constexpr std::uint64_t kUsualNs = 10'000'000'000;
    if (!options.for_ns)
        options.for_ns = earlier ? earlier->length_ns : kUsualNs;
    auto verdict =
        options.replay.empty() ? watch_and_judge(options, earlier) : judge_saved(options, earlier);
    return verdict ? print_verdict(options, *verdict) : print_error(verdict.error());
}

int run_show_run(const Options& given) {
    constexpr std::uint64_t kUsualNs = 5'000'000'000;
    Options options = given;
    options.for_ns = options.for_ns ? options.for_ns : kUsualNs;
    const auto verdict = watch_and_judge(options, {});
    if (!verdict)
        return print_error(verdict.error());
    if (!print_data(options.show_tcp ? tcp_table(options, *verdict)
                                     : dns_table(options, *verdict)) ||
        !flush_data())
        return print_error(sys_error(errno, "write the table"));
    // each note is something left out
    return options.show_dns && !dns_notes(*verdict).empty() ? kExitFailed : kExitHealthy;
}

} // namespace culprit
