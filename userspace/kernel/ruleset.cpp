// SPDX-License-Identifier: MIT
// libnftables reads the rules and writes them as JSON; rules that cannot drop are left out.
#include "kernel/ruleset.h"

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <nftables/libnftables.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <tuple>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "kernel/features.h"
#include "kernel/netlink.h"
#include "kernel/ruleset_text.h"
#include "util/text.h"

namespace culprit {

namespace {

using Json = nlohmann::json;

constexpr std::size_t kJsonMax = std::size_t{2} << 20; // parsed it takes about ten times as much
constexpr int kVisitsMax = 4096; // of chains; rules that jump in circles are refused by the kernel

using Key = std::tuple<std::string, std::string, std::string>; // family, table, name

Key key_of(const Json& object, const char* name) {
    return {object.value("family", ""), object.value("table", ""), object.value(name, "")};
}

struct Chain {
    std::vector<const Json*> rules;
    std::uint32_t paths = 0;
    std::string conditions; // of the jumps that lead here
    bool reached = false;
    std::string policy;
};

struct NamedCounter {
    std::uint64_t packets = 0;
    int users = 0;
};

constexpr std::uint32_t path_bit(abi_path path) {
    return 1U << path;
}

/// Which packets a hook sees, in the words of a sample. What is looped back has its route already
/// when it arrives.
std::uint32_t paths_of(const std::string& family, const std::string& hook) {
    constexpr std::uint32_t kArriving = path_bit(ABI_PATH_ARRIVING),
                            kInput = path_bit(ABI_PATH_INPUT),
                            kForward = path_bit(ABI_PATH_FORWARD),
                            kOutput = path_bit(ABI_PATH_OUTPUT);
    if (family == "bridge" || family == "arp")
        return kArriving | kInput | kForward | kOutput;
    if (hook == "ingress" || hook == "prerouting")
        return kArriving | kInput;
    if (hook == "input")
        return kInput;
    if (hook == "forward")
        return kForward;
    return hook == "output" ? kOutput : kForward | kOutput;
}

/// Words of both, "other" for what does not fit into a record.
std::string both(const std::string& a, const std::string& b) {
    std::string all = a.empty() || b.empty() ? a + b : a + " " + b;
    if (all.size() < RULE_TEXT_BYTES)
        return all;
    constexpr std::string_view kOther = " other";
    all.resize(all.rfind(' ', RULE_TEXT_BYTES - 1 - kOther.size()) == std::string::npos
                   ? 0
                   : all.rfind(' ', RULE_TEXT_BYTES - 1 - kOther.size()));
    return all.empty() ? "other" : all + std::string(kOther);
}

/// All objects of a listing, by what they are.
class Listing {
public:
    explicit Listing(const Json& json) {
        for (const Json& entry : json.at("nftables")) {
            if (!entry.is_object() || entry.size() != 1)
                continue;
            const Json& object = *entry.begin();
            if (const std::string& what = entry.begin().key(); what == "chain")
                x_chains[key_of(object, "name")].policy = object.value("policy", "");
            else if (what == "rule")
                x_chains[key_of(object, "chain")].rules.push_back(&object);
            else if (what == "counter")
                x_counters[key_of(object, "name")].packets = object.value("packets", 0ULL);
            if (entry.begin().key() == "chain" && object.contains("hook"))
                x_bases.push_back(&object);
        }
        for (const auto& [key, chain] : x_chains)
            for (const Json* rule : chain.rules)
                each_statement(*rule, [&](const Json& statement) { count_user(*rule, statement); });
        for (const Json* base : x_bases)
            visit(key_of(*base, "name"),
                  paths_of(base->value("family", ""), base->value("hook", "")), "");
    }

    std::vector<FirewallRule> dropping() const {
        std::vector<FirewallRule> found;
        for (const auto& [key, chain] : x_chains)
            if (chain.reached)
                for (const Json* rule : chain.rules)
                    add_rule(found, *rule, chain);
        for (const Json* base : x_bases)
            if (const Chain& chain = x_chains.at(key_of(*base, "name")); chain.policy == "drop")
                found.push_back({.verdict = ABI_RULE_POLICY,
                                 .paths = chain.paths,
                                 .family = base->value("family", ""),
                                 .table = base->value("table", ""),
                                 .chain = base->value("name", ""),
                                 .comment = "",
                                 .text = "policy drop",
                                 .conditions = family_of(*base)});
        return found;
    }

private:
    template <typename Each>
    static void each_statement(const Json& rule, const Each& each) {
        if (rule.contains("expr"))
            for (const Json& statement : rule["expr"])
                if (statement.is_object() && statement.size() == 1)
                    each(statement);
    }

