// SPDX-License-Identifier: MIT
// BPF programs of this host by id, and where they are attached. Needs CAP_SYS_ADMIN.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace culprit {

/// Up to 15 bytes as its loader set them; empty when it has no name, or may not be looked at.
std::string program_name(std::uint32_t id);

/// Programs of the type for packets of a cgroup's sockets, at most kProgramsMax are looked at.
inline constexpr std::size_t kProgramsMax = 8192;
std::set<std::uint32_t> cgroup_packet_programs();

/// Ids of what is attached to a cgroup (`target` is a descriptor) or a device (its ifindex, in the
/// namespace this thread is in); empty when there is nothing, or the kernel cannot say.
std::vector<std::uint32_t> attached_programs(int target, int attach_type);

inline constexpr int kAttachCgroupIngress = 0; // enum bpf_attach_type, uapi/linux/bpf.h
inline constexpr int kAttachCgroupEgress = 1;
inline constexpr int kAttachTcxIngress = 46; // since Linux 6.6
inline constexpr int kAttachTcxEgress = 47;

} // namespace culprit
