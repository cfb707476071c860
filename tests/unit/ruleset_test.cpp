// SPDX-License-Identifier: MIT
// What nftables lists, as rules that may drop; and listings that nobody should write.
#include "kernel/ruleset.h"

#include <algorithm>

#include <fmt/format.h>

#include "support/catch.h"

using namespace culprit;

namespace {

constexpr std::uint32_t kInput = 1U << ABI_PATH_INPUT;

std::string listing(const std::string& objects) {
    return R"({"nftables":[{"metainfo":{"version":"1.0.6"}},
        {"chain":{"family":"inet","table":"t","name":"in","handle":1,"type":"filter",
                  "hook":"input","prio":0,"policy":"accept"}})" +
           objects + "]}";
}

std::string rule(const std::string& statements, const std::string& chain = "in",
                 const std::string& more = "") {
    return R"(,{"rule":{"family":"inet","table":"t","chain":")" + chain + R"(","handle":5)" + more +
           R"(,"expr":[)" + statements + "]}}";
}

std::vector<FirewallRule> parsed(const std::string& objects) {
    const auto rules = parse_ruleset(listing(objects));
    REQUIRE(rules);
    return *rules;
}

FirewallRule only(const std::string& statements) {
    const auto rules = parsed(rule(statements));
    REQUIRE(rules.size() == 1);
    return rules[0];
}

std::string match(const std::string& left, const std::string& right, const std::string& op = "==") {
    return fmt::format(R"({{"match":{{"op":"{}","left":{},"right":{}}}}})", op, left, right);
}

const std::string kDport = R"({"payload":{"protocol":"tcp","field":"dport"}})";
const std::string kSaddr = R"({"payload":{"protocol":"ip","field":"saddr"}})";
const std::string kDrop = R"({"drop":null})";
const std::string kCounter = R"({"counter":{"packets":7,"bytes":420}})";

} // namespace

TEST_CASE("a rule has text, conditions, counter and the packets that come by", "[ruleset_test]") {
    const FirewallRule found = only(match(kDport, "5432") + "," + kCounter + "," + kDrop);
    CHECK(found.text == "tcp dport 5432 drop");
    CHECK(found.conditions == "l4proto=tcp dport=5432");
    CHECK(found.paths == kInput);
    CHECK(found.counted);
    CHECK(found.packets == 7);
    CHECK(found.handle == 5);
    CHECK(found.verdict == ABI_RULE_DROP);
}

TEST_CASE("sets, ranges, prefixes and negations are conditions", "[ruleset_test]") {
    CHECK(only(match(kDport, R"({"set":[22,{"range":[8000,8080]}]})") + "," + kDrop).conditions ==
          "l4proto=tcp dport=22,8000-8080");
    const FirewallRule net =
        only(match(kSaddr, R"({"prefix":{"addr":"10.0.0.0","len":8}})", "!=") + "," + kDrop);
    CHECK(net.conditions == "family=ip saddr=!10.0.0.0/8");
    CHECK(net.text == "ip saddr != 10.0.0.0/8 drop");
    CHECK(only(match(R"({"meta":{"key":"iifname"}})", R"("eth0")") + "," + kDrop).conditions ==
          "iif=eth0");
    CHECK(only(match(R"({"meta":{"key":"nfproto"}})", R"("ipv6")") + "," + kDrop).conditions ==
          "family=ip6");
}

TEST_CASE("what a sample does not tell is another condition", "[ruleset_test]") {
    for (const std::string& asks :
         {match(kSaddr, R"("@blocked")"), match(R"({"ct":{"key":"state"}})", R"("new")", "in"),
          match(R"({"numgen":{"mode":"random","mod":100,"offset":0}})", "5", "<"),
          std::string(R"({"limit":{"rate":10,"per":"second","inv":true}})"),
          std::string(R"({"xt":null})"), match(kSaddr, R"("a b=c")")}) {
        INFO(asks);
        CHECK(only(asks + "," + kDrop).conditions.ends_with("other"));
    }
}

