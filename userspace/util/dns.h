// SPDX-License-Identifier: MIT
// Names and numbers of DNS messages as text. Names are hostile input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace culprit {

/// A name as on the wire (RFC 1035 section 3.1), printed as in a zone file: printable ASCII, all
/// other bytes and those with a meaning there escaped. "-" for bytes that are no whole name:
/// compressed, too long, or cut.
std::string dns_name(std::span<const std::byte> wire);

/// Type of a resource record: "AAAA"; "TYPE4711" (RFC 3597) when it has no name here; "-" for 0.
std::string dns_type(std::uint32_t type);

/// Response code: "NXDOMAIN"; "RCODE12" when it has no name here; "-" for what is no code.
std::string dns_rcode(std::uint32_t rcode);

} // namespace culprit
