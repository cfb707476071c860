// SPDX-License-Identifier: MIT
// firewall-drop, firewall-reject. Claim: this host's firewall drops packets that somebody needs, in
// that hook, by that rule; reject: it tells the sender so. Evidence: packets dropped by netfilter,
// the growth of rules' counters, sampled packets that fit a rule, connects that are refused where
// their SYN was dropped. A rule is named without "probably" only when its own counter grew. Looks
// alike: a closed port (its host sends a reset, no SYN is dropped), a full connection table
// (conntrack-full), a firewall that drops strays nobody waits for (info at most).
#include <algorithm>

#include <fmt/format.h>

#include "detect/netfilter.h"
#include "detect/thresholds.h"
#include "model/format.h"

namespace culprit {

namespace {

constexpr std::size_t kListed = 3;

std::string_view hook_name(std::uint32_t path) {
    static constexpr std::string_view kNames[] = {"", "before routing", "input", "forward",
                                                  "output"};
    return path < std::size(kNames) ? kNames[path] : "";
}

std::string title_of(const FirewallDrops& group) {
    const char* what = group.rejected ? "rejects" : "drops";
    const std::string to = group.to.empty() ? "" : " to " + group.to;
    if (const rule_total* rule = group.rule())
        return fmt::format("firewall {} packets{}, {}by {} \"{}\"", what, to,
                           is_proven(*rule) ? "" : "probably ", chain_name(*rule),
                           rule_text(*rule));
    const std::string_view hook = hook_name(group.path);
    return fmt::format("firewall {} packets{}{}{}", what, to, hook.empty() ? "" : ", ", hook);
}

void add_rule(Finding& finding, const rule_total& rule) {
    std::string text = rule_name(rule);
    if (const std::string comment = rule_comment(rule); !comment.empty())
        text += fmt::format(" (comment: {})", comment);
    finding.evidence.push_back({text, std::nullopt, "", "nf_tables"});
    if (is_proven(rule))
        finding.evidence.push_back(
            {fmt::format("its counter grew by {} while the firewall dropped {} packets",
                         rule.packets, rule.dropped),
             double(rule.packets), "packets", "nf_tables"});
    else
        finding.evidence.push_back(
            {fmt::format("the sampled packets fit {}; {}",
                         rule.verdict == ABI_RULE_POLICY ? "no rule that drops, so the policy does"
                                                         : "no other rule that drops",
                         rule.counted ? "its counter was read too late to prove it"
                                      : "it has no counter that proves it"),
             std::nullopt, "", "nf_tables"});
}

void add_rules(Finding& finding, const FirewallDrops& group) {
    if (const rule_total* rule = group.rule())
        add_rule(finding, *rule);
    else
        for (std::size_t i = 0; i < std::min(kListed, group.rules.size()); i++)
            finding.evidence.push_back({fmt::format("{} of {} rules it may have been: {}", i + 1,
                                                    group.rules.size(), rule_name(group.rules[i])),
                                        std::nullopt, "", "nf_tables"});
    if (group.rules.empty())
        for (const std::string& why : group.unread)
            finding.evidence.push_back({why, std::nullopt, "", "nf_tables"});
}

std::vector<Advice> advice_of(const FirewallDrops& group, const Names& names) {
    const std::string in = in_netns(group.drops.at.netns, names);
    const rule_total* rule = group.rule();
    if (!rule)
        return {{"find the rule: the counters of the rules tell which one",
                 in + (group.unread.empty() ? "nft -a list ruleset" : "iptables-save -c")},
                {"or let the kernel tell: set nftrace on such packets, then watch",
                 in + "nft monitor trace"}};
    Advice allow{"if these packets are wanted, allow them in front of it", ""};
    allow.command =
        in + (rule->handle ? nft_command(*rule, "insert rule",
                                         fmt::format("position {} MATCH accept", rule->handle))
                           : nft_command(*rule, "add rule", "MATCH accept"));
    return {allow,
            {"the whole chain, with its counters", in + nft_command(*rule, "-a list chain", "")}};
}

Finding describe(const FirewallDrops& group, Finding finding, const Names& names) {
    finding.where.remote = group.to;
    const std::string_view hook = hook_name(group.path);
    if (!hook.empty())
        finding.evidence.insert(finding.evidence.begin(),
                                {fmt::format("netfilter hook {}, in network namespace {}", hook,
                                             netns_name(group.drops.at.netns, names)),
                                 std::nullopt, "", "kfree_skb"});
    add_rules(finding, group);
    if (group.rejected)
        for (Evidence& evidence : finding.evidence)
            if (evidence.unit == "attempts") // which those of a silent drop are not
                evidence.text = fmt::format("{} attempts to connect there are refused or repeated",
                                            group.drops.syn_conversations);
    if (group.needed && group.drops.affected.empty())
        finding.evidence.push_back({"who sends them tries again and again, so somebody waits",
                                    std::nullopt, "", "kfree_skb"});
    const rule_total* rule = group.rule();
    if (rule && !is_proven(*rule))
        finding.confidence = std::min(finding.confidence, 0.9);
    return finding;
}

std::vector<Finding> detect(const Facts& facts, bool rejected) {
    std::vector<Finding> findings;
    for (const FirewallDrops& group : facts.firewall_drops()) {
        if (group.rejected != rejected)
            continue;
        const DropStory story{.id = rejected ? "firewall-reject" : "firewall-drop",
                              .layer = Layer::kNetwork,
                              .title = title_of(group),
                              .advice = advice_of(group, facts.total.names),
                              .needed = group.needed};
        if (auto finding = drop_finding(story, group.drops, facts.total))
            findings.push_back(describe(group, std::move(*finding), facts.total.names));
    }
    return findings;
}

} // namespace

std::vector<Finding> detect_firewall_drop(const Facts& facts) {
    return detect(facts, false);
}

std::vector<Finding> detect_firewall_reject(const Facts& facts) {
    return detect(facts, true);
}

} // namespace culprit
