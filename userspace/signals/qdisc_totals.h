// SPDX-License-Identifier: MIT
// What the egress queues did since the last tick, and who filled them.
#pragma once

#include <memory>

#include "signals/signal.h"

namespace culprit {

std::unique_ptr<Totals> qdisc_totals();

} // namespace culprit
