// SPDX-License-Identifier: MIT
// What the user asked for. The only CLI11 user is options.cpp.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kernel/features.h"
#include "present/inventory.h"
#include "signals/capture.h"
#include "util/result.h"

namespace culprit {

enum class Command { kNone, kDiagnose, kWatch, kDoctor, kShow };

/// Rows `show` prints of a table when the user does not say.
inline constexpr std::size_t kShowRows = 50;

/// Read where --thresholds names no other.
inline constexpr const char* kThresholdsFile = "/etc/culprit/thresholds.conf";

/// As typed; nothing looked up yet.
struct Filters {
    std::uint32_t pid = 0;
    std::string comm, cgroup, netns, addr, dev;
    std::uint16_t port = 0;
    bool any() const;
    /// More than other namespaces is left out.
    bool partial() const;
};

struct Options {
    Command command = Command::kNone;
    std::uint64_t for_ns = 0; // 0: not said
    std::string output = "text", color = "auto";
    Filters filters;
    std::set<std::string> hidden_hooks;
    bool debug = false;
    bool all = false;                     // watch: normal life too
    std::vector<std::string> kinds;       // watch
    std::vector<std::uint16_t> dns_ports; // none: 53
    bool no_dns_names = false;
    std::string only;                 // diagnose
    std::string save, replay, verify; // diagnose
    bool explain = false;             // diagnose
    std::string thresholds;           // a file; empty: the usual one, when there is one
    bool list_thresholds = false;     // doctor
    Topic topic = Topic::kListeners;  // show
    bool show_tcp = false;            // show: how TCP services fare, instead of a topic
    bool show_dns = false;            // show: how name resolution fares
    std::optional<std::size_t> limit; // show
    /// A table that takes a while to fill.
    bool shows_a_run() const { return show_tcp || show_dns; }
    bool json() const { return output == "json"; }
};

/// Either options, or an exit code because help or a usage error was printed.
std::expected<Options, int> parse_options(int argc, char** argv);

/// What is asked of the hooks of name resolution.
void set_dns(const Options& options, abi_config& config);

/// Looks the filters up on this host (names of namespaces, devices, cgroups).
Result<abi_config> resolve_filters(const Filters& filters);

} // namespace culprit
