// SPDX-License-Identifier: MIT
// `show dns` against what a real name server counts itself.
#include "support/catch.h"
#include "support/finding.h"
#include "support/name_server.h"
#include "support/show.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr std::uint16_t kUpstreamPort = 5393;
constexpr int kNames = 20, kTimes = 3;

/// dnsmasq with a cache, which asks one other server; it counts questions and hits itself.
class Dnsmasq {
public:
    Dnsmasq(const Side& side, const std::string& upstream) : x_host(side.v4) {
        if (side.try_shell("command -v dnsmasq") != 0)
            skip("dnsmasq is not installed (package dnsmasq-base)");
        x_child = std::make_unique<Child>(side.path(), "dnsmasq", [&](const Tell&) {
            const std::string own = "--listen-address=" + side.v4;
            const std::string server = fmt::format("--server={}#{}", upstream, kUpstreamPort);
            ::execlp("dnsmasq", "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null",
                     "--no-resolv", "--no-hosts", "--bind-interfaces", "--user=root",
                     "--pid-file=", "--cache-size=1000", own.c_str(), server.c_str(), nullptr);
            return 127;
        });
    }

    pid_t pid() const { return x_child->pid(); }
    /// A text it tells about itself (class CHAOS); empty when it does not answer.
    std::string tells(const Side& from, const std::string& name) const {
        std::string text;
        from.in([&] {
            const std::string question = question_for(name, ns_t_txt, ns_c_chaos);
            const std::string answer = ask_once(x_host, 53, question);
            constexpr std::size_t kBeforeText = 2 + 2 + 2 + 4 + 2 + 1; // of the record
            if (answer.size() > question.size() + kBeforeText)
                text = answer.substr(question.size() + kBeforeText);
        });
        return text;
    }

private:
    std::string x_host;
    std::unique_ptr<Child> x_child;
};

} // namespace

TEST_CASE("a resolver is seen from both sides, and counts as it counts itself",
          "[dns_server_test]") {
    const WiredNs ns;
    const NameServer upstream(ns.a, ns.a.v4, "ct-upstream", kUpstreamPort);
    const Dnsmasq server(ns.b, ns.a.v4);
    REQUIRE(eventually([&] { return !server.tells(ns.a, "hits.bind").empty(); }));
    const int hits = std::stoi(server.tells(ns.a, "hits.bind"));
    const int misses = std::stoi(server.tells(ns.a, "misses.bind"));
    Culprit culprit({"show", "dns", "--for", "5s", "--output", "json", "--debug", "--dns-port",
                     "53", std::to_string(kUpstreamPort)});
    culprit.wait_until_watching();
    Child client(ns.a.path(), "ct-client", [&](const Tell&) {
        for (int i = 0; i < kNames * kTimes; i++, pause_ms(10))
            ask_once(ns.b.v4, 53, question_for(fmt::format("n{}.example.org", i % kNames)));
        return 0;
    });
    CHECK(client.wait() == 0);
    const Json shown = verdict_of(culprit);
    constexpr int kOurs = 2; // questions about itself are hits too
    const int new_hits = std::stoi(server.tells(ns.a, "hits.bind")) - hits - kOurs;
    const int new_misses = std::stoi(server.tells(ns.a, "misses.bind")) - misses;
    const Json asked = client_of(shown, "ct-client");
    INFO(shown.dump(1));
    CHECK(asked["questions"] == kNames * kTimes);
    CHECK(asked["answers"] == kNames * kTimes);
    CHECK(asked["rcodes"]["NOERROR"] == kNames * kTimes);
    CHECK(asked["types"][0]["type"] == "A");
    CHECK(asked["latency_ms"]["p50"] > 0);
    for (const Json& one : shown["servers"]) {
        if (one["pid"] != server.pid())
            continue;
        CHECK(one["questions"] == new_hits + new_misses);
        CHECK(one["answers"] == kNames * kTimes);
        REQUIRE(one["upstreams"].size() == 1);
        CHECK(one["upstreams"][0]["server"] == end_text(ns.a.v4, kUpstreamPort));
        CHECK(one["upstreams"][0]["questions"] == new_misses);
        CHECK(std::abs(one["cache_hit_ratio"].get<double>() -
                       double(new_hits) / (kNames * kTimes)) < 0.001);
        return;
    }
    FAIL("dnsmasq is not among the servers");
}
