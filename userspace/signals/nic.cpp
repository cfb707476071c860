// SPDX-License-Identifier: MIT
// Devices: refused and hung transmissions, XDP programs that fail, and receive polls that used
// their whole budget.
#include <cstring>
#include <map>
#include <utility>

#include "nic.skel.h"
#include "signals/all.h"

#include "abi/nic.h"

namespace culprit {

namespace {

constexpr const char* kTypes[] = {"timeout", "refused", "busy"};

constexpr Field kEventFields[] = {
    CULPRIT_FIELD(nic_event, netns, Type::kNetns, "network namespace"),
    CULPRIT_FIELD(nic_event, ifindex, Type::kDevice, "device that did not transmit"),
    CULPRIT_NAMED(nic_event, type,
                  "hung transmit queue, packet dropped by the driver, or kept for later", kTypes),
    CULPRIT_FIELD(nic_event, queue, Type::kNumber, "queue that hung"),
    CULPRIT_FIELD(nic_event, result, Type::kNumber, "what the driver returned"),
    CULPRIT_FIELD(nic_event, bytes, Type::kBytes, "size of the packet it did not take"),
};
constexpr Part kEventKey[] = {CULPRIT_PART(nic_event, netns), CULPRIT_PART(nic_event, ifindex),
                              CULPRIT_PART(nic_event, type), CULPRIT_PART(nic_event, queue)};

constexpr Field kTotalFields[] = {
    CULPRIT_FIELD(nic_total, netns, Type::kNetns, "network namespace; - for all polls together"),
    CULPRIT_FIELD(nic_total, ifindex, Type::kDevice, "device"),
    CULPRIT_FIELD(nic_total, refused, Type::kNumber, "packets the driver did not take"),
    CULPRIT_FIELD(nic_total, busy, Type::kNumber, "times the driver was busy; the packet was kept"),
    CULPRIT_FIELD(nic_total, timeouts, Type::kNumber, "hung transmit queues"),
    CULPRIT_FIELD(nic_total, polls_full, Type::kNumber,
                  "receive polls that used their whole budget"),
    CULPRIT_FIELD(nic_total, polls, Type::kNumber, "receive polls"),
    CULPRIT_FIELD(nic_total, packets, Type::kNumber, "packets they took"),
    CULPRIT_FIELD(nic_total, xdp_exceptions, Type::kNumber,
                  "packets lost because an XDP program failed"),
    CULPRIT_FIELD(nic_total, xdp_program, Type::kNumber, "id of the program that failed"),
};
constexpr Part kTotalKey[] = {CULPRIT_PART(nic_total, netns), CULPRIT_PART(nic_total, ifindex)};
constexpr Part kTotalSums[] = {
    CULPRIT_PART(nic_total, refused),        CULPRIT_PART(nic_total, busy),
    CULPRIT_PART(nic_total, timeouts),       CULPRIT_PART(nic_total, polls_full),
    CULPRIT_PART(nic_total, polls),          CULPRIT_PART(nic_total, packets),
    CULPRIT_PART(nic_total, xdp_exceptions),
};

constexpr Kind kNic = {ABI_NIC,           "nic", "transmissions that did not happen",
                       sizeof(nic_event), true,  kEventFields,
                       kEventKey,         {}};
constexpr Kind kNicTotal = {
    ABI_NIC_TOTAL,     "nic_total", "what devices refused, and how full receive polls ran",
    sizeof(nic_total), false,       kTotalFields,
    kTotalKey,         kTotalSums};
constexpr const Kind* kKinds[] = {&kNic, &kNicTotal};

constexpr Hook kHooks[] = {
    {"net_dev_xmit", "nic_xmit", true, ""},
    {"net_dev_xmit_timeout", "nic_timeout", false, "hung transmit queues are not seen"},
    {"napi_poll", "nic_poll", false, "receive polls are not counted"},
    {"xdp_exception", "nic_xdp", false, "XDP programs that fail are not seen"},
};

class NicTotals : public Totals {
public:
    void take(const MapReader& maps, std::uint64_t now_ns, const RecordSink& sink) override {
        maps.each("devices",
                  [&](const void* key, const std::byte* value, std::size_t, std::size_t) {
                      nic_value now;
                      std::memcpy(&now, value, sizeof(now));
                      report(*static_cast<const nic_key*>(key), now, now_ns, sink);
                  });
        maps.each("polls",
                  [&](const void*, const std::byte* values, std::size_t cpus, std::size_t stride) {
                      const auto now = sum_percpu<nic_polls>(values, cpus, stride);
                      nic_total total{};
                      total.head = {now_ns, ABI_NIC_TOTAL, sizeof(total), 0};
                      total.polls = now.polls - x_polls.polls;
                      total.packets = now.packets - x_polls.packets;
                      x_polls = now;
                      if (total.polls)
                          sink(bytes_of(total));
                  });
    }

private:
    void report(const nic_key& key, const nic_value& now, std::uint64_t now_ns,
                const RecordSink& sink) {
        nic_value& seen = x_seen[{key.netns, key.ifindex}];
        nic_total total{};
        total.head = {now_ns, ABI_NIC_TOTAL, sizeof(total), 0};
        total.netns = key.netns;
        total.ifindex = key.ifindex;
        total.refused = now.refused - seen.refused;
        total.busy = now.busy - seen.busy;
        total.timeouts = now.timeouts - seen.timeouts;
        total.polls_full = now.polls_full - seen.polls_full;
        total.xdp_exceptions = now.xdp_exceptions - seen.xdp_exceptions;
        total.xdp_program = static_cast<std::uint32_t>(now.xdp_program);
        seen = now;
        if (total.refused || total.busy || total.timeouts || total.polls_full ||
            total.xdp_exceptions)
            sink(bytes_of(total));
    }

    std::map<std::pair<std::uint32_t, std::uint32_t>, nic_value>
        x_seen; // as many as the kernel's map has keys
    nic_polls x_polls{};
};

} // namespace

const Signal nic_signal = {
    "nic", "do devices take what they are given", &elf_of<nic_skel>, kHooks, kKinds, [] {
        return std::unique_ptr<Totals>(new NicTotals);
    }};

} // namespace culprit
