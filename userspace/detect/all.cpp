// SPDX-License-Identifier: MIT
// The detectors, and the order of what they found. Causes leave out of their symptoms by joining
// flows (flows.h, listeners.h): what local-drop explains, packet-loss and connect-timeout do not
// report; what a listener in trouble explains, none of these three reports.
#include <algorithm>
#include <array>
#include <string_view>

#include "detect/finding.h"

namespace culprit {

namespace {

struct Entry {
    std::string_view id;
    Detector detect;
};

constexpr std::array kDetectors = {
    Entry{"local-drop", detect_local_drop},     Entry{"packet-loss", detect_packet_loss},
    Entry{"conn-refused", detect_conn_refused}, Entry{"connect-timeout", detect_connect_timeout},
    Entry{"rst-storm", detect_rst_storm},       Entry{"listen-overflow", detect_listen_overflow},
    Entry{"syn-flood", detect_syn_flood},       Entry{"fd-exhaustion", detect_fd_exhaustion},
};

constexpr auto kIds = [] {
    std::array<std::string_view, kDetectors.size()> ids{};
    std::ranges::transform(kDetectors, ids.begin(), &Entry::id);
    return ids;
}();

} // namespace

std::span<const std::string_view> finding_ids() {
    return kIds;
}

std::vector<Finding> detect_all(const Facts& facts) {
    std::vector<Finding> all;
    for (const Entry& entry : kDetectors)
        for (Finding& finding : entry.detect(facts))
            all.push_back(std::move(finding));
    std::ranges::stable_sort(all, [](const Finding& a, const Finding& b) {
        return a.severity != b.severity ? a.severity > b.severity : a.confidence > b.confidence;
    });
    return all;
}

} // namespace culprit
