// SPDX-License-Identifier: MIT
// Which numbers of a record have names to look up, by the types of its fields.
#pragma once

#include <span>

#include "kernel/names_live.h"
#include "signals/signal.h"

namespace culprit {

/// Looks up the names one field of a record needs, and copies them to `into` when given.
void note_names(const Field& field, std::span<const std::byte> record, LiveNames& live,
                Names* into);

/// The network namespace a record is about; 0 when it is about none or an unknown one.
std::uint32_t netns_of(std::span<const std::byte> record);

} // namespace culprit
