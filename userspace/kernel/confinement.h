// SPDX-License-Identifier: MIT
// What this process gives up once its programs are attached: rights it needs no more, so that a
// mistake in reading what hostile peers and processes say leads nowhere.
#pragma once

#include <span>
#include <string_view>

#include "util/result.h"

namespace culprit {

struct Capability {
    int number;            // linux/capability.h
    std::string_view name; // "CAP_BPF"
};

/// Those that reading needs as long as it goes on. All others are dropped.
std::span<const Capability> kept_capabilities();

/// Is it effective now? Number of linux/capability.h.
bool has_capability(int number);

/// Drops every other capability, for good (no_new_privs, and the bounding set where CAP_SETPCAP
/// allows it), then refuses system calls that an observer never makes: to start or to trace
/// programs, to load BPF programs, to change users, mounts, modules or clocks. They fail with
/// EPERM.
///
/// Is for the process while it has one thread; later ones inherit it. An error says which part is
/// missing; what comes before it is in force.
Result<void> confine();

} // namespace culprit
