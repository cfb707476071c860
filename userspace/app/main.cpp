// SPDX-License-Identifier: MIT
// Wiring: options to commands, signals to a flag, and what commands share.
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>

#include <fmt/format.h>

#include "app/commands.h"
#include "detect/thresholds.h"
#include "kernel/confinement.h"
#include "util/log.h"
#include "util/text.h"
#include "util/time.h"

namespace culprit {

volatile std::sig_atomic_t stop_requested = 0;

namespace {

void on_signal(int) {
    stop_requested = 1;
}

void catch_signals() {
    struct sigaction action {};
    action.sa_handler = on_signal; // no SA_RESTART: a wait ends at once
    for (const int number : {SIGINT, SIGTERM})
        sigaction(number, &action, nullptr);
}

/// The usual file may be absent; one that was asked for may not.
Result<void> override_thresholds(const Options& options) {
    constexpr std::size_t kFileMax = 1 << 20;
    const bool asked = !options.thresholds.empty();
    const std::string path = asked ? options.thresholds : kThresholdsFile;
    std::ifstream file(path, std::ios::binary);
    if (!file)
        return asked || errno != ENOENT
                   ? std::unexpected(
                         Error{Code::kUsage, sys_error(errno, "read " + safe_text(path)).what})
                   : Result<void>{};
    std::string text(kFileMax + 1, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    text.resize(static_cast<std::size_t>(file.gcount()));
    if (file.bad() || text.size() > kFileMax)
        return fail(Code::kUsage, safe_text(path) + " cannot be read, or is no file of thresholds");
    const auto done = threshold::override_with(text);
    return done ? done : std::unexpected(done.error().in(safe_text(path)));
}

int run(const Options& options) {
    if (options.debug)
        set_log_level(Level::kDebug);
    catch_signals();
    if (const auto done = override_thresholds(options); !done)
        return print_error(done.error());
    switch (options.command) {
    case Command::kDiagnose:
        return run_diagnose(options);
    case Command::kWatch:
        return run_watch(options);
    case Command::kDoctor:
        return run_doctor(options);
    case Command::kShow:
        return options.shows_a_run() ? run_show_run(options) : run_show(options);
    case Command::kNone:
        break;
    }
    return kExitUsage;
}

} // namespace

bool print_data(const std::string& text) {
    return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() &&
           std::fflush(stdout) == 0;
}

bool flush_data() {
    return std::fflush(stdout) == 0;
}

int print_error(const Error& error) {
    log(Level::kError, error.what);
    return error.code == Code::kUsage ? kExitUsage : kExitFailed;
}

Style style_of(const Options& options) {
    const char* none = std::getenv("NO_COLOR");
    const bool terminal = isatty(STDOUT_FILENO) && !(none && *none);
    return {.color = options.color == "always" || (options.color == "auto" && terminal),
            .json = options.json(),
            .explain = options.explain};
}

std::set<std::uint32_t> all_event_kinds() {
    std::set<std::uint32_t> kinds;
    for (const Signal* signal : all_signals())
        for (const Kind* kind : signal->kinds)
            if (kind->event && !kind->on_request)
                kinds.insert(kind->id);
    return kinds;
}

std::set<std::uint32_t> all_kinds() {
    std::set<std::uint32_t> kinds;
    for (const Signal* signal : all_signals())
        for (const Kind* kind : signal->kinds)
            if (!kind->on_request)
                kinds.insert(kind->id);
    return kinds;
}

void confine_self() {
    if (const auto done = confine(); !done)
        log(Level::kWarning, "goes on with more rights than it needs: " + done.error().what);
}

Result<Session> start_session(const Options& options, const std::set<std::uint32_t>& kinds,
                              bool for_people) {
    // a stream shows single packets; a verdict needs a few of each kind, the totals are exact
    // anyway
    constexpr std::uint32_t kSamplesStream = 256, kSamplesVerdict = 16, kTurns = 64;
    auto config = resolve_filters(options.filters);
    if (!config)
        return std::unexpected(config.error());
    config->samples = for_people ? kSamplesStream : kSamplesVerdict;
    config->turns = kTurns;
    config->slow_ns = 100'000'000;
    set_dns(options, *config);
    Session session;
    const std::uint64_t began = boot_now_ns();
    session.features = read_features(wanted_hooks(), options.hidden_hooks);
    session.capture.start(session.features, {.config = *config, .kinds = kinds});
    malloc_trim(0); // parsing BTF left megabytes of free heap behind
    session.start_ms = static_cast<double>(boot_now_ns() - began) / 1e6;
    log(Level::kDebug, fmt::format("attached after {:.1f} ms", session.start_ms));
    const auto& all = session.capture.status();
    const bool any =
        std::ranges::any_of(all, [](const SignalStatus& s) { return s.is_watching(); });
    if (!any)
        return fail(Code::kUnsupported,
                    fmt::format("no signal can run: {}; see culprit doctor",
                                all.empty() || all.front().why.empty() ? "no reason known"
                                                                       : all.front().why.front()));
    return session;
}

} // namespace culprit

int main(int argc, char** argv) {
    const auto options = culprit::parse_options(argc, argv);
    return options ? culprit::run(*options) : options.error();
}