    static std::string family_of(const Json& object) {
        const std::string family = object.value("family", "");
        return family == "ip" || family == "ip6" ? "family=" + family : "";
    }

    void count_user(const Json& rule, const Json& statement) {
        if (statement.contains("counter") && statement["counter"].is_string())
            x_counters[named(rule, statement["counter"])].users++;
    }

    static Key named(const Json& rule, const Json& name) {
        return {rule.value("family", ""), rule.value("table", ""), name.get<std::string>()};
    }

    /// Says of a chain, and those it leads to, which packets come by.
    void visit(const Key& key, std::uint32_t paths, const std::string& conditions) {
        const auto at = x_chains.find(key);
        if (at == x_chains.end() || x_visits++ > kVisitsMax)
            return;
        Chain& chain = at->second;
        chain.conditions = !chain.reached || chain.conditions == conditions ? conditions : "other";
        chain.reached = true;
        chain.paths |= paths;
        for (const Json* rule : chain.rules) {
            std::string so_far = chain.conditions;
            each_statement(*rule, [&](const Json& statement) {
                so_far = both(so_far, statement_conditions(statement));
                for (const std::string& target : targets_of(statement))
                    visit({std::get<0>(key), std::get<1>(key), target}, paths, so_far);
            });
        }
    }

    /// Chains that a statement leads to.
    static std::vector<std::string> targets_of(const Json& statement) {
        std::vector<std::string> targets;
        const auto add = [&](const Json& verdict) {
            for (const char* way : {"jump", "goto"})
                if (verdict.is_object() && verdict.contains(way) && verdict[way].is_object())
                    targets.push_back(verdict[way].value("target", ""));
        };
        add(statement);
        if (const Json* map = verdict_map(statement))
            for (const Json& pair : *map)
                if (pair.is_array() && pair.size() == 2)
                    add(pair[1]);
        return targets;
    }

    /// The pairs of an anonymous verdict map.
    static const Json* verdict_map(const Json& statement) {
        if (!statement.contains("vmap"))
            return nullptr;
        const Json& map = statement["vmap"];
        const bool here = map.is_object() && map.contains("data") && map["data"].is_object() &&
                          map["data"].contains("set") && map["data"]["set"].is_array();
        return here ? &map["data"]["set"] : nullptr;
    }

    /// A named map may hold anything.
    static bool may_drop(const Json& statement) {
        if (!statement.contains("vmap"))
            return false;
        const Json* map = verdict_map(statement);
        return !map || std::ranges::any_of(*map, [](const Json& pair) {
            return pair.is_array() && pair.size() == 2 && pair[1].is_object() &&
                   pair[1].contains("drop");
        });
    }

    void add_rule(std::vector<FirewallRule>& found, const Json& json, const Chain& chain) const {
        FirewallRule rule{.handle = json.value("handle", 0ULL),
                          .paths = chain.paths,
                          .family = json.value("family", ""),
                          .table = json.value("table", ""),
                          .chain = json.value("chain", ""),
                          .comment = json.value("comment", ""),
                          .text = "",
                          .conditions = both(family_of(json), chain.conditions)};
        bool drops = false;
        each_statement(json, [&](const Json& statement) {
            const std::string asks = statement_conditions(statement);
            const std::string text = statement_text(statement);
            rule.text += (rule.text.empty() || text.empty() ? "" : " ") + text;
            rule.conditions = both(rule.conditions, asks);
            rule.counted = rule.counted && asks.empty(); // a condition behind it: counts more
            take_counter(rule, json, statement);
            drops |= take_verdict(rule, statement);
        });
        if (drops)
            found.push_back(std::move(rule));
    }

