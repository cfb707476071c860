// SPDX-License-Identifier: MIT
// Is the rule named that drops or rejects, with no more certainty than there is, and is a firewall
// that does its work left alone?
#include "support/catch.h"
#include "support/finding.h"
#include "support/run.h"
#include "support/saved.h"
#include "support/traffic.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr std::uint16_t kPort = 5432;

/// A client that connects again and again, and waits a moment for each.
int keep_trying(const std::string& host, std::uint16_t port, int times = 25) {
    std::vector<UniqueFd> open;
    const Address to = address_of(host, port);
    for (int i = 0; i < times; i++, pause_ms(150)) {
        open.push_back(make_socket(host, SOCK_STREAM | SOCK_NONBLOCK, 1));
        ::connect(open.back().get(), to.get(), to.size);
    }
    pause_ms(1200);
    return 0;
}

/// What is said while a process of `from` keeps trying to reach a port.
struct Trial {
    int status = 0;
    Json verdict;
    pid_t client = 0;

    Trial(const Side& from, const std::string& host, const Culprit::Arguments& more = {}) {
        Culprit::Arguments arguments = {"--for", "6s"};
        arguments.insert(arguments.end(), more.begin(), more.end());
        Culprit culprit = diagnose(arguments);
        culprit.wait_until_watching();
        Child trying(from.path(), "ct-tries",
                     [&](const Tell&) { return keep_trying(host, kPort); });
        client = trying.pid();
        trying.wait();
        status = culprit.wait();
        verdict = Json::parse(culprit.out());
    }

    /// The finding, with this client hurt.
    Json finding(const std::string& id, const Side& where) const {
        const auto found = find_finding(verdict, id, about(where.inum()));
        INFO(verdict["findings"].dump(1).substr(0, 6000));
        REQUIRE(found);
        CHECK(status == 3);
        CHECK((*found)["severity"] == "critical");
        CHECK((*found)["culprit"].is_null());
        CHECK(hurts(client)(*found));
        CHECK((*found)["where"]["remote"].get<std::string>().ends_with(":5432"));
        CHECK_FALSE(find_finding(verdict, "connect-timeout", hurts(client)));
        CHECK_FALSE(find_finding(verdict, "conn-refused", blames(client)));
        CHECK_FALSE(find_finding(verdict, "local-drop", about(where.inum())));
        return *found;
    }
};

std::string title_of(const Json& finding) {
    return finding["title"];
}

/// Namespaces a and b with a router between them.
struct RoutedNs : TwoNs {
    Side router{"router"};

    RoutedNs() : TwoNs(Wire::kNone) {
        // addresses that no other copy of the tests uses
        std::random_device random;
        const std::string net = fmt::format("10.{}.{}.", random() & 255, random() & 255);
        a.v4 = net + "1", b.v4 = net + "129";
        join(a, "to-a", net + "2");
        join(b, "to-b", net + "130");
        router.shell("sysctl -qw net.ipv4.ip_forward=1");
    }

private:
    void join(const Side& side, const std::string& device_name, const std::string& gateway) const {
        router.shell(fmt::format("ip link add {} type veth peer name out netns {} && "
                                 "ip addr add {}/25 dev {} && ip link set {} up",
                                 device_name, side.holder(), gateway, device_name, device_name));
        side.shell(fmt::format("ip link set lo up && ip addr add {}/25 dev out && "
                               "ip link set out up && ip route add default via {}",
                               side.v4, gateway));
    }
};

} // namespace

TEST_CASE("a rule with a counter that drops what comes in is named for certain, with its comment",
          "[firewall_test]") {
    const WiredNs ns;
    const SaveFile save;
    ns.b.nft("input", fmt::format("tcp dport {} counter drop comment \"old service\"", kPort));
    const Trial trial(ns.a, ns.b.v4, {"--save", save.path()});
    const Json finding = trial.finding("firewall-drop", ns.b);
    CHECK(title_of(finding).find("by inet t c \"tcp dport 5432 drop\"") != std::string::npos);
    CHECK(title_of(finding).find("probably") == std::string::npos);
    const std::string evidence = evidence_of(finding);
    CHECK(evidence.find("netfilter hook input") != std::string::npos);
    CHECK(evidence.find(
              "table inet t chain c handle 2: tcp dport 5432 drop (comment: old service)") !=
          std::string::npos);
    CHECK(evidence.find("its counter grew by") != std::string::npos);
    CHECK(finding["where"]["device"] == ns.b.device);
    Culprit replayed({"diagnose", "--output", "json", "--replay", save.path()});
    CHECK(replayed.wait() == 3);
    const auto again =
        find_finding(Json::parse(replayed.out()), "firewall-drop", about(ns.b.inum()));
    REQUIRE(again);
    CHECK((*again)["title"] == finding["title"]);
}

