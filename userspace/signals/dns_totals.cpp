// SPDX-License-Identifier: MIT
// Looks several times a tick for questions that wait too long; the kernel's counts only grow, and
// go when nothing is added to them.
#include "signals/dns_totals.h"

#include <array>
#include <bit>
#include <cstring>
#include <map>
#include <vector>

#include "abi/dns.h"

namespace culprit {

namespace {

constexpr int kIdleTicks = 30; // an answer may come that late

using Key = std::array<std::byte, sizeof(dns_key)>;
using Words = std::array<std::uint64_t, sizeof(dns_counts) / 8>;
constexpr std::size_t kLongest = offsetof(dns_counts, latency_max_ns) / 8;

struct Seen {
    Words words{};
    int idle = 0; // ticks without growth
};

class DnsTotals : public Totals {
public:
    void look(const MapReader& maps) override {
        maps.run("dns_look", "dns_waitings", [](std::span<const std::byte>) {});
    }
    void take(const MapReader& maps, std::uint64_t now_ns, const RecordSink& sink) override;

private:
    std::map<Key, Seen> x_seen; // as many as the kernel's map has keys
};

abi_flow flow_of(const dns_key& key) {
    abi_flow flow{};
    flow.family = key.family;
    flow.protocol = key.protocol;
    flow.netns = key.netns;
    const bool serves = key.role == DNS_SERVER;
    (serves ? flow.local_port : flow.remote_port) = key.port;
    std::memcpy(serves ? flow.local : flow.remote, key.server, sizeof(key.server));
    return flow;
}

/// False when nothing came. The longest latency is not a sum.
bool take_growth(Words& words, Words& seen) {
    const Words now = words;
    bool grown = false;
    for (std::size_t i = 0; i < words.size(); i++) {
        grown = grown || now[i] != seen[i];
        words[i] -= i == kLongest ? 0 : seen[i];
    }
    seen = now;
    return grown;
}

void DnsTotals::take(const MapReader& maps, std::uint64_t now_ns, const RecordSink& sink) {
    look(maps);
    std::vector<Key> idle;
    maps.each("dns_counted", [&](const void* at, const std::byte* bytes, std::size_t, std::size_t) {
        Key key;
        dns_value value;
        std::memcpy(key.data(), at, key.size());
        std::memcpy(&value, bytes, sizeof(value));
        Words words = std::bit_cast<Words>(value.counts);
        Seen& seen = x_seen[key];
        if (!take_growth(words, seen.words)) {
            if (++seen.idle >= kIdleTicks)
                idle.push_back(key);
            return;
        }
        seen.idle = 0;
        const auto known = std::bit_cast<dns_key>(key);
        dns_total total{};
        total.head = {now_ns, ABI_DNS_TOTAL, sizeof(total), 0};
        total.flow = flow_of(known);
        total.owner = value.owner;
        total.counts = std::bit_cast<dns_counts>(words);
        total.type = known.type;
        total.role = known.role;
        sink(bytes_of(total));
    });
    for (const Key& key : idle) {
        maps.erase("dns_counted", key.data());
        x_seen.erase(key);
    }
}

} // namespace

std::unique_ptr<Totals> dns_totals() {
    return std::make_unique<DnsTotals>();
}

} // namespace culprit
