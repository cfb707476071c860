// SPDX-License-Identifier: MIT
// Runs of ten seconds with connections as they are looked at, second by second, and what the
// detectors find there.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "abi/flow.h"
#include "detect/finding.h"
#include "support/event_builder.h"
#include "support/fake_names.h"

namespace culprit::test {

inline constexpr std::uint32_t kClientNetns = 4026532101, kServerNetns = 4026532102;
inline constexpr const char* kClientHost = "10.0.0.1";
inline constexpr const char* kServerHost = "10.0.0.2";
inline constexpr std::uint16_t kServicePort = 9000;
inline constexpr std::uint64_t kLooks = 5; // per second
inline constexpr std::uint64_t kMs = 1'000'000;

/// Five looks at one connection in a second in which nothing happened.
inline flow_total one_second(const abi_owner& owner, std::uint8_t role, std::uint32_t netns) {
    auto row = make<flow_total>();
    row.owner = owner;
    row.role = role;
    row.flow = role == ABI_ROLE_SERVER ? tcp_flow(kServerHost, kServicePort, kClientHost, 0, netns)
                                       : tcp_flow("0.0.0.0", 0, kServerHost, kServicePort, netns);
    row.flow.ifindex = 0;
    row.flows = 1;
    row.looks = row.rtt_looks = kLooks;
    row.watched_ns = kSecondNs;
    row.mss = 1448;
    row.rcvbuf = kLooks * 131072;
    row.rcv_wnd = kLooks * 65535;
    return row;
}
inline flow_total server_row(const abi_owner& owner = process("archiver", 50)) {
    return one_second(owner, ABI_ROLE_SERVER, kServerNetns);
}
inline flow_total client_row(const abi_owner& owner = process("backup", 60)) {
    return one_second(owner, ABI_ROLE_CLIENT, kClientNetns);
}

inline void set_rtt(flow_total& row, std::uint64_t now_us, std::uint64_t least_us) {
    row.srtt_us = kLooks * now_us;
    row.srtt_max_us = now_us;
    row.min_rtt_us = kLooks * least_us;
}

/// Answers of one duration.
inline void set_answers(flow_total& row, std::uint64_t count, std::uint64_t each_ns) {
    row.answers = count;
    row.answer_ns = count * each_ns;
    row.answer_max_ns = each_ns;
    std::size_t slot = 0;
    for (std::uint64_t us = each_ns / 1000; us; us /= 2)
        slot++;
    row.answer_slots[std::min<std::size_t>(slot, FLOW_SLOTS - 1)] = count;
}

/// A sender whose data waits for the peer's window, which is never closed.
inline void set_window_limited(flow_total& row, std::uint64_t window) {
    row.sending = kLooks;
    row.rwnd_limited_ns = kSecondNs * 95 / 100;
    row.busy_ns = kSecondNs - row.rwnd_limited_ns;
    row.snd_wnd = row.in_flight = kLooks * window;
    row.cwnd = 3 * row.snd_wnd;
    row.sndbuf = kLooks * 400'000;
    row.not_sent = kLooks * 100'000;
    row.bytes_sent = 500'000;
}

/// One whose peer's window is closed all the time.
inline void set_zero_window(flow_total& row, std::uint64_t second) {
    row.sending = row.zero_window = kLooks;
    row.zero_window_ns = second * kSecondNs;
    row.rwnd_limited_ns = kSecondNs;
    row.not_sent = kLooks * 300'000;
}

class Run {
public:
    static constexpr std::size_t kSeconds = 10;

    Run() {
        for (std::size_t i = 0; i < kSeconds; i++) {
            Window window;
            window.from_ns = (i + 1) * kSecondNs;
            window.to_ns = (i + 2) * kSecondNs;
            window.names = fake_names();
            x_windows.push_back(std::move(window));
        }
    }

    /// A record in each second; `make_row` gets the seconds passed, one at first.
    template <typename Make>
    Run& each(const Make& make_row) {
        for (std::size_t i = 0; i < kSeconds; i++)
            put(i, make_row(i + 1));
        return *this;
    }
    template <typename Record>
    Run& put(std::size_t second, Record record) {
        record.head.when_ns = (second + 1) * kSecondNs + kSecondNs / 2;
        x_windows[second].fold(bytes_of(record));
        return *this;
    }
    Window& at(std::size_t second) { return x_windows[second]; }

    std::vector<Finding> all() const {
        Window total = x_windows.front();
        for (std::size_t i = 1; i < x_windows.size(); i++)
            total.merge(x_windows[i]);
        return detect_all({total, x_windows});
    }
    std::vector<Finding> of(const std::string& id) const {
        auto found = all();
        std::erase_if(found, [&](const Finding& finding) { return finding.id != id; });
        return found;
    }
    std::vector<Finding> loud() const {
        auto found = all();
        std::erase_if(found, [](const Finding& f) { return f.severity == Severity::kInfo; });
        return found;
    }

private:
    std::vector<Window> x_windows;
};

} // namespace culprit::test
