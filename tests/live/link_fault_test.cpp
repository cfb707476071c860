// SPDX-License-Identifier: MIT
// Are faults of links named for what they are, and do their healthy twins stay silent?
#include "support/catch.h"
#include "support/finding.h"
#include "support/links.h"
#include "support/run.h"

using namespace culprit;
using namespace culprit::test;

namespace {

/// Findings worse than informative in either namespace, as "id device, ".
std::string loud(const Json& verdict, const TwoNs& ns) {
    std::string text;
    for (const Json& finding : verdict["findings"]) {
        const Json& netns = finding["where"]["netns"];
        if (finding["severity"] != "info" && (netns == ns.a.inum() || netns == ns.b.inum()))
            text += finding["id"].get<std::string>() + ", ";
    }
    return text;
}

auto in_either(const TwoNs& ns) {
    return [a = ns.a.inum(), b = ns.b.inum()](const Json& finding) {
        return finding["where"]["netns"] == a || finding["where"]["netns"] == b;
    };
}

Child client(const TwoNs& ns, const Server& server, double seconds) {
    return Child(ns.a.path(), "lf-client",
                 [&, seconds](const Tell&) { return ask_for(ns.b.v4, server.port(), seconds); });
}

} // namespace

TEST_CASE("a device that a process takes down again and again is link-flap with that process",
          "[link_fault_test]") {
    const WiredNs ns;
    const Server server(ns.b, "lf-server", Serve::kEcho, ns.b.v4);
    Culprit culprit = diagnose({"--for", "6s"});
    culprit.wait_until_watching();
    const Child asks = client(ns, server, 6);
    const Toggler toggler(ns.b, 400, 800);
    const Json verdict = verdict_of(culprit);
    INFO(verdict["findings"].dump(1).substr(0, 8000));
    CHECK(loud(verdict, ns) == "link-flap, ");
    const auto flap = find_finding(verdict, "link-flap", in_either(ns));
    REQUIRE(flap);
    CHECK((*flap)["severity"] == "critical");
    CHECK((*flap)["culprit"]["pid"] == toggler.pid());
    CHECK((*flap)["where"]["device"] == ns.b.device);
    CHECK((*flap)["count"] >= 3);
    CHECK(hurts(asks.pid())(*flap));
}

TEST_CASE("a lost carrier that traffic wants is link-down, with who did it at the other end",
          "[link_fault_test]") {
    const WiredNs ns;
    const Server server(ns.b, "lf-server", Serve::kEcho, ns.b.v4);
    Culprit culprit = diagnose({"--for", "6s"});
    culprit.wait_until_watching();
    const Child asks = client(ns, server, 6);
    pause_ms(1500);
    ns.b.shell("ip link set " + ns.b.device + " down");
    const Json verdict = verdict_of(culprit);
    INFO(verdict["findings"].dump(1).substr(0, 8000));
    const auto down = find_finding(verdict, "link-down", in_either(ns));
    REQUIRE(down);
    CHECK(loud(verdict, ns).find("link-down, ") == 0);
    CHECK((*down)["severity"] == "critical");
    CHECK((*down)["where"]["device"] == ns.b.device);
    CHECK((*down)["culprit"]["comm"] == "ip");
    CHECK(hurts(asks.pid())(*down));
}