TEST_CASE("a rule without counter among others is probable", "[firewall_test]") {
    const WiredNs ns;
    ns.b.nft("input", fmt::format("tcp dport {{ 22, {} }} drop", kPort));
    ns.b.shell("nft add rule inet t c udp dport 1-65535 drop");
    ns.b.shell("nft add rule inet t c tcp dport 80 drop");
    const Trial trial(ns.a, ns.b.v4);
    const Json finding = trial.finding("firewall-drop", ns.b);
    CHECK(title_of(finding).find("probably by inet t c \"tcp dport { 22, 5432 } drop\"") !=
          std::string::npos);
}

TEST_CASE("a policy that drops is named", "[firewall_test]") {
    const WiredNs ns;
    ns.b.shell("nft 'add table inet t; add chain inet t c { type filter hook input priority 0; "
               "policy drop; }; add rule inet t c tcp dport 22 accept; "
               "add rule inet t c icmpv6 type nd-neighbor-solicit accept'");
    const Trial trial(ns.a, ns.b.v4);
    const Json finding = trial.finding("firewall-drop", ns.b);
    CHECK(title_of(finding).find("\"policy drop\"") != std::string::npos);
}

TEST_CASE("a rule that drops what goes out names the hook and the sender", "[firewall_test]") {
    const WiredNs ns;
    ns.a.nft("output", fmt::format("ip daddr {} tcp dport {} counter drop", ns.b.v4, kPort));
    const Trial trial(ns.a, ns.b.v4);
    const Json finding = trial.finding("firewall-drop", ns.a);
    CHECK(evidence_of(finding).find("netfilter hook output") != std::string::npos);
    CHECK(title_of(finding).find("tcp dport 5432 drop") != std::string::npos);
}

TEST_CASE("a router that drops what it forwards is named, not the ends", "[firewall_test]") {
    const RoutedNs ns;
    ns.router.nft("forward", fmt::format("tcp dport {} drop", kPort));
    const Trial trial(ns.a, ns.b.v4);
    const Json finding = trial.finding("firewall-drop", ns.router);
    CHECK(evidence_of(finding).find("netfilter hook forward") != std::string::npos);
}

TEST_CASE("a rule that rejects is told from a closed port", "[firewall_test]") {
    for (const char* how : {"with tcp reset", "with icmp type admin-prohibited"}) {
        INFO(how);
        const WiredNs ns;
        ns.b.nft("input",
                 fmt::format("ip protocol tcp tcp dport {} counter reject {}", kPort, how));
        const Trial trial(ns.a, ns.b.v4);
        const Json finding = trial.finding("firewall-reject", ns.b);
        CHECK(title_of(finding).find("reject") != std::string::npos);
        CHECK(evidence_of(finding).find("handle 2") != std::string::npos);
    }
}

TEST_CASE("a firewall that drops strays nobody waits for does its work", "[firewall_test]") {
    const WiredNs ns;
    const Server echo(ns.b, "ct-echo", Serve::kEcho, ns.b.v4);
    ns.b.shell(fmt::format(
        "nft 'add table inet t; add chain inet t c {{ type filter hook input priority 0; "
        "policy drop; }}; add rule inet t c tcp dport {} accept; "
        "add rule inet t c ct state established,related accept; "
        "add rule inet t c icmpv6 type nd-neighbor-solicit accept'",
        echo.port()));
    Culprit culprit = diagnose({"--for", "5s"});
    culprit.wait_until_watching();
    ns.a.in([&] {
        for (std::uint16_t port = 1; port <= 300; port++) {
            send_udp(ns.b.v4, port, 1, 20);
            const UniqueFd knock = make_socket(ns.b.v4, SOCK_STREAM | SOCK_NONBLOCK, 1);
            const Address to = address_of(ns.b.v4, port);
            ::connect(knock.get(), to.get(), to.size);
        }
        short_connections(ns.b.v4, echo.port(), 200);
    });
    culprit.wait();
    const Json verdict = Json::parse(culprit.out());
    for (const Json& finding : verdict["findings"])
        if (finding["where"]["netns"] == ns.b.inum() || finding["where"]["netns"] == ns.a.inum()) {
            INFO(finding.dump(1));
            // who knocks at 300 ports from this host is worth a warning
            CHECK((finding["severity"] == "info" || finding["id"] == "port-scan"));
        }
}
