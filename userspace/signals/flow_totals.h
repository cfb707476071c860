// SPDX-License-Identifier: MIT
// How TCP connections fared since the last tick.
#pragma once

#include <memory>

#include "signals/signal.h"

namespace culprit {

std::unique_ptr<Totals> flow_totals();

} // namespace culprit