TEST_CASE("a counter proves only when nothing is asked behind it", "[ruleset_test]") {
    CHECK(only(kCounter + "," + match(kDport, "1") + "," + kDrop).counted == false);
    CHECK(
        only(match(kDport, "1") + "," + kCounter + R"(,{"log":{"prefix":"x"}},)" + kDrop).counted);
}

TEST_CASE("a named counter proves only while one rule uses it", "[ruleset_test]") {
    const std::string object =
        R"(,{"counter":{"family":"inet","name":"hits","table":"t","handle":3,"packets":9}})";
    const std::string uses = rule(R"({"counter":"hits"},)" + kDrop);
    const auto one = parsed(object + uses);
    REQUIRE(one.size() == 1);
    CHECK(one[0].counted);
    CHECK(one[0].packets == 9);
    CHECK_FALSE(parsed(object + uses + uses)[0].counted);
}

TEST_CASE("rejects, policies and verdict maps are told apart, accepting rules are left out",
          "[ruleset_test]") {
    CHECK(only(R"({"reject":{"type":"tcp reset"}})").verdict == ABI_RULE_REJECT);
    CHECK(only(R"({"reject":{"type":"tcp reset"}})").text == "reject with tcp reset");
    CHECK(only(R"({"reject":null})").verdict == ABI_RULE_REJECT);
    CHECK(parsed(rule(R"({"accept":null})")).empty());
    const std::string map = R"({"vmap":{"key":)" + kDport +
                            R"(,"data":{"set":[[80,{"accept":null}],[443,{"drop":null}]]}}})";
    CHECK(only(map).verdict == ABI_RULE_MAP);
    CHECK(only(map).text == "tcp dport vmap { 80 : accept, 443 : drop }");
    const auto policy = parse_ruleset(R"({"nftables":[{"chain":{"family":"ip","table":"t",
        "name":"f","hook":"forward","policy":"drop"}}]})");
    REQUIRE(policy);
    REQUIRE(policy->size() == 1);
    CHECK((*policy)[0].verdict == ABI_RULE_POLICY);
    CHECK((*policy)[0].conditions == "family=ip");
    CHECK((*policy)[0].paths == 1U << ABI_PATH_FORWARD);
}

TEST_CASE("a chain that is jumped to has the hook and the conditions of the jump",
          "[ruleset_test]") {
    const std::string chain = R"(,{"chain":{"family":"inet","table":"t","name":"sub"}})";
    const std::string jump = match(kDport, "25") + R"(,{"jump":{"target":"sub"}})";
    const auto rules = parsed(chain + rule(kDrop, "sub") + rule(jump));
    REQUIRE(rules.size() == 1);
    CHECK(rules[0].conditions == "l4proto=tcp dport=25");
    CHECK(rules[0].paths == kInput);
    CHECK(parsed(chain + rule(kDrop, "sub")).empty()); // nothing leads there
    // in a circle, which the kernel refuses
    CHECK(
        parsed(chain + rule(kDrop + R"(,{"goto":{"target":"sub"}})", "sub") + rule(jump)).size() ==
        1);
}

TEST_CASE("a condition too long for a record is cut at a word and says so", "[ruleset_test]") {
    std::string many;
    for (int port = 1; port < 100; port++)
        many += (port > 1 ? "," : "") + std::to_string(port);
    const FirewallRule found = only(match(kDport, R"({"set":[)" + many + "]}") + "," + kDrop);
    CHECK(found.conditions == "l4proto=tcp other");
}

TEST_CASE("listings that are none are refused, not believed", "[ruleset_test]") {
    for (const char* text :
         {"", "{", "[]", "{}", R"({"nftables":1})", R"({"nftables":[{"rule":{"handle":"x"}}]})"})
        (void)parse_ruleset(text); // no crash
    CHECK_FALSE(parse_ruleset("{"));
    CHECK_FALSE(parse_ruleset("{}"));
    const auto odd =
        parse_ruleset(R"({"nftables":[1,{},{"rule":{"expr":[1,null,{"drop":null}]}}]})");
    CHECK((!odd || odd->empty()));
}
