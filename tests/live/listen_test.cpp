// SPDX-License-Identifier: MIT
// Do listen records tell how full queues are, what they drop and whose fault that is?
#include <sys/resource.h>

#include "abi/listen.h"
#include "support/catch.h"
#include "support/finding.h"
#include "support/listening.h"
#include "support/run.h"
#include "support/saved.h"
#include "support/syn_wire.h"
#include "support/tun_wire.h"

using namespace culprit;
using namespace culprit::test;

namespace {

/// Findings in the namespaces of the test.
std::vector<std::string> ids(const Json& verdict, const TwoNs& ns) {
    std::vector<std::string> found;
    for (const Json& finding : verdict["findings"])
        if (finding["severity"] != "info" &&
            (finding["where"]["netns"] == ns.a.inum() || finding["where"]["netns"] == ns.b.inum()))
            found.push_back(finding["id"]);
    return found;
}

/// What is left of a counter in that namespace. The kernel's own growth is at least `grew`:
/// orphaned connections go on knocking.
std::int64_t unexplained(const Json& verdict, const Side& side, const std::string& name,
                         std::uint64_t grew) {
    for (const Json& row : verdict["reconciliation"])
        if (row["netns"] == side.inum() && row["counter"] == name) {
            CHECK(row["kernel"] >= grew);
            return row["unexplained"];
        }
    return static_cast<std::int64_t>(grew);
}

std::uint64_t drops_of(const Side& side) {
    return side.counters()[counter("TcpExt.ListenDrops")];
}

bool tells(const Json& finding, const std::string& words) {
    return evidence_of(finding).contains(words);
}

/// A diagnosis that found something while a client did its work.
struct Judged {
    pid_t client = 0;
    Counters grew{}; // in the servers' namespace
    Json verdict;

    std::uint64_t drops() const { return grew[counter("TcpExt.ListenDrops")]; }
    std::string text() const { return verdict.dump().substr(0, 12000); }
};

Judged judge(Culprit& culprit, const TwoNs& ns, const std::function<int()>& work) {
    const Counters before = ns.b.counters();
    Child client(ns.a.path(), "ct-client", [&](const Tell&) { return work(); });
    CHECK(client.wait() == 0);
    Judged run{client.pid(), growth(ns.b.counters(), before), {}};
    CHECK(culprit.wait() == 3);
    run.verdict = Json::parse(culprit.out());
    return run;
}

/// Sums of the sockets' own records in that namespace.
listen_total saved_total(const SaveFile& save, const Side& side, std::uint32_t scope) {
    listen_total sum{};
    for (const auto& [row, info] : save.total().rows<listen_total>(ABI_LISTEN_TOTAL))
        if (row.flow.netns == side.inum() && row.scope == scope) {
            sum.established += row.established;
            sum.accepted += row.accepted;
            sum.drops += row.drops;
            sum.depth = std::max(sum.depth, row.depth);
        }
    return sum;
}

/// What a diagnosis says of a flood, with or without cookies.
void check_flood(int cookies) {
    const WiredNs ns;
    ns.b.shell(fmt::format("sysctl -w net.ipv4.tcp_syncookies={}", cookies));
    ns.b.shell(fmt::format("ip route add {} via {}", kNobodysNet, ns.a.v4));
    const Listening server(ns.b, "ct-flooded", ns.b.v4, sleeps, 0, 64);
    Culprit culprit = diagnose({"--for", "6s"});
    culprit.wait_until_watching();
    const Judged run = judge(culprit, ns, [&] {
        Child attacker("", "ct-attacker", [&](const Tell&) {
            flood(ns.b.v4, server.port(), 3000, 2);
            return 0;
        });
        const int knocked = knock(ns.b.v4, server.port(), 10, 3000);
        return attacker.wait() ? 1 : knocked;
    });
    INFO(run.text());
    CHECK(ids(run.verdict, ns) == std::vector<std::string>{"syn-flood"});
    const auto finding = find_finding(run.verdict, "syn-flood", hurts(server.pid()));
    REQUIRE(finding);
    CHECK((*finding)["culprit"].is_null());
    CHECK((*finding)["where"]["local"] == end_text(ns.b.v4, server.port()));
    CHECK((*finding)["severity"] == (cookies ? "warning" : "critical"));
    CHECK((*finding)["title"].get<std::string>().ends_with(cookies ? "cookies on" : "cookies off"));
    CHECK(unexplained(run.verdict, ns.b, "TcpExt.ListenDrops", run.drops()) == 0);
    if (cookies)
        CHECK(unexplained(run.verdict, ns.b, "TcpExt.SyncookiesSent", 1) == 0);
}

} // namespace

