// SPDX-License-Identifier: MIT
// What detectors share.
#include "detect/finding.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "detect/benign.h"
#include "detect/flows.h"
#include "detect/listeners.h"
#include "detect/thresholds.h"
#include "model/format.h"
#include "util/text.h"

namespace culprit {

namespace {

constexpr std::size_t kPartiesMax = 5;

template <typename Map, typename Key>
const DropPlace* lookup(const Map& map, const Key& key) {
    const auto it = map.find(key);
    return it == map.end() ? nullptr : &it->second;
}

/// A network by its first bytes.
struct Net {
    std::uint32_t prefix;
    unsigned bits;
    bool has(std::uint32_t address) const { return (address ^ prefix) >> (32 - bits) == 0; }
};
// RFC 6890: private, shared, link-local, loopback, benchmarks, documentation, multicast and above
constexpr Net kNotGlobal4[] = {{0x00000000, 8},  {0x0a000000, 8},  {0x64400000, 10},
                               {0x7f000000, 8},  {0xa9fe0000, 16}, {0xac100000, 12},
                               {0xc0000200, 24}, {0xc0a80000, 16}, {0xc6120000, 15},
                               {0xc6336400, 24}, {0xcb007100, 24}, {0xe0000000, 3}};
// only 2000::/3 is given out, 2001:db8::/32 of it for documentation
constexpr Net kGlobal6{0x20000000, 3}, kDocumentation6{0x20010db8, 32};

} // namespace

std::string percent(double ratio) {
    const double value = ratio * 100;
    return value < 10 ? fmt::format("{:.1f} %", value) : fmt::format("{:.0f} %", value);
}

bool same_process(const abi_owner& a, const abi_owner& b) {
    return a.tgid == b.tgid && a.start_ns == b.start_ns;
}

void add_party(std::vector<Party>& into, const Party& party) {
    if (!party.owner.tgid || into.size() >= kPartiesMax)
        return;
    const bool known = std::ranges::any_of(into, [&](const Party& p) {
        return same_process(p.owner, party.owner) && p.netns == party.netns;
    });
    if (!known)
        into.push_back(party);
}

void limit_per_process(std::vector<Finding>& findings) {
    constexpr std::size_t kFindingsMax = 5;
    std::map<std::pair<std::uint32_t, std::uint64_t>, std::size_t> told;
    std::ranges::stable_sort(findings, std::greater{}, &Finding::count);
    std::erase_if(findings, [&](const Finding& finding) {
        const Party* who = finding.culprit            ? &*finding.culprit
                           : finding.affected.empty() ? nullptr
                                                      : &finding.affected.front();
        return who && who->owner.tgid &&
               ++told[{who->owner.tgid, who->owner.start_ns}] > kFindingsMax;
    });
}

Evidence no_local_drop(const Window& total) {
    const auto lost = total.lost.find(ABI_DROP);
    const bool all = lost == total.lost.end() || (!lost->second.limited && !lost->second.ring_full);
    return {all ? "no drop of these packets on this host"
                : "no drop of these packets on this host among those sampled",
            std::nullopt, "", "kfree_skb"};
}

std::string in_netns(std::uint32_t netns, const Names& names) {
    const auto named = names.netns.find(netns);
    return named == names.netns.end() ? ""
                                      : fmt::format("ip netns exec {} ", shell_word(named->second));
}

std::string verify_in_netns(const Finding& finding) {
    return fmt::format("diagnose --only {} --netns {} --for 30s", finding.id, finding.where.netns);
}

double per_second(const Window& total, double count) {
    return total.seconds() > 0 ? count / total.seconds() : 0;
}

std::string conversation(const abi_flow& flow) {
    std::string a = endpoint(flow, true), b = endpoint(flow, false);
    if (b < a)
        std::swap(a, b);
    return a + " " + b + " " + ip_protocol(flow.protocol);
}

std::string destination(const abi_flow& flow) {
    return endpoint(flow, false);
}

bool is_benign(const drop_event& drop, const Names& names) {
    return !benign_drop(drop_reason(drop.reason, names), symbol(drop.location, names), drop.tagged)
                .empty();
}

bool is_to_many(const abi_flow& flow) {
    if (flow.family == AF_INET6)
        return flow.remote[0] == 0xff;
    return (flow.remote[0] & 0xf0) == 0xe0 || flow.remote[0] == 0xff;
}

bool changed_its_mind(const connect_event& attempts, const RowInfo& info) {
    return attempts.result == ABI_RESULT_ABANDONED && !attempts.syn_retransmits &&
           attempts.latency_ns < threshold::kPatienceNs * std::max<std::uint64_t>(info.count, 1);
}

bool is_global(const abi_flow& flow, bool local) {
    const __u8* bytes = local ? flow.local : flow.remote;
    std::uint32_t address = 0;
    for (std::size_t i = 0; i < sizeof(address); i++)
        address = address << 8 | bytes[i];
    if (flow.family == AF_INET6)
        return kGlobal6.has(address) && !kDocumentation6.has(address);
    return flow.family == AF_INET &&
           std::ranges::none_of(kNotGlobal4, [&](const Net& net) { return net.has(address); });
}

bool is_from_stranger(const drop_event& packet) {
    return packet.path != ABI_PATH_OUTPUT && is_global(packet.flow, true);
}

const DropPlace* LocalDrops::of(const abi_flow& flow) const {
    return lookup(by_conversation, conversation(flow));
}

const DropPlace* LocalDrops::of_destination(const abi_flow& flow) const {
    return lookup(by_destination, destination(flow));
}

LocalDrops find_local_drops(const Window& total) {
    constexpr unsigned kSyn = 2, kAck = 16;
    LocalDrops found;
    const Listeners listeners(total);
    for (const auto& [drop, info] : total.rows<drop_event>(ABI_DROP)) {
        if (!drop.flow.family || is_benign(drop, total.names) ||
            listeners.is_backscatter(drop.flow))
            continue;
        const DropPlace place{drop.reason, drop.flow.netns, drop.location};
        found.by_conversation.emplace(conversation(drop.flow), place);
        if (drop.flow.protocol != IPPROTO_TCP)
            continue;
        abi_flow to = drop.flow;
        if ((drop.tcp_flags & (kSyn | kAck)) ==
            (kSyn | kAck)) { // the answer was dropped: its sender is the destination
            std::copy(std::begin(to.local), std::end(to.local), std::begin(to.remote));
            to.remote_port = to.local_port;
        } else if (!(drop.tcp_flags & kSyn)) {
            continue;
        }
        found.by_destination.emplace(destination(to), place);
    }
    return found;
}

} // namespace culprit
