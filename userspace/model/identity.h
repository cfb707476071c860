// SPDX-License-Identifier: MIT
// All that is known of an owner: what its record says, and what was looked up for it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "abi/event.h"
#include "kernel/names.h"

namespace culprit {

/// Hostile bytes throughout. Empty: not known.
struct Identity {
    std::string comm, exe, cmdline;
    std::string cgroup;          // path, or "id:77" when only that is known
    std::string container, unit; // by the path
    std::optional<bool> exited;
};

Identity identify(const abi_owner& owner, const Names& names);

/// The process name as last seen: exec changes it after the record was made.
std::string_view latest_comm(const abi_owner& owner, const Names& names);

} // namespace culprit
