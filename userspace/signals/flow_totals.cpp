// SPDX-License-Identifier: MIT
// Looks at all connections that are not idle, as often as a small part of one CPU allows.
#include "signals/flow_totals.h"

#include <ctime>
#include <unordered_map>

#include <fmt/format.h>

#include "signals/flow_groups.h"
#include "signals/flow_growth.h"
#include "util/log.h"
#include "util/time.h"

namespace culprit {

namespace {

/// A look that took t is followed by 100 t without one.
constexpr std::uint64_t kShare = 100;
constexpr std::uint64_t kPauseNs = 190'000'000; // less than the capture's own pace
/// Connections that were ever seen at work. Full: those not seen for kForgetNs make room; further
/// ones are in the record without who and where, and nothing but their number is known.
constexpr std::size_t kFlowsMax = 65536;
constexpr std::uint64_t kForgetNs = 10'000'000'000;

std::uint64_t cpu_now_ns() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(now.tv_nsec);
}

class FlowTotals : public Totals {
public:
    void look(const MapReader& maps) override;
    void take(const MapReader& maps, std::uint64_t now_ns, const RecordSink& sink) override;

private:
    void note(flow_look row);
    FlowGrowth* growth_of(const flow_look& row);
    void forget(std::uint64_t now_ns);

    std::unordered_map<std::uint64_t, FlowGrowth> x_flows; // by the address of the socket
    FlowGroups x_groups;
    Pace x_pace{.tick_ns = tick_ns()};
    std::uint64_t x_next_ns = 0;   // no look before
    std::uint64_t x_forgot_ns = 0; // when room was made last
    bool x_told = false;           // that there is no room
};

void FlowTotals::forget(std::uint64_t now_ns) {
    if (now_ns - x_forgot_ns < kForgetNs)
        return;
    x_forgot_ns = now_ns;
    std::erase_if(x_flows,
                  [&](const auto& flow) { return flow.second.seen_ns() + kForgetNs < now_ns; });
}

/// Null when there is no room.
FlowGrowth* FlowTotals::growth_of(const flow_look& row) {
    auto known = x_flows.find(row.sk);
    if (known != x_flows.end() && !known->second.is_same(row)) {
        x_flows.erase(known);
        known = x_flows.end();
    }
    if (known == x_flows.end() && x_flows.size() >= kFlowsMax)
        forget(row.when_ns);
    if (known == x_flows.end() && x_flows.size() < kFlowsMax)
        // one that was forgotten is no newborn
        known = x_flows.emplace(row.sk, FlowGrowth(row, row.since_ns > x_forgot_ns)).first;
    return known == x_flows.end() ? nullptr : &known->second;
}

void FlowTotals::note(flow_look row) {
    row.role = role_of(row);
    FlowGrowth* flow = growth_of(row);
    flow_total one{};
    if (flow) {
        one = flow->grow(row, x_pace);
        one.flow = row.flow;
        one.owner = row.owner;
        one.role = row.role;
    } else {
        one.flows = 1;
        if (!std::exchange(x_told, true))
            log(Level::kWarning,
                fmt::format("more than {} connections at work: how further ones fare is not known",
                            kFlowsMax));
    }
    if (one.flows)
        x_groups.add(one);
}

void FlowTotals::look(const MapReader& maps) {
    const std::uint64_t now = boot_now_ns();
    if (now < x_next_ns)
        return;
    const std::uint64_t began = cpu_now_ns();
    x_groups.begin_look();
    maps.run("flow_look", "owners", [this](std::span<const std::byte> written) {
        for (; written.size() >= sizeof(flow_look); written = written.subspan(sizeof(flow_look)))
            note(value_at<flow_look>(written, 0));
    });
    x_pace.before_ns = now;
    x_next_ns = now + std::max(kPauseNs, kShare * (cpu_now_ns() - began));
}

void FlowTotals::take(const MapReader& maps, std::uint64_t now_ns, const RecordSink& sink) {
    look(maps);
    for (flow_total& total : x_groups.take()) {
        total.head = {now_ns, ABI_FLOW_TOTAL, sizeof(total), 0};
        sink(bytes_of(total));
    }
}

} // namespace

std::unique_ptr<Totals> flow_totals() {
    return std::make_unique<FlowTotals>();
}

} // namespace culprit
