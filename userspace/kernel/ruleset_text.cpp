// SPDX-License-Identifier: MIT
// What is not known by name becomes the name of its kind as text, and "other" as a condition.
#include "kernel/ruleset_text.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace culprit {

namespace {

using Json = nlohmann::json;

constexpr int kDepthMax = 8; // deeper ones are cut

std::string text_of(const Json& value, int depth = 0);

/// The member of that name as text; empty when there is none.
std::string member(const Json& from, const char* name, int depth = 0) {
    const auto it = from.is_object() ? from.find(name) : from.end();
    return from.is_object() && it != from.end() ? text_of(*it, depth + 1) : "";
}

std::string joined(const Json& list, const char* between, int depth) {
    std::string text;
    for (const Json& one : list)
        text += (text.empty() ? "" : between) + text_of(one, depth + 1);
    return text;
}

/// What an object stands for: its only member.
std::string object_text(const std::string& name, const Json& value, int depth) {
    if (name == "payload")
        return value.contains("field") ? member(value, "protocol") + " " + member(value, "field")
                                       : "@" + member(value, "base") + "," +
                                             member(value, "offset") + "," + member(value, "len");
    if (name == "meta") {
        const std::string key = member(value, "key");
        return key.starts_with("iif") || key.starts_with("oif") ? key : "meta " + key;
    }
    if (name == "ct")
        return "ct " + member(value, "key");
    if (name == "numgen")
        return fmt::format("numgen {} mod {}", member(value, "mode"), member(value, "mod"));
    if (name == "fib")
        return fmt::format("fib {} {}", member(value, "flags"), member(value, "result"));
    if (name == "prefix")
        return member(value, "addr") + "/" + member(value, "len");
    if (name == "range" && value.is_array())
        return joined(value, "-", depth);
    if (name == "set" && value.is_array())
        return "{ " + joined(value, ", ", depth) + " }";
    if (name == "concat" && value.is_array())
        return joined(value, " . ", depth);
    if (name == "elem")
        return member(value, "val", depth);
    if (value.is_array())
        return joined(value, (" " + name + " ").c_str(), depth);
    return name + " ...";
}

std::string text_of(const Json& value, int depth) {
    if (depth > kDepthMax)
        return "...";
    if (value.is_string())
        return value.get<std::string>();
    if (value.is_array())
        return joined(value, value.size() == 2 && value[1].is_object() ? " : " : ",", depth);
    if (value.is_object() && value.size() == 1) {
        const auto only = value.begin();
        const bool verdict = only->is_null();
        const std::string target = member(*only, "target", depth);
        return verdict          ? only.key()
               : target.empty() ? object_text(only.key(), *only, depth)
                                : only.key() + " " + target;
    }
    return value.is_number() || value.is_boolean() ? value.dump() : "...";
}

std::string match_text(const Json& match) {
    const std::string op = member(match, "op");
    return member(match, "left") + (op == "==" || op == "in" ? " " : " " + op + " ") +
           member(match, "right");
}

std::string reject_text(const Json& reject) {
    const std::string type = member(reject, "type"), code = member(reject, "expr");
    return type.empty() ? "reject"
                        : fmt::format("reject with {}{}{}", type, code.empty() ? "" : " ", code);
}

/// One value a condition can be compared with; empty for one that only the kernel knows.
std::string plain_value(const Json& value) {
    const std::string text = text_of(value);
    const bool plain = std::ranges::all_of(text, [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               std::string_view(".:/-_*").find(c) != std::string_view::npos;
    });
    return plain ? text : "";
}

/// "22,80-90"; empty when one of them is not plain.
std::string plain_values(const Json& right) {
    if (!right.is_object() || !right.contains("set") || !right["set"].is_array())
        return plain_value(right);
    std::string all;
    for (const Json& one : right["set"]) {
        const std::string value = plain_value(one);
        if (value.empty())
            return "";
        all += (all.empty() ? "" : ",") + value;
    }
    return all;
}

/// The word that a left side is known by, and what it says besides.
struct Asked {
    std::string word, also;
};

Asked asked_of_header(const std::string& protocol, const std::string& field) {
    const bool ip = protocol == "ip" || protocol == "ip6";
    if (ip && (field == "saddr" || field == "daddr"))
        return {field, "family=" + protocol};
    if (ip && (field == "protocol" || field == "nexthdr"))
        return {"l4proto", "family=" + protocol};
    if (protocol == "th" && (field == "sport" || field == "dport"))
        return {field, ""};
    const bool port = field == "sport" || field == "dport";
    if (protocol == "tcp" || protocol == "udp" || protocol == "icmp" || protocol == "icmpv6")
        return {port ? field : "", "l4proto=" + protocol};
    return {};
}

Asked asked_of(const Json& left) {
    if (left.is_object() && left.contains("payload"))
        return asked_of_header(member(left["payload"], "protocol"),
                               member(left["payload"], "field"));
    if (!left.is_object() || !left.contains("meta"))
        return {};
    const std::string key = member(left["meta"], "key");
    if (key == "l4proto")
        return {key, ""};
    if (key == "nfproto" || key == "protocol")
        return {"family", ""};
    return {key == "iifname" || key == "iif" ? "iif" : "", ""};
}

std::string match_conditions(const Json& match) {
    const Asked asked = asked_of(match.value("left", Json()));
    const std::string op = member(match, "op");
    std::string values = plain_values(match.value("right", Json()));
    if (asked.word == "family" && values.starts_with("ipv"))
        values = values == "ipv6" ? "ip6" : "ip";
    const bool known = !asked.word.empty() && !values.empty() && (op == "==" || op == "!=");
    std::string word = known ? asked.word + "=" + (op == "!=" ? "!" : "") + values : "other";
    return asked.also.empty() ? word : asked.also + " " + word;
}

bool is_only(const Json& statement) {
    return statement.is_object() && statement.size() == 1;
}

} // namespace

std::string statement_text(const Json& statement) {
    if (!is_only(statement))
        return "...";
    const std::string& name = statement.begin().key();
    const Json& value = *statement.begin();
    if (name == "counter")
        return "";
    if (name == "match")
        return match_text(value);
    if (name == "reject")
        return reject_text(value);
    if (name == "vmap")
        return member(value, "key") + " vmap " + member(value, "data");
    if (name == "limit")
        return fmt::format("limit rate {}{}/{}", value.value("inv", false) ? "over " : "",
                           member(value, "rate"), member(value, "per"));
    return value.is_object() && !value.contains("target") ? name : text_of(statement);
}

std::string statement_conditions(const Json& statement) {
    constexpr std::string_view kPassing[] = {"counter", "log",  "accept", "drop",
                                             "reject",  "jump", "goto",   "mangle",
                                             "snat",    "dnat", "return", "notrack"};
    if (!is_only(statement))
        return "other";
    const std::string& name = statement.begin().key();
    if (name == "match")
        return match_conditions(*statement.begin());
    return std::ranges::find(kPassing, name) != std::end(kPassing) ? "" : "other";
}

} // namespace culprit
