// SPDX-License-Identifier: MIT
// Devices of the run: which stopped, by whom, which is the other end of which, and which traffic
// wanted them. Shared by the detectors about links.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "abi/link.h"
#include "detect/drops.h"
#include "detect/finding.h"

namespace culprit {

enum class LinkState { kUp, kOff, kNoCarrier, kGone };

struct LinkFacts {
    link_total sum{};
    RowInfo info;
    std::string name;
    const LinkFacts* peer = nullptr; // the other end of a veth pair, when it is known for sure
    std::uint64_t off_times = 0;     // seen by the hook
    Party by;                        // the process that took it down most often
    std::uint64_t stopped_ns = 0;    // when it stopped first
    std::uint64_t last_stop_ns = 0;
    std::uint64_t dropped = 0;    // packets for it while it did not work
    bool only_groups = false;     // all sampled ones are for many: announcements nobody waits for
    std::uint64_t segs_again = 0; // segments sent again because of that
    std::vector<Party> affected;  // worst first

    std::pair<std::uint32_t, std::uint32_t> key() const { return {sum.netns, sum.ifindex}; }
    bool is(const char* type) const { return std::string_view(sum.type) == type; }
    bool hardware() const { return !sum.type[0]; }
    LinkState state() const;     // at the end
    std::uint64_t downs() const; // times it stopped
    std::uint64_t packets() const { return sum.rx_packets + sum.tx_packets; }
    bool hurts() const;
};

class Links {
public:
    explicit Links(const Window& total);
    Links(const Links&) = delete;

    const std::map<std::pair<std::uint32_t, std::uint32_t>, LinkFacts>& all() const {
        return x_all;
    }
    const LinkFacts* at(std::uint32_t netns, std::uint32_t ifindex) const;
    /// It stopped because a device it is made of did.
    bool follows(const LinkFacts& link) const;

private:
    void add_rows(const Window& total);
    void add_stops(const Window& total);
    void find_peers();
    void add_drops(const Window& total);
    void add_sent_again(const Window& total, const std::map<std::string, LinkFacts*>& lost);
    std::map<std::uint32_t, LinkFacts*> only_devices();

    std::map<std::pair<std::uint32_t, std::uint32_t>, LinkFacts> x_all; // by netns, ifindex
};

/// A packet dropped because its device, or the other end of it, does not work.
bool is_stop_drop(std::string_view reason, std::string_view function);

/// With the link's header.
std::uint64_t longest_frame(const DropFacts& drops);

/// Drops of frames longer than the other end of the device takes; false when that end did not work.
bool frames_too_long(const DropFacts& drops, const Links& links);

/// "to-a (MTU 600) in 4026532001 (blue)", as seen from `netns`.
std::string link_name(const LinkFacts& link, std::uint32_t netns, const Names& names);

/// What findings about stopped devices have in common: the other end, what was lost of both, and
/// who needed it, also in the title.
void add_who_misses_it(Finding& finding, const LinkFacts& link, const Window& total);

} // namespace culprit