TEST_CASE("a process that accepts slowly is named, with its queue and its drops", "[listen_test]") {
    const WiredNs ns;
    Culprit culprit = diagnose({"--for", "6s"});
    culprit.wait_until_watching();
    const Listening server(ns.b, "ct-slow", ns.b.v4, accepts_slowly);
    const Judged run = judge(culprit, ns, [&] { return knock(ns.b.v4, server.port(), 60, 1500); });
    INFO(run.text());
    CHECK(ids(run.verdict, ns) == std::vector<std::string>{"listen-overflow"});
    const auto finding = find_finding(run.verdict, "listen-overflow", blames(server.pid()));
    REQUIRE(finding);
    CHECK((*finding)["culprit"]["comm"] == "ct-slow");
    CHECK((*finding)["culprit"]["provenance"] == "creator");
    CHECK((*finding)["severity"] == "critical");
    CHECK((*finding)["title"].get<std::string>().find("too slowly") != std::string::npos);
    CHECK((*finding)["where"]["local"] == end_text(ns.b.v4, server.port()));
    CHECK(hurts(run.client)(*finding));
    CHECK(tells(*finding, "waits"));
    CHECK(tells(*finding, "SYNs to it were sent again"));
    // repeated SYNs and ACKs make the socket's count run ahead
    CHECK(run.drops() > 0);
    CHECK(unexplained(run.verdict, ns.b, "TcpExt.ListenDrops", run.drops()) == 0);
    CHECK(unexplained(run.verdict, ns.b, "TcpExt.ListenOverflows", run.drops()) == 0);
}

TEST_CASE("a stopped server that is older than culprit is named, and every drop explained",
          "[listen_test]") {
    const WiredNs ns;
    const Listening server(ns.b, "ct-hung", "::", accepts_slowly);
    ::kill(server.pid(), SIGSTOP);
    Culprit culprit = diagnose({"--for", "5s"});
    culprit.wait_until_watching();
    const Judged run = judge(culprit, ns, [&] { return knock(ns.b.v6, server.port(), 40, 1500); });
    INFO(run.text());
    CHECK(ids(run.verdict, ns) == std::vector<std::string>{"listen-overflow"});
    const auto finding = find_finding(run.verdict, "listen-overflow", blames(server.pid()));
    REQUIRE(finding);
    CHECK((*finding)["culprit"]["provenance"] == "holder");
    CHECK((*finding)["where"]["local"] == fmt::format("*:{}", server.port()));
    CHECK(hurts(run.client)(*finding));
    CHECK((*finding)["title"].get<std::string>().find("is stopped") != std::string::npos);
    CHECK(tells(*finding, "accept queue 9 of 8"));
    CHECK((*finding)["count"] == run.drops());
    CHECK(run.drops() >= 31);
    CHECK(unexplained(run.verdict, ns.b, "TcpExt.ListenDrops", run.drops()) == 0);
    CHECK(unexplained(run.verdict, ns.b, "TcpExt.ListenOverflows", run.drops()) == 0);
}

TEST_CASE("a server without file descriptors is told from a slow one", "[listen_test]") {
    const WiredNs ns;
    const Listening server(ns.b, "ct-emfile", ns.b.v4, [](int listener) {
        const rlimit few{32, 32};
        must(::setrlimit(RLIMIT_NOFILE, &few) == 0, "limit the open files");
        for (;;)
            if (::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC) < 0)
                pause_ms(10);
    });
    Culprit culprit = diagnose({"--for", "6s"});
    culprit.wait_until_watching();
    const Judged run = judge(culprit, ns, [&] { return knock(ns.b.v4, server.port(), 60, 2000); });
    INFO(run.text());
    CHECK(ids(run.verdict, ns) == std::vector<std::string>{"fd-exhaustion"});
    const auto finding = find_finding(run.verdict, "fd-exhaustion", blames(server.pid()));
    REQUIRE(finding);
    CHECK(tells(*finding, "its limit is 32"));
    CHECK(tells(*finding, "accept queue 9 of 8"));
    CHECK(unexplained(run.verdict, ns.b, "TcpExt.ListenDrops", run.drops()) == 0);
}

