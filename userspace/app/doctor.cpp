// SPDX-License-Identifier: MIT
// `culprit doctor`: loads and attaches everything for real, reports, and lets go again.
#include <algorithm>

#include "app/commands.h"
#include "kernel/confinement.h"
#include "util/time.h"

namespace culprit {

int run_doctor(const Options& options) {
    if (options.list_thresholds)
        return print_data(options.json() ? thresholds_json() : thresholds_text(style_of(options)))
                   ? kExitHealthy
                   : kExitFailed;
    DoctorReport report;
    report.version = CULPRIT_VERSION;
    const std::uint64_t began = boot_now_ns();
    report.features = read_features(wanted_hooks(), options.hidden_hooks);
    Capture capture;
    capture.start(report.features, {.kinds = all_kinds()});
    report.start_ms = static_cast<double>(boot_now_ns() - began) / 1e6;
    report.signals = capture.status();
    report.confined = confine();
    if (!print_data(options.json() ? doctor_json(report)
                                   : doctor_text(report, style_of(options))) ||
        !flush_data())
        return print_error(sys_error(errno, "write the report"));
    const bool any =
        std::ranges::any_of(report.signals, [](const SignalStatus& s) { return s.is_watching(); });
    return any ? kExitHealthy : kExitFailed;
}

} // namespace culprit
