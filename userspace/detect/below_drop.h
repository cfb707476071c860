// SPDX-License-Identifier: MIT
// Names for what drops packets below the stack: programs, filters, the process of a TUN device.
#pragma once

#include <string>
#include <vector>

#include "abi/program.h"
#include "detect/drops.h"

namespace culprit {

/// What is attached to one side of a device; that which dropped most comes first.
std::vector<program_total> attached_to(const Window& total, std::uint32_t netns,
                                       std::uint32_t ifindex, std::uint32_t where);

/// What applies to the packets of a process by its cgroup or one above; the nearest first.
std::vector<program_total> attached_to_cgroup(const Window& total, const abi_owner& owner,
                                              std::uint32_t where);

/// "program ratelimit (id 42)", "u32 filter, pref 10 handle 0x80000800", "matchall filter, ...".
std::string program_text(const program_total& program);
/// Of an id of which nothing else may be known.
std::string program_text(const Window& total, std::uint32_t id);

/// Path of the cgroup a process or a socket belongs to; empty when it is not known.
std::string cgroup_path(const abi_owner& owner, const Names& names);

} // namespace culprit