TEST_CASE(
    "a device without carrier whose other end is out of sight is link-down with nobody blamed",
    "[link_fault_test]") {
    const WiredNs ns;
    const Server server(ns.b, "lf-server", Serve::kEcho, ns.b.v4);
    Culprit culprit = diagnose({"--for", "6s", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    const Child asks = client(ns, server, 6);
    pause_ms(1500);
    ns.b.shell("ip link set " + ns.b.device + " down");
    const Json verdict = verdict_of(culprit);
    INFO(verdict["findings"].dump(1).substr(0, 8000));
    const auto down = find_finding(verdict, "link-down", about(ns.a.inum()));
    REQUIRE(down);
    CHECK((*down)["culprit"].is_null());
    CHECK((*down)["where"]["device"] == ns.a.device);
    CHECK(evidence_of(*down).find("switched on, but no carrier for ") != std::string::npos);
}

TEST_CASE("a device that nobody uses may be down, or go down", "[link_fault_test]") {
    const WiredNs ns;
    ns.a.shell("ip link add unused type veth peer name unused-too && ip link set unused up && "
               "ip link add lonely type bridge && ip link set lonely up");
    const Server server(ns.b, "lf-server", Serve::kEcho, ns.b.v4);
    Culprit culprit = diagnose({"--for", "5s", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    const Child asks = client(ns, server, 4);
    ns.a.shell("ip link set unused-too up && ip link set unused-too down && "
               "ip link add gone type veth peer name gone-too && ip link set gone up && "
               "ip link set gone-too up && ip link del gone");
    const int status = culprit.wait();
    INFO(culprit.out().substr(0, 8000));
    CHECK(loud(Json::parse(culprit.out()), ns).empty());
    CHECK(status == 0);
}

TEST_CASE("malformed frames are nic-errors with their kind, a few of many are not",
          "[link_fault_test]") {
    const WiredNs ns;
    const Tunnel tunnel(ns);
    const auto run = [&](int good, int malformed) {
        Culprit culprit = diagnose({"--for", "3s", "--netns", ns.b.netns()});
        culprit.wait_until_watching();
        ns.a.in([&] { tunnel.send(good, malformed); });
        return verdict_of(culprit);
    };
    const Json faulty = run(500, 150);
    INFO(faulty["findings"].dump(1).substr(0, 4000));
    const auto errors = find_finding(faulty, "nic-errors", about(ns.b.inum()));
    REQUIRE(errors);
    CHECK((*errors)["where"]["device"] == Tunnel::name());
    CHECK((*errors)["count"] == 150);
    CHECK(evidence_of(*errors).find("150 rx_frame: malformed frames") != std::string::npos);
    CHECK(loud(run(500, 3), ns).empty());
}

TEST_CASE("a tunnel without a way to its other end has transmit errors", "[link_fault_test]") {
    const WiredNs ns;
    ns.a.shell("ip link add lost type vxlan id 8 dstport 4790 remote 192.0.2.77 && "
               "ip link set lost up && ip addr add 203.0.113.1/24 dev lost && "
               "ip neigh replace 203.0.113.2 lladdr 02:00:00:00:00:78 dev lost");
    Culprit culprit = diagnose({"--for", "3s", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    ns.a.in([&] { send_udp("203.0.113.2", 4444, 150, 100); });
    const Json verdict = verdict_of(culprit);
    INFO(verdict["findings"].dump(1).substr(0, 4000));
    const auto errors = find_finding(verdict, "nic-errors", about(ns.a.inum()));
    REQUIRE(errors);
    CHECK((*errors)["where"]["device"] == "lost");
    CHECK((*errors)["count"] >= 150);
    CHECK((*errors)["advice"][0]["text"] == "the tunnel finds no route to its other end");
}

TEST_CASE("frames above the other end's MTU are mtu-mismatch with both ends", "[link_fault_test]") {
    const WiredNs ns;
    ns.b.shell("ip link set " + ns.b.device + " mtu 600");
    Culprit culprit = diagnose({"--for", "4s"});
    culprit.wait_until_watching();
    const Child sender(ns.a.path(), "lf-sender", [&](const Tell&) {
        for (int i = 0; i < 20; i++, pause_ms(100))
            send_udp(ns.b.v4, 4444, 10, 1200);
        return 0;
    });
    const Json verdict = verdict_of(culprit);
    INFO(verdict["findings"].dump(1).substr(0, 8000));
    CHECK(loud(verdict, ns) == "mtu-mismatch, ");
    const auto mismatch = find_finding(verdict, "mtu-mismatch", about(ns.a.inum()));
    REQUIRE(mismatch);
    CHECK((*mismatch)["where"]["device"] == ns.a.device);
    CHECK(evidence_of(*mismatch).find("MTU 1500 here, 600 there") != std::string::npos);
    CHECK((*mismatch)["title"].get<std::string>().find("of up to 1242 bytes") != std::string::npos);
    CHECK((*mismatch)["severity"] == "warning");
}

TEST_CASE("frames of a VLAN nobody handles are vlan-mismatch when somebody asks again, else normal",
          "[link_fault_test]") {
    const WiredNs ns;
    const auto run = [&](int repeats) {
        Culprit culprit = diagnose({"--for", "4s", "--netns", ns.b.netns()});
        culprit.wait_until_watching();
        ns.a.in([&] {
            for (int i = 0; i < repeats; i++, pause_ms(200))
                for (std::uint16_t port = 1000; port < 1003; port++)
                    send_tagged_syns(ns.a, ns.b, 42, port, 1);
        });
        return verdict_of(culprit);
    };
    const Json verdict = run(6);
    INFO(verdict["findings"].dump(1).substr(0, 4000));
    const auto mismatch = find_finding(verdict, "vlan-mismatch", about(ns.b.inum()));
    REQUIRE(mismatch);
    CHECK((*mismatch)["where"]["device"] == ns.b.device);
    CHECK((*mismatch)["severity"] == "warning");
    CHECK((*mismatch)["culprit"].is_null());
    CHECK(loud(run(1), ns).empty());
}

TEST_CASE("a switch port that tags what its host expects untagged is vlan-mismatch",
          "[link_fault_test]") {
    if (::access("/dev/net/tun", R_OK | W_OK) != 0)
        skip("no /dev/net/tun here");
    const TwoNs ns(TwoNs::Wire::kNone);
    const TaggingSwitch wire(ns);
    const Server server(ns.b, "lf-server", Serve::kEcho, ns.b.v4);
    Culprit culprit = diagnose({"--for", "6s"});
    culprit.wait_until_watching();
    const Child asks(ns.a.path(), "lf-client", [&](const Tell&) {
        for (int i = 0; i < 6; i++)
            try_connect(ns.b.v4, server.port(), 3.5);
        return 0;
    });
    const Json verdict = verdict_of(culprit);
    INFO(verdict["findings"].dump(1).substr(0, 8000));
    CHECK(loud(verdict, ns) == "vlan-mismatch, ");
    const auto mismatch = find_finding(verdict, "vlan-mismatch", about(ns.b.inum()));
    REQUIRE(mismatch);
    CHECK(hurts(asks.pid())(*mismatch));
}