    static bool take_verdict(FirewallRule& rule, const Json& statement) {
        // a target of iptables that nftables does not know refuses more often than not
        const bool maybe = may_drop(statement) || statement.contains("xt");
        if (statement.contains("reject"))
            rule.verdict = ABI_RULE_REJECT;
        else if (maybe)
            rule.verdict = ABI_RULE_MAP;
        return maybe || statement.contains("drop") || statement.contains("reject");
    }

    void take_counter(FirewallRule& rule, const Json& json, const Json& statement) const {
        if (!statement.contains("counter"))
            return;
        const Json& counter = statement["counter"];
        if (counter.is_object()) {
            rule.counted = true;
            rule.packets = counter.value("packets", 0ULL);
        } else if (counter.is_string()) {
            const auto it = x_counters.find(named(json, counter));
            rule.counted = it != x_counters.end() && it->second.users == 1;
            rule.packets = rule.counted ? it->second.packets : 0;
        }
    }

    std::map<Key, Chain> x_chains;
    std::map<Key, NamedCounter> x_counters;
    std::vector<const Json*> x_bases;
    int x_visits = 0;
};

/// Asking would load the module where it is neither loaded nor built in.
bool nftables_is_there() {
    if (access("/sys/module/nf_tables", F_OK) == 0 || access("/proc/modules", F_OK) != 0)
        return true;
    utsname name{};
    uname(&name);
    const auto builtin = read_file(fmt::format("/lib/modules/{}/modules.builtin", name.release));
    return builtin && builtin->find("/nf_tables.ko") != std::string::npos;
}

Result<std::size_t> count_rules() {
    const auto netlink = Netlink::open(NETLINK_NETFILTER);
    if (!netlink)
        return std::unexpected(netlink.error());
    NetlinkRequest request((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETRULE, NLM_F_DUMP);
    request.body(nfgenmsg{});
    std::size_t count = 0;
    if (const auto done = netlink->ask(request, [&](const nlmsghdr&) { count++; }); !done)
        return std::unexpected(done.error());
    return count;
}

Result<std::string> list_ruleset() {
    struct Free {
        void operator()(nft_ctx* nft) const { nft_ctx_free(nft); }
    };
    const std::unique_ptr<nft_ctx, Free> nft(nft_ctx_new(NFT_CTX_DEFAULT));
    if (!nft)
        return fail(Code::kFailed, "libnftables cannot start");
    // without the elements of named sets, which may be millions
    nft_ctx_output_set_flags(nft.get(), NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_TERSE);
    nft_ctx_buffer_output(nft.get());
    nft_ctx_buffer_error(nft.get());
    if (nft_run_cmd_from_buffer(nft.get(), "list ruleset"))
        return fail(Code::kFailed,
                    "list the firewall's rules: " +
                        safe_text(std::string_view(nft_ctx_get_error_buffer(nft.get()))));
    return nft_ctx_get_output_buffer(nft.get());
}

} // namespace

Result<std::vector<FirewallRule>> parse_ruleset(std::string_view json) {
    try {
        const Json parsed = Json::parse(json);
        return Listing(parsed).dropping();
    } catch (const std::exception& e) {
        return fail(Code::kFailed,
                    std::string("the firewall's rules are not understood: ") + safe_text(e.what()));
    }
}

Result<std::vector<FirewallRule>> read_ruleset() {
    if (!nftables_is_there())
        return fail(Code::kUnsupported, "nftables is not in use");
    // first without libnftables: it ends the program where the kernel does not answer
    const auto count = count_rules();
    if (!count)
        return std::unexpected(count.error());
    if (*count > kRulesMax)
        return fail(Code::kFailed,
                    fmt::format("{} firewall rules, more than {}: not read", *count, kRulesMax));
    const auto json = list_ruleset();
    if (!json)
        return std::unexpected(json.error());
    if (json->size() > kJsonMax)
        return fail(Code::kFailed, "the firewall's rules are too long to read");
    return parse_ruleset(*json);
}

std::string legacy_tables() {
    std::string tables;
    for (const char* path :
         {"/proc/thread-self/net/ip_tables_names", "/proc/thread-self/net/ip6_tables_names"}) {
        std::string text = read_file(path).value_or("");
        std::ranges::replace(text, '\n', ' ');
        tables += text;
    }
    if (!tables.empty())
        tables.pop_back();
    return tables;
}

} // namespace culprit
