// SPDX-License-Identifier: MIT
// How much went by the place of a finding: a fault that nothing could meet is not gone.
#pragma once

#include "detect/finding.h"

namespace culprit {

/// Of the narrowest scope around that place in which there was any; of the narrowest that the place
/// has when there was none at all.
Traffic traffic_at(const Where& where, const Facts& facts);

/// Of that scope; kNone: of the narrowest that the place has.
Traffic traffic_at(const Where& where, TrafficScope scope, const Facts& facts);

} // namespace culprit
