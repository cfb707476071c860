// SPDX-License-Identifier: MIT
// Who could see what in a run: without it, windows do not tell what is absent from what was not
// looked for.
#pragma once

#include <string>
#include <vector>

#include "signals/capture.h"

namespace culprit {

struct RunInfo {
    std::string host, kernel;
    bool filtered = false;            // the user narrowed the view
    std::vector<SignalStatus> status; // without their hooks once they were saved
    std::vector<std::string> gaps;    // what could not be looked at, beside signals
};

} // namespace culprit
