// SPDX-License-Identifier: MIT
// Each trouble with names, caused for one process beside another one that fares well.
#include "support/catch.h"
#include "support/finding.h"
#include "support/name_server.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr std::uint16_t kSlowPort = 5391, kClosedPort = 5392;

/// Asks again and again, each question from a socket of its own.
Child asks(const Side& side, const std::string& comm, const std::string& host, std::uint16_t port,
           const std::vector<std::string>& names, int times, int pace_ms) {
    return Child(side.path(), comm, [=](const Tell&) {
        for (int i = 0; i < times; i++) {
            for (const std::string& name : names)
                ask_once(host, port, question_for(name, i % 2 ? ns_t_aaaa : ns_t_a), 0.5);
            pause_ms(pace_ms);
        }
        return 0;
    });
}

/// The C library's resolver, which follows a truncated answer up by TCP.
Child resolves(const Side& side, const std::string& comm, const std::string& host,
               const std::string& name, int times, int pace_ms) {
    return Child(side.path(), comm, [=](const Tell&) {
        for (int i = 0; i < times; i++, pause_ms(pace_ms))
            Resolver(host).ask(name);
        return 0;
    });
}

bool is_about_names(const Json& finding) {
    return finding["id"].get<std::string>().starts_with("dns-");
}

} // namespace

TEST_CASE("each trouble with names is told with its process and its server", "[dns_finding_test]") {
    const WiredNs ns;
    const NameServer server(ns.b, ns.b.v4, "ct-names");
    const NameServer slow(ns.b, ns.b.v4, "ct-slow-names", kSlowPort);
    Culprit culprit = diagnose({"--for", "9s", "--dns-port", "53", std::to_string(kSlowPort),
                                std::to_string(kClosedPort)});
    culprit.wait_until_watching();
    const Side& a = ns.a;
    const std::string& at = ns.b.v4;
    const Child late = asks(a, "ct-late", at, kSlowPort, {"slow.example.org"}, 10, 50);
    const Child mute = asks(a, "ct-mute", at, 53, {"silent.example.org"}, 4, 50);
    const Child fails = asks(a, "ct-fails", at, 53, {"servfail.example.org"}, 20, 50);
    const Child denied = asks(a, "ct-denied", at, 53, {"refused.example.org"}, 20, 50);
    const Child wrong = asks(a, "ct-wrong", at, 53, {"nx.example.org"}, 60, 40);
    const Child closed = asks(a, "ct-closed", at, kClosedPort, {"www.example.org"}, 20, 50);
    const Child long_one = resolves(a, "ct-long", at, "big.example.org", 20, 50);
    const Child searches =
        asks(a, "ct-searches", at, 53,
             {"db.example.one.absent", "db.example.two.absent", "db.example.absent", "db.example"},
             25, 50);
    const Child fine = asks(a, "ct-fine", at, 53,
                            {"www.example.org", "mail.example.org", "nx.example.org",
                             "ftp.example.org", "api.example.org", "cdn.example.org"},
                            20, 40);
    const Json verdict = verdict_of(culprit);
    struct {
        const char* id;
        const Child& who;
        std::uint16_t port;
    } const all[] = {
        {"dns-slow", late, kSlowPort},
        {"dns-timeout", mute, 53},
        {"dns-servfail", fails, 53},
        {"dns-refused", denied, 53},
        {"dns-nxdomain", wrong, 53},
        {"dns-truncated", long_one, 53},
        {"dns-unreachable", closed, kClosedPort},
    };
    for (const auto& [id, who, port] : all) {
        INFO(id);
        const auto finding = find_finding(verdict, id, hurts(who.pid()));
        REQUIRE(finding);
        CHECK((*finding)["where"]["remote"] == end_text(at, port));
        CHECK((*finding)["where"]["netns"] == a.inum());
    }
    CHECK(find_finding(verdict, "dns-slow", blames(slow.pid())));
    CHECK(find_finding(verdict, "dns-servfail", blames(server.pid())));
    CHECK(find_finding(verdict, "dns-nxdomain", blames(wrong.pid())));
    CHECK(find_finding(verdict, "dns-search-amplification", blames(searches.pid())));
    CHECK_FALSE(find_finding(verdict, "dns-nxdomain", blames(searches.pid())));
    CHECK_FALSE(find_finding(verdict, "udp-port-unreachable", about(ns.b.inum())));
    CHECK_FALSE(find_finding(verdict, "dns-timeout", hurts(closed.pid())));
    for (const Json& finding : verdict["findings"])
        if (is_about_names(finding)) {
            INFO(finding.dump(1));
            CHECK_FALSE(hurts(fine.pid())(finding));
            CHECK_FALSE(blames(fine.pid())(finding));
        }
}

TEST_CASE("healthy names are silent, whoever asks and however", "[dns_finding_test]") {
    const WiredNs ns;
    const NameServer server(ns.b, ns.b.v4, "ct-names");
    const NameServer server6(ns.b, ns.b.v6, "ct-names6");
    Culprit culprit = diagnose({"--for", "6s"});
    culprit.wait_until_watching();
    const Child clients[] = {
        asks(ns.a, "ct-asks", ns.b.v4, 53, {"www.example.org", "api.example.org"}, 40, 40),
        asks(ns.a, "ct-asks6", ns.b.v6, 53, {"www.example.org", "api.example.org"}, 40, 40),
        asks(ns.a, "ct-typo", ns.b.v4, 53, {"nx.example.org"}, 10, 200),
        resolves(ns.a, "ct-libc", ns.b.v4, "www.example.org", 40, 40),
    };
    const Child once = asks(ns.a, "ct-once", ns.b.v4, 53, {"silent.example.org"}, 1, 0);
    check_silent(verdict_of(culprit), ns);
}

TEST_CASE("questions that a firewall drops are its finding", "[dns_finding_test]") {
    const WiredNs ns;
    const NameServer server(ns.b, ns.b.v4, "ct-names");
    ns.b.nft("input", "udp dport 53 drop");
    Culprit culprit = diagnose({"--for", "9s"});
    culprit.wait_until_watching();
    const Child mute = asks(ns.a, "ct-mute", ns.b.v4, 53, {"www.example.org"}, 8, 50);
    const Json verdict = verdict_of(culprit);
    const auto finding = find_finding(verdict, "firewall-drop", hurts(mute.pid()));
    REQUIRE(finding);
    CHECK((*finding)["severity"] == "critical");
    CHECK((*finding)["where"]["netns"] == ns.b.inum());
    CHECK_FALSE(find_finding(verdict, "dns-timeout", hurts(mute.pid())));
}
