// SPDX-License-Identifier: MIT
// Devices as links: who took one down, when a carrier went, and the devices' own counters, which
// are asked for by rtnetlink (no subscription: its socket would keep a namespace alive, and the
// kernel counts every change of a carrier itself).
#include "kernel/ethtool.h"
#include "kernel/links.h"
#include "link.skel.h"
#include "signals/all.h"
#include "signals/link_growth.h"
#include "signals/link_peers.h"

#include "abi/link.h"

namespace culprit {

namespace {

constexpr const char* kTypes[] = {"off", "no-carrier"};

constexpr Field kEventFields[] = {
    CULPRIT_FIELD(link_event, netns, Type::kNetns, "network namespace"),
    CULPRIT_FIELD(link_event, ifindex, Type::kDevice, "device that stopped"),
    CULPRIT_NAMED(link_event, type, "taken down, or its carrier is gone", kTypes),
    CULPRIT_FIELD(link_event, owner, Type::kOwner, "process that took it down"),
};
constexpr Part kEventKey[] = {CULPRIT_PART(link_event, netns), CULPRIT_PART(link_event, ifindex),
                              CULPRIT_PART(link_event, type),
                              CULPRIT_OWNER_PART(link_event, owner)};

#define LINK_NUMBER(member, help) CULPRIT_FIELD(link_total, member, Type::kNumber, help)
constexpr Field kTotalFields[] = {
    CULPRIT_FIELD(link_total, netns, Type::kNetns, "network namespace"),
    CULPRIT_FIELD(link_total, ifindex, Type::kDevice, "device"),
    CULPRIT_FIELD(link_total, type, Type::kText, "kind of device; empty for hardware"),
    LINK_NUMBER(link, "device below, or the other end"),
    LINK_NUMBER(link_netns, "namespace that one is in, 0 when not known"),
    LINK_NUMBER(master, "bridge or bond it is part of"),
    CULPRIT_FIELD(link_total, mtu, Type::kBytes, "largest packet, as first seen"),
    LINK_NUMBER(speed_mbit, "speed, 0 when unknown"),
    LINK_NUMBER(duplex, "0 half, 1 full, 255 unknown"),
    LINK_NUMBER(carrier_changes_ever, "since the device was made"),
    LINK_NUMBER(packets_ever, "since the device was made"),
    LINK_NUMBER(up_ns, "when it was last seen to work"),
    LINK_NUMBER(off_ns, "when it was last seen taken down"),
    LINK_NUMBER(no_carrier_ns, "when it was last seen without carrier"),
    LINK_NUMBER(gone_ns, "when it was no longer there"),
    LINK_NUMBER(carrier_ups, "times the carrier came"),
    LINK_NUMBER(carrier_downs, "times the carrier went"),
    LINK_NUMBER(rx_packets, "packets received"),
    LINK_NUMBER(tx_packets, "packets sent"),
    LINK_NUMBER(rx_errors, "receive errors, all kinds but missed"),
    LINK_NUMBER(tx_errors, "transmit errors, all kinds but collisions"),
    LINK_NUMBER(rx_dropped, "received, and no room or no use for them"),
    LINK_NUMBER(tx_dropped, "not sent for want of room"),
    LINK_NUMBER(rx_length, "frames too long or too short"),
    LINK_NUMBER(rx_over, "receiver overflows, or frames above the MTU"),
    LINK_NUMBER(rx_crc, "frames with a wrong checksum"),
    LINK_NUMBER(rx_frame, "misaligned or malformed frames"),
    LINK_NUMBER(rx_fifo, "receive FIFO overflows"),
    LINK_NUMBER(rx_missed, "frames the host had no buffer for"),
    LINK_NUMBER(rx_nohandler, "for a device that is an idle part of a bond or bridge"),
    LINK_NUMBER(rx_otherhost, "for another host"),
    LINK_NUMBER(tx_aborted, "transmissions given up"),
    LINK_NUMBER(tx_carrier, "transmissions without carrier; of a tunnel: without a way"),
    LINK_NUMBER(tx_fifo, "transmit FIFO underruns"),
    LINK_NUMBER(tx_heartbeat, "transmissions without heartbeat"),
    LINK_NUMBER(tx_window, "late collisions"),
    LINK_NUMBER(collisions, "collisions"),
};
constexpr Part kTotalKey[] = {CULPRIT_PART(link_total, netns), CULPRIT_PART(link_total, ifindex)};
constexpr Part kTotalSums[] = {
    {offsetof(link_total, carrier_ups), sizeof(link_total) - offsetof(link_total, carrier_ups)}};
constexpr Part kTotalMaxima[] = {
    {offsetof(link_total, carrier_changes_ever),
     offsetof(link_total, carrier_ups) - offsetof(link_total, carrier_changes_ever)}};

constexpr Field kStatFields[] = {
    CULPRIT_FIELD(link_stat, netns, Type::kNetns, "network namespace"),
    CULPRIT_FIELD(link_stat, ifindex, Type::kDevice, "device"),
    CULPRIT_FIELD(link_stat, name, Type::kText, "the driver's name for it"),
    CULPRIT_FIELD(link_stat, growth, Type::kNumber, "what it grew by"),
};
constexpr Part kStatKey[] = {CULPRIT_PART(link_stat, netns), CULPRIT_PART(link_stat, ifindex),
                             CULPRIT_PART(link_stat, name)};
constexpr Part kStatSums[] = {CULPRIT_PART(link_stat, growth)};

constexpr Kind kLink = {ABI_LINK,           "link", "devices that were taken down or lost carrier",
                        sizeof(link_event), true,   kEventFields,
                        kEventKey,          {}};
constexpr Kind kLinkTotal = {ABI_LINK_TOTAL,     "link_total", "state and counters of devices",
                             sizeof(link_total), false,        kTotalFields,
                             kTotalKey,          kTotalSums,   kTotalMaxima};
constexpr Kind kLinkStat = {ABI_LINK_STAT,     "link_stat", "troubles that drivers count",
                            sizeof(link_stat), false,       kStatFields,
                            kStatKey,          kStatSums};
constexpr const Kind* kKinds[] = {&kLink, &kLinkTotal, &kLinkStat};

constexpr Hook kHooks[] = {
    {"qdisc_reset", "link_stop", false, "who takes a device down is not known"},
};

class LinkReader : public Reader {
public:
    Result<void> read_host(std::uint64_t now_ns, const RecordSink&) override {
        x_peers.refresh(now_ns);
        return {};
    }

    Result<void> read_netns(std::uint32_t netns, std::uint64_t now_ns,
                            const RecordSink& sink) override {
        std::size_t left_out = 0;
        auto links = read_links(left_out);
        if (!links)
            return std::unexpected(links.error());
        const Ethtool ethtool;
        for (LinkInfo& link : *links) {
            link.netns = netns;
            if (link.hardware() && !x_growth.knows_speed(link))
                ethtool.read_speed(link);
        }
        x_peers.find(netns, *links);
        x_growth.take(netns, now_ns, *links, sink);
        for (const LinkInfo& link : *links)
            if (x_growth.wants_driver(link, now_ns))
                x_growth.take_driver(link, now_ns, ethtool.read_troubles(link), sink);
        if (left_out)
            return fail(Code::kFailed, "a network namespace has more devices than are read");
        return {};
    }

private:
    LinkGrowth x_growth;
    LinkPeers x_peers;
};

} // namespace

const Signal link_signal = {"link",
                            "do links stay up and deliver frames undamaged",
                            &elf_of<link_skel>,
                            kHooks,
                            kKinds,
                            nullptr,
                            [] { return std::unique_ptr<Reader>(new LinkReader); }};

} // namespace culprit
