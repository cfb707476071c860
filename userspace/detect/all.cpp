// SPDX-License-Identifier: MIT
// The detectors, and the order of what they found. Causes leave out of their symptoms by joining
// flows (flows.h, listeners.h): what local-drop explains, packet-loss and connect-timeout do not
// report; what a listener in trouble explains, none of these three reports. What has no flow in
// common is joined by place (kExplained).
#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "detect/finding.h"

namespace culprit {

namespace {

struct Entry {
    std::string_view id;
    Detector detect;
};

constexpr std::array kDetectors = {
    Entry{"neigh-failure", detect_neigh_failure},
    Entry{"duplicate-ip", detect_duplicate_ip},
    Entry{"neigh-table-full", detect_neigh_table_full},
    Entry{"local-drop", detect_local_drop},
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

/// What a symptom and its cause have in common.
enum class Same {
    kNetns,
    kDevice,  // and the namespace
    kAddress, // the cause's, as the other end of the symptom, or as its own end anywhere
};

/// A finding that another one explains, unless that is for information only.
struct Explained {
    std::string_view symptom, cause;
    Same same;
};
constexpr Explained kExplained[] = {
    {"time-wait-growth", "tw-overflow", Same::kNetns},
    {"neigh-failure", "link-down", Same::kDevice},
    {"neigh-failure", "link-flap", Same::kDevice},
    {"connect-timeout", "neigh-failure", Same::kAddress},
    {"host-unreachable", "neigh-failure", Same::kAddress},
    {"packet-loss", "neigh-failure", Same::kAddress},
    {"neigh-failure", "duplicate-ip", Same::kAddress},
    {"conn-refused", "duplicate-ip", Same::kAddress},
    {"connect-timeout", "duplicate-ip", Same::kAddress},
    {"rst-storm", "duplicate-ip", Same::kAddress},
    {"packet-loss", "duplicate-ip", Same::kAddress},
};

/// "10.0.0.1:80" and "[::1]:80" without the port.
std::string_view host_of(std::string_view end) {
    if (end.starts_with('['))
        return end.substr(1, end.find(']') - 1);
    const std::size_t colon = end.find(':');
    return end.find(':', colon + 1) == std::string_view::npos ? end.substr(0, colon) : end;
}

bool have_in_common(Same same, const Where& cause, const Where& symptom) {
    const bool here = cause.netns == symptom.netns;
    switch (same) {
    case Same::kNetns:
        return here;
    case Same::kDevice:
        return here && cause.device == symptom.device;
    case Same::kAddress:
        return !cause.remote.empty() && ((here && host_of(symptom.remote) == cause.remote) ||
                                         host_of(symptom.local) == cause.remote);
    }
    return false;
}

bool explains(const Finding& cause, const Finding& symptom) {
    return cause.severity != Severity::kInfo &&
           std::ranges::any_of(kExplained, [&](const Explained& pair) {
               return pair.cause == cause.id && pair.symptom == symptom.id &&
                      have_in_common(pair.same, cause.where, symptom.where);
           });
}

void leave_out_explained(std::vector<Finding>& all) {
    std::vector<bool> out;
    for (const Finding& symptom : all)
        out.push_back(std::ranges::any_of(
            all, [&](const Finding& cause) { return explains(cause, symptom); }));
    std::size_t i = 0;
    std::erase_if(all, [&](const Finding&) { return out[i++]; });
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
