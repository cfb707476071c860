// SPDX-License-Identifier: MIT
// What is attached to the devices of the namespace this thread is in and may take packets away: XDP
// programs, and tc filters with a program or an action. And how much TUN devices refused.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "abi/program.h"
#include "kernel/netlink.h"
#include "util/result.h"

namespace culprit {

struct DeviceProgram {
    std::uint32_t ifindex = 0;
    std::uint32_t where = 0, mode = 0; // enum abi_program_where, abi_program_mode
    std::uint32_t program = 0;         // BPF id
    std::uint32_t priority = 0, handle = 0;
    std::string filter;      // kind of classifier: "bpf", "u32" ...
    std::uint64_t drops = 0; // of its actions, since it is there
};

struct TunDevice {
    std::uint32_t ifindex = 0;
    std::string name; // bytes as the administrator set them
    std::uint64_t tx_packets = 0, tx_dropped = 0;
};

struct DevicePrograms {
    std::vector<DeviceProgram> programs; // at most kDeviceProgramsMax, others are left out
    std::vector<TunDevice> tuns;         // the same
};

inline constexpr std::size_t kDeviceProgramsMax = 4096;
Result<DevicePrograms> read_device_programs();

/// The XDP programs and the TUN device one message about a link tells of. Pure.
void parse_link_programs(const nlmsghdr& message, DevicePrograms& into);

/// The tc filter of one message; false when it can drop nothing. Pure.
bool parse_filter(const nlmsghdr& message, DeviceProgram& into);

} // namespace culprit