TEST_CASE("a SYN flood against cookies is a flood, nobody's fault here", "[listen_test]") {
    check_flood(1);
}

TEST_CASE("a SYN flood without cookies shuts clients out", "[listen_test]") {
    check_flood(0);
}

TEST_CASE(
    "thousands of short connections and a busy queue overflow nothing, and are counted exactly",
    "[listen_test]") {
    constexpr std::size_t kCount = 3000;
    const WiredNs ns;
    const SaveFile save;
    const Server echo(ns.b, "ct-echo", Serve::kEcho, "::");
    const Listening busy(ns.b, "ct-busy", ns.b.v4, accepts_slowly, 0, 64);
    Culprit culprit = diagnose({"--for", "1h", "--save", save.path()});
    culprit.wait_until_watching();
    const Counters before = ns.b.counters();
    Child queued(ns.a.path(), "ct-queued",
                 [&](const Tell&) { return knock(ns.b.v4, busy.port(), 30, 3000); });
    Child client(ns.a.path(), "ct-many", [&](const Tell&) {
        short_connections(ns.b.v4, echo.port(), kCount / 2);
        short_connections(ns.b.v6, echo.port(), kCount / 2);
        return 0;
    });
    CHECK(client.wait(60) == 0);
    CHECK(queued.wait() == 0);
    const Counters grew = growth(ns.b.counters(), before);
    culprit.stop();
    INFO(culprit.out().substr(0, 8000));
    // who takes ten connections a second of thirty that came at once lets them wait
    for (const std::string& id : ids(Json::parse(culprit.out()), ns))
        CHECK(id == "accept-delay");
    CHECK(grew[counter("TcpExt.ListenDrops")] == 0);
    const listen_total sum = saved_total(save, ns.b, ABI_LISTEN_SOCKET);
    CHECK(sum.established == grew[counter("Tcp.PassiveOpens")]);
    CHECK(sum.accepted == kCount + 30);
    CHECK(sum.depth > 5);
    CHECK(sum.drops == 0);
}

TEST_CASE("of two processes on one port the one that does not accept is named", "[listen_test]") {
    const WiredNs ns;
    const SaveFile save;
    const Listening good(ns.b, "ct-good", ns.b.v4, closes_at_once);
    const Listening bad(ns.b, "ct-bad", ns.b.v4, sleeps, good.port());
    Culprit culprit = diagnose({"--for", "6s", "--save", save.path()});
    culprit.wait_until_watching();
    const Judged run = judge(culprit, ns, [&] { return knock(ns.b.v4, good.port(), 80, 1500); });
    INFO(run.text());
    CHECK(ids(run.verdict, ns) == std::vector<std::string>{"listen-overflow"});
    const auto finding = find_finding(run.verdict, "listen-overflow", blames(bad.pid()));
    REQUIRE(finding);
    CHECK(tells(*finding, "by all sockets of this address together"));
    CHECK(unexplained(run.verdict, ns.b, "TcpExt.ListenDrops", run.drops()) == 0);
    const listen_total sum = saved_total(save, ns.b, ABI_LISTEN_GROUP);
    CHECK(sum.established == run.grew[counter("Tcp.PassiveOpens")]);
    CHECK(sum.accepted == sum.established - 9); // in the queue of the bad one
}

