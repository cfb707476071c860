// SPDX-License-Identifier: MIT
// Tells libbpf which of the kernel's types each hook is. By itself it loads and searches the
// kernel's whole BTF for that, once per object.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace culprit {

/// Holds for all objects that are opened from now on; to be called while none is being opened.
/// `types`: hook -> id, see Features.
void set_hook_types(const std::map<std::string, std::uint32_t>& types);

} // namespace culprit
