// SPDX-License-Identifier: MIT
// One field of a record as text: the same words in every output.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "abi/event.h"
#include "kernel/names.h"
#include "signals/signal.h"

namespace culprit {

/// "10.0.0.1:80", "[2001:db8::1]:80", "-" when the address is unknown; a port of 0 is left out.
std::string endpoint(const abi_flow& flow, bool local);
std::string address(const abi_flow& flow, bool local);
std::string address(std::uint32_t family, const __u8 (&bytes)[ABI_ADDR_BYTES]);

/// "52:54:00:12:34:56"; "-" when all bytes are 0.
using MacBytes = std::array<std::uint8_t, 8>;
std::string mac(const MacBytes& bytes);

const char* tcp_state(std::uint32_t state);
std::string errno_name(std::uint32_t error);
std::string ip_protocol(std::uint32_t protocol);
std::string ethertype(std::uint32_t type);
std::string tcp_flags(std::uint32_t flags);
const char* provenance(std::uint32_t provenance);
std::string drop_reason(std::uint32_t reason,
                        const Names& names); // "reason#77" when the kernel has no such name
std::string symbol(std::uint64_t address, const Names& names);
std::string device(std::uint32_t netns, std::uint32_t ifindex,
                   const Names& names);                          // "if3" when the name is unknown
std::string netns_name(std::uint32_t netns, const Names& names); // "4026531840 (blue)"
std::string duration(std::uint64_t ns);                          // three digits and a unit
std::string owner_name(const abi_owner& owner,
                       const Names& names); // "python3 (pid 42)", "unknown process"

/// Unsigned value of 1, 2, 4 or 8 bytes.
std::uint64_t number_at(std::span<const std::byte> record, std::size_t offset, std::size_t size);

/// The frames of a stack by name, innermost first.
std::vector<std::string> stack_text(const Field& field, std::span<const std::byte> record,
                                    const Names& names);

/// A field other than flow, owner, histogram and stack.
std::string field_text(const Field& field, std::span<const std::byte> record, const Names& names);

} // namespace culprit