TEST_CASE("watch tells of a full queue and of each drop, also when the listener ends at once",
          "[listen_test]") {
    const WiredNs ns;
    Culprit culprit = watch({"listen", "--netns", ns.b.netns()});
    culprit.wait_until_watching();
    const Listening server(ns.b, "ct-hung", ns.b.v4, sleeps);
    const std::uint64_t before = drops_of(ns.b);
    Child client(ns.a.path(), "ct-client",
                 [&](const Tell&) { return knock(ns.b.v4, server.port(), 30, 0); });
    CHECK(client.wait() == 0);
    const std::uint64_t grew = drops_of(ns.b) - before;
    CHECK(grew > 0);
    const auto drops = [&] {
        std::uint64_t sum = 0;
        for (const Json& event : culprit.events(is("listen")))
            sum += event["drops"].get<std::uint64_t>();
        return sum;
    };
    CHECK(eventually([&] { return drops() >= grew; }));
    CHECK(culprit.stop() == 0);
    CHECK(drops() == grew);
    const auto events = culprit.events(is("listen"));
    CHECK(events.at(0)["local"] == end_text(ns.b.v4, server.port()));
    CHECK(events.at(0)["pid"] == server.pid());
    CHECK(events.at(0)["limit"] == kBacklog);
    CHECK(events.back()["full"] == 1);
}

TEST_CASE("watch tells once of each time a queue is full, although nothing is dropped",
          "[listen_test]") {
    constexpr int kFull = kBacklog + 1, kSomeLooksMs = 700;
    const WiredNs ns;
    const Word word;
    const Listening server(ns.b, "ct-fills", ns.b.v4, [&](int listener) {
        word.await();
        for (int i = 0; i < kFull; i++)
            const UniqueFd done(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
        sleeps(listener);
    });
    Culprit culprit = watch({"listen", "--netns", ns.b.netns()});
    culprit.wait_until_watching();
    std::vector<UniqueFd> open;
    for (std::size_t times = 1; times <= 2; times++) {
        ns.a.in([&] {
            for (int i = 0; i < kFull; i++)
                open.push_back(connect_to(ns.b.v4, server.port()));
        });
        culprit.await(is("listen"), times);
        pause_ms(kSomeLooksMs);
        CHECK(culprit.events(is("listen")).size() == times);
        if (times == 1)
            word.give();
        pause_ms(kSomeLooksMs);
    }
    CHECK(culprit.stop() == 0);
    for (const Json& event : culprit.events(is("listen"))) {
        CHECK(event["pid"] == server.pid());
        CHECK(event["full"] == 1);
        CHECK(event["depth"] == kFull);
        CHECK(event["drops"] == 0);
    }
}

TEST_CASE("what a listener dropped counts although it closed before anybody looked",
          "[listen_test]") {
    const WiredNs ns;
    const SaveFile save;
    Culprit culprit = diagnose({"--for", "1h", "--save", save.path()});
    culprit.wait_until_watching();
    const std::uint64_t before = drops_of(ns.b);
    for (int i = 0; i < 3; i++) {
        Listening server(
            ns.b, "ct-brief", ns.b.v4, [](int) { pause_ms(150); }, 0, 1);
        ns.a.in([&] { knock(ns.b.v4, server.port(), 6, 0); });
        CHECK(server.wait() == 0);
    }
    const std::uint64_t grew = drops_of(ns.b) - before;
    culprit.stop();
    CHECK(grew > 0);
    CHECK(saved_total(save, ns.b, ABI_LISTEN_SOCKET).drops == grew);
}

TEST_CASE("handshakes that meet a full queue at their last step are an overflow, nothing else",
          "[listen_test]") {
    if (!LossyWire::possible())
        skip("there is no /dev/net/tun to make a slow wire with");
    const TwoNs ns(TwoNs::Wire::kNone);
    constexpr unsigned kNever = 1U << 30;
    const LossyWire wire(ns, kNever);
    const Listening server(ns.b, "ct-hung", ns.b.v4, sleeps);
    Culprit culprit = diagnose({"--for", "6s"});
    culprit.wait_until_watching();
    const Judged run =
        judge(culprit, ns, [&] { return knock(ns.b.v4, server.port(), 60, 3000, 0); });
    INFO(run.text());
    CHECK(ids(run.verdict, ns) == std::vector<std::string>{"listen-overflow"});
    CHECK(find_finding(run.verdict, "listen-overflow", blames(server.pid())));
    CHECK(run.drops() > 0);
    CHECK(unexplained(run.verdict, ns.b, "TcpExt.ListenDrops", run.drops()) == 0);
}
