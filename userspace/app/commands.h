// SPDX-License-Identifier: MIT
// The commands: each returns the process's exit code.
#pragma once

#include <csignal>
#include <cstdio>
#include <string>

#include "app/options.h"
#include "kernel/features.h"
#include "present/present.h"

namespace culprit {

inline constexpr int kExitHealthy = 0, kExitFailed = 1, kExitUsage = 2, kExitFindings = 3;

int run_diagnose(const Options& options);
int run_watch(const Options& options);
int run_doctor(const Options& options);
int run_show(const Options& options);
/// `show tcp`, `show dns`: watches for a while and prints that part of the verdict.
int run_show_run(const Options& options);

/// Set by SIGINT and SIGTERM.
extern volatile std::sig_atomic_t stop_requested;

/// Data to stdout; false when nobody reads it any more.
bool print_data(const std::string& text);
/// To be called before every wait and at the end: a reader sees whole lines, without a system call
/// for each.
bool flush_data();
int print_error(const Error& error);
Style style_of(const Options& options);

/// Loads and attaches what is needed for these kinds of event. An error when nothing at all could
/// run.
struct Session {
    Features features;
    Capture capture;
    double start_ms = 0;
};
Result<Session> start_session(const Options& options, const std::set<std::uint32_t>& kinds,
                              bool for_people);

/// Gives up what watching does not need (kernel/confinement.h). After the last program is attached
/// and the last file opened for writing; what does not work is a warning.
void confine_self();

/// All kinds that are events, and all there are.
std::set<std::uint32_t> all_event_kinds();
std::set<std::uint32_t> all_kinds();

} // namespace culprit
