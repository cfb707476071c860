// SPDX-License-Identifier: MIT
// Windows with sums over sockets, and what the detectors find there.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <vector>

#include "detect/finding.h"
#include "support/event_builder.h"
#include "support/fake_names.h"

namespace culprit::test {

inline socket_total total_of(std::uint32_t state, std::uint8_t role, const abi_flow& flow,
                             std::uint64_t at_begin, std::uint64_t at_end) {
    auto total = make<socket_total>();
    total.state = state;
    total.role = role;
    total.flow = flow;
    total.at_begin = at_begin;
    total.at_end = at_end;
    total.sockets = std::max(at_begin, at_end);
    return total;
}

/// Ten seconds.
inline Window window_of(std::initializer_list<socket_total> totals) {
    Window window;
    window.from_ns = kSecondNs;
    window.to_ns = 11 * kSecondNs;
    window.names = fake_names();
    for (const socket_total& total : totals)
        window.fold(bytes_of(total));
    return window;
}

inline std::vector<Finding> found(const Window& window) {
    return detect_all({window, std::span(&window, 1)});
}

} // namespace culprit::test
