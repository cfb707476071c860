// SPDX-License-Identifier: MIT
// The detectors, and the order of what they found. Causes leave out of their symptoms by joining
// flows (flows.h, listeners.h): what local-drop explains, packet-loss and connect-timeout do not
// report; what a listener in trouble explains, none of these three reports.
#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "detect/finding.h"

namespace culprit {

namespace {

struct Entry {
    std::string_view id;
    Detector detect;
};

constexpr std::array kDetectors = {
    Entry{"local-drop", detect_local_drop},
    Entry{"softnet-drop", detect_softnet_drop},
    Entry{"tx-ring-full", detect_tx_ring_full},
    Entry{"nic-tx-timeout", detect_nic_tx_timeout},
    Entry{"xdp-drop", detect_xdp_drop},
    Entry{"xdp-exception", detect_xdp_exception},
    Entry{"tc-drop", detect_tc_drop},
    Entry{"cgroup-drop", detect_cgroup_drop},
    Entry{"packet-loss", detect_packet_loss},
    Entry{"conn-refused", detect_conn_refused},
    Entry{"connect-timeout", detect_connect_timeout},
    Entry{"rst-storm", detect_rst_storm},
    Entry{"port-exhaustion", detect_port_exhaustion},
    Entry{"tw-overflow", detect_tw_overflow},
    Entry{"time-wait-growth", detect_time_wait_growth},
    Entry{"close-wait-leak", detect_close_wait_leak},
    Entry{"fin-wait2-growth", detect_fin_wait2_growth},
    Entry{"orphans", detect_orphans},
    Entry{"listen-overflow", detect_listen_overflow},
    Entry{"syn-flood", detect_syn_flood},
    Entry{"fd-exhaustion", detect_fd_exhaustion},
};

/// A finding that another one of the same namespace explains.
struct Explained {
    std::string_view symptom, cause;
};
constexpr Explained kExplained[] = {{"time-wait-growth", "tw-overflow"},
                                    {"tx-ring-full", "nic-tx-timeout"}};

void leave_out_explained(std::vector<Finding>& all) {
    std::set<std::pair<std::string_view, std::uint32_t>> explained;
    for (const Finding& cause : all)
        for (const Explained& pair : kExplained)
            if (cause.id == pair.cause)
                explained.emplace(pair.symptom, cause.where.netns);
    std::erase_if(all, [&](const Finding& finding) {
        return explained.contains({finding.id, finding.where.netns});
    });
}

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
    leave_out_explained(all);
    std::ranges::stable_sort(all, [](const Finding& a, const Finding& b) {
        return a.severity != b.severity ? a.severity > b.severity : a.confidence > b.confidence;
    });
    return all;
}

} // namespace culprit
