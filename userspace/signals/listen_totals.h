// SPDX-License-Identifier: MIT
// What listening sockets did since the last tick.
#pragma once

#include <memory>

#include "signals/signal.h"

namespace culprit {

std::unique_ptr<Totals> listen_totals();

} // namespace culprit
