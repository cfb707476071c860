// SPDX-License-Identifier: MIT
// Firewall rules: read only in namespaces whose firewall was just seen dropping, for what rules say
// is worth nothing until then, and many hosts have thousands.
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <tuple>

#include "kernel/names.h"
#include "kernel/ruleset.h"
#include "signals/all.h"
#include "util/time.h"

#include "abi/firewall.h"

namespace culprit {

namespace {

constexpr const char* kVerdicts[] = {"drop", "reject", "policy", "map", "unread"};

constexpr Field kFields[] = {
    CULPRIT_FIELD(rule_total, netns, Type::kNetns, "network namespace"),
    CULPRIT_FIELD(rule_total, family, Type::kText, "family of the table"),
    CULPRIT_FIELD(rule_total, table, Type::kText, "table"),
    CULPRIT_FIELD(rule_total, chain, Type::kText, "chain"),
    CULPRIT_FIELD(rule_total, handle, Type::kNumber, "the rule's number; 0 for a policy"),
    CULPRIT_NAMED(rule_total, verdict, "what it does with packets", kVerdicts),
    CULPRIT_FIELD(rule_total, text, Type::kText, "the rule"),
    CULPRIT_FIELD(rule_total, comment, Type::kText, "what the administrator wrote beside it"),
    CULPRIT_FIELD(rule_total, conditions, Type::kText, "what it asks of a packet"),
    CULPRIT_FIELD(rule_total, paths, Type::kHex, "packets that come by it, a bit for each path"),
    CULPRIT_FIELD(rule_total, counted, Type::kNumber, "1: its counter counts what it drops"),
    CULPRIT_FIELD(rule_total, packets, Type::kNumber, "growth of its counter"),
    CULPRIT_FIELD(rule_total, dropped, Type::kNumber,
                  "packets the namespace's firewall dropped meanwhile"),
};
constexpr Part kKey[] = {
    CULPRIT_PART(rule_total, netns),  CULPRIT_PART(rule_total, family),
    CULPRIT_PART(rule_total, table),  CULPRIT_PART(rule_total, chain),
    CULPRIT_PART(rule_total, handle), CULPRIT_PART(rule_total, text),
};
constexpr Part kSums[] = {CULPRIT_PART(rule_total, packets), CULPRIT_PART(rule_total, dropped)};

constexpr Kind kRuleTotal = {ABI_RULE_TOTAL,
                             "rule_total",
                             "firewall rules that may have dropped what was dropped",
                             sizeof(rule_total),
                             false,
                             kFields,
                             kKey,
                             kSums};
constexpr const Kind* kKinds[] = {&kRuleTotal};

template <std::size_t N>
void put_text(char (&into)[N], const std::string& text) {
    std::memcpy(into, text.data(), std::min(text.size(), N));
}

class FirewallReader : public Reader {
public:
    void see(std::span<const std::byte> record, const Names& names) override {
        if (head_of(record).kind != ABI_DROP_TOTAL)
            return;
        drop_total drop;
        std::memcpy(&drop, record.data(), sizeof(drop));
        if (!is_firewall(drop, names))
            return;
        if (x_places.size() < kPlacesMax || x_places.contains(drop.netns))
            x_places[drop.netns].dropped += drop.packets;
        else
            x_left_out.insert(drop.netns);
    }

    Result<void> read_netns(std::uint32_t netns, std::uint64_t now_ns,
                            const RecordSink& sink) override {
        if (x_left_out.erase(netns))
            report_unread("rules are read in no more than " + std::to_string(kPlacesMax) +
                              " network namespaces",
                          netns, now_ns, sink);
        const auto at = x_places.find(netns);
        if (at == x_places.end() || !at->second.dropped || now_ns < at->second.next_ns)
            return {};
        const std::uint64_t began = boot_now_ns();
        look(netns, at->second, now_ns, sink);
        at->second.dropped = 0;
        at->second.looks++;
        // of a long ruleset no more than a small part of the time
        if (at->second.looks > 1)
            at->second.next_ns = now_ns + (boot_now_ns() - began) * kIdleShare;
        return {};
    }

private:
    static constexpr std::size_t kPlacesMax = 256;   // namespaces; in further ones no rule is read
    static constexpr std::size_t kReportedMax = 256; // rules of one namespace
    static constexpr std::uint64_t kIdleShare = 50;

    using RuleKey = std::tuple<std::string, std::string, std::string, std::uint64_t>;
    struct Place {
        std::uint64_t dropped = 0; // since the last look
        std::uint64_t next_ns = 0, looks = 0;
        std::map<RuleKey, std::uint64_t> counters; // at the last look
    };

    static bool is_firewall(const drop_total& drop, const Names& names) {
        if (const auto reason = names.drop_reasons.find(drop.reason);
            reason != names.drop_reasons.end())
            return reason->second == "NETFILTER_DROP";
        const auto place = names.symbols.find(drop.location);
        return !drop.reason && place != names.symbols.end() &&
               place->second.starts_with("nf_hook_slow+");
    }

    static void look(std::uint32_t netns, Place& place, std::uint64_t now_ns,
                     const RecordSink& sink) {
        const auto rules = read_ruleset();
        std::map<RuleKey, std::uint64_t> counters;
        std::size_t reported = 0;
        for (const FirewallRule& rule : rules ? *rules : std::vector<FirewallRule>()) {
            if (reported++ == kReportedMax)
                break;
            const RuleKey key{rule.family, rule.table, rule.chain, rule.handle};
            const auto before = place.counters.find(key);
            rule_total total = record_of(rule, netns, now_ns);
            if (before != place.counters.end() && rule.packets > before->second)
                total.packets = rule.packets - before->second;
            if (before != place.counters.end())
                total.dropped = place.dropped;
            counters[key] = rule.packets;
            sink(bytes_of(total));
        }
        if (!rules && rules.error().code != Code::kUnsupported)
            report_unread(rules.error().what, netns, now_ns, sink);
        if (const std::string legacy = legacy_tables(); !legacy.empty())
            report_unread("rules of iptables-legacy cannot be read, tables in use: " + legacy,
                          netns, now_ns, sink);
        place.counters = std::move(counters);
    }

    static rule_total record_of(const FirewallRule& rule, std::uint32_t netns,
                                std::uint64_t now_ns) {
        rule_total total{};
        total.head = {now_ns, ABI_RULE_TOTAL, sizeof(total), 0};
        total.netns = netns;
        total.handle = rule.handle;
        total.paths = rule.paths;
        total.verdict = static_cast<std::uint8_t>(rule.verdict);
        total.counted = rule.counted;
        put_text(total.family, rule.family);
        put_text(total.table, rule.table);
        put_text(total.chain, rule.chain);
        put_text(total.comment, rule.comment);
        put_text(total.text, rule.text);
        put_text(total.conditions, rule.conditions);
        return total;
    }

    static void report_unread(const std::string& why, std::uint32_t netns, std::uint64_t now_ns,
                              const RecordSink& sink) {
        FirewallRule rule;
        rule.verdict = ABI_RULE_UNREAD;
        rule.text = why;
        sink(bytes_of(record_of(rule, netns, now_ns)));
    }

    std::set<std::uint32_t> x_left_out;      // dropped, too, but x_places is full; not yet said
    std::map<std::uint32_t, Place> x_places; // namespaces whose firewall dropped in this run
};

} // namespace

const Signal firewall_signal = {
    "firewall", "which firewall rules drop what is dropped", nullptr, {}, kKinds, nullptr, [] {
        return std::unique_ptr<Reader>(new FirewallReader);
    }};

} // namespace culprit
