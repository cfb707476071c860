// SPDX-License-Identifier: MIT
// What name resolution came to since the last tick.
#pragma once

#include <memory>

#include "signals/signal.h"

namespace culprit {

std::unique_ptr<Totals> dns_totals();

} // namespace culprit
