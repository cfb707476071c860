// SPDX-License-Identifier: MIT
// For tests that cannot run here: CTest shows them as skipped, with the reason. Catch2 2 has no
// SKIP.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>

namespace culprit::test {

/// Ends the whole program, so that nothing of it counts as passed. No destructor runs: call it
/// before anything that must be undone.
[[noreturn]] inline void skip(const std::string& reason) {
    std::printf("SKIP: %s\n", reason.c_str());
    std::fflush(stdout);
    std::_Exit(77);
}

} // namespace culprit::test
