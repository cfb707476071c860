// SPDX-License-Identifier: MIT
// What `diagnose` reads from files: windows to judge again, and the earlier verdict to compare
// with.
#pragma once

#include <string>

#include "app/options.h"
#include "detect/verification.h"
#include "model/run_info.h"
#include "model/window.h"

namespace culprit {

/// A verdict as JSON, or windows that --save wrote; of `only` that finding when it is not empty.
Result<Earlier> read_earlier(const std::string& path, const std::string& only);

/// What the filters leave to see.
View view_of(const Options& options, const Facts& facts);

/// What was seen, and who could see it.
struct Run {
    History history;
    RunInfo info;
};

/// What a file that --save wrote tells. Of a file that does not tell what was looked at, that is a
/// gap.
Result<Run> replay(const std::string& path);

VerdictInput input_of(const Run& run);

} // namespace culprit
