// SPDX-License-Identifier: MIT
// Who does not close, who does not read, and whose sockets are they when nobody was seen using
// them?
#include "support/catch.h"
#include "support/finding.h"
#include "support/models.h"
#include "support/saved.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr int kCount = 100;

void accept_and_keep(const UniqueFd& listener, const Tell&) {
    for (std::vector<UniqueFd> kept;;)
        kept.push_back(models::next_client(listener));
}

void connect_and_close(const TwoNs& ns, std::uint16_t port) {
    ns.a.in([&] {
        for (int i = 0; i < kCount; i++)
            connect_to(ns.b.v4, port);
    });
}

/// Sockets are a leak only when they are old.
Json verdict_when_old(Culprit& culprit) {
    pause_ms(3500);
    culprit.stop();
    return Json::parse(culprit.out());
}

} // namespace

TEST_CASE("a server that keeps what its clients closed leaks, and its peers' FIN_WAIT2 is that",
          "[leak_test]") {
    const WiredNs ns;
    const models::Host server(ns.b, "ct-leaks", ns.b.v4, accept_and_keep);
    Culprit culprit = diagnose({"--for", "60s"});
    culprit.wait_until_watching();
    connect_and_close(ns, server.port());
    const Json verdict = verdict_when_old(culprit);
    INFO(culprit.out().substr(0, 8000));
    const auto finding = find_finding(verdict, "close-wait-leak", about(ns.b.inum()));
    REQUIRE(finding);
    CHECK(blames(server.pid())(*finding));
    CHECK((*finding)["severity"] == "warning");
    CHECK((*finding)["count"] == kCount);
    CHECK((*finding)["where"]["local"] == end_text(ns.b.v4, server.port()));
    CHECK_FALSE(find_finding(verdict, "fin-wait2-growth", about(ns.a.inum())));
}

TEST_CASE("a leak older than culprit is named, by who holds the sockets", "[leak_test]") {
    const WiredNs ns;
    const models::Host server(ns.b, "ct-leaked", ns.b.v4, accept_and_keep);
    connect_and_close(ns, server.port());
    Culprit culprit = diagnose({"--for", "60s"});
    culprit.wait_until_watching();
    const Json verdict = verdict_when_old(culprit);
    INFO(culprit.out().substr(0, 8000));
    const auto finding = find_finding(verdict, "close-wait-leak", about(ns.b.inum()));
    REQUIRE(finding);
    CHECK(blames(server.pid())(*finding));
    CHECK((*finding)["count"] == kCount);
}

TEST_CASE("a server that closes a little late is healthy", "[leak_test]") {
    const WiredNs ns;
    const models::Host server(ns.b, "ct-late", ns.b.v4, [](const UniqueFd& listener, const Tell&) {
        for (;;)
            std::thread([fd = models::next_client(listener)] { pause_ms(300); }).detach();
    });
    Culprit culprit = diagnose({"--for", "5s", "--netns", ns.b.netns()});
    culprit.wait_until_watching();
    ns.a.in([&] {
        for (int i = 0; i < 450; i++, pause_ms(10))
            connect_to(ns.b.v4, server.port());
    });
    CHECK(culprit.wait() == 0);
    INFO(culprit.out());
    CHECK(Json::parse(culprit.out())["findings"].empty());
}

TEST_CASE("peers that do not close are named by their address", "[leak_test]") {
    const WiredNs ns;
    const models::Host server(ns.b, "ct-hung", ns.b.v4, [](const UniqueFd&, const Tell&) {});
    Culprit culprit = diagnose({"--for", "60s"});
    culprit.wait_until_watching();
    connect_and_close(ns, server.port());
    const Json verdict = verdict_when_old(culprit);
    INFO(culprit.out().substr(0, 8000));
    const auto finding = find_finding(verdict, "fin-wait2-growth", about(ns.a.inum()));
    REQUIRE(finding);
    CHECK((*finding)["severity"] == "info");
    CHECK((*finding)["count"] == kCount);
    CHECK((*finding)["where"]["remote"] == end_text(ns.b.v4, server.port()));
    CHECK_FALSE(find_finding(verdict, "close-wait-leak", about(ns.b.inum())));
}

TEST_CASE("closed connections whose peer takes no data are orphans", "[leak_test]") {
    const WiredNs ns;
    const models::Host server(ns.b, "ct-deaf", ns.b.v4, accept_and_keep);
    Culprit culprit = diagnose({"--for", "60s"});
    culprit.wait_until_watching();
    ns.a.in([&] {
        const std::vector<char> zeros(65536);
        for (int i = 0; i < 40; i++) {
            const UniqueFd fd = connect_to(ns.b.v4, server.port());
            const int small = 16384;
            ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
            for (int quiet = 0; quiet < 3;) {
                const bool sent = ::send(fd.get(), zeros.data(), zeros.size(), MSG_DONTWAIT) > 0;
                quiet = sent ? 0 : quiet + 1;
                pause_ms(sent ? 0 : 5);
            }
        }
    });
    const Json verdict = verdict_when_old(culprit);
    INFO(culprit.out().substr(0, 8000));
    const auto finding = find_finding(verdict, "orphans", about(ns.a.inum()));
    REQUIRE(finding);
    CHECK((*finding)["severity"] == "warning");
    CHECK((*finding)["count"] == 40);
    CHECK((*finding)["culprit"].is_null());
    CHECK((*finding)["where"]["remote"] == end_text(ns.b.v4, server.port()));
}

namespace {

/// Answers of the server do not arrive; they are sent again and again.
void lose_answers(const TwoNs& ns, std::uint16_t port) {
    ns.a.nft("input", fmt::format("tcp sport {} tcp flags & syn == 0 drop", port));
}

} // namespace

TEST_CASE("a worker that only sends is found holding its sockets at the end, in a replay too",
          "[leak_test]") {
    const WiredNs ns;
    const SaveFile saved;
    Culprit culprit = diagnose({"--for", "60s", "--save", saved.path()});
    culprit.wait_until_watching();
    const models::Host server(ns.b, "ct-parent", ns.b.v4,
                              [](const UniqueFd& listener, const Tell& tell) {
                                  const pid_t worker = ::fork();
                                  if (worker) {
                                      tell(static_cast<std::uint64_t>(worker));
                                      return;
                                  }
                                  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
                                  ::prctl(PR_SET_NAME, "ct-worker");
                                  for (std::vector<UniqueFd> kept;;) {
                                      kept.push_back(models::next_client(listener));
                                      send_bytes(kept.back().get(), 100);
                                  }
                              });
    const pid_t worker = server.told();
    lose_answers(ns, server.port());
    std::vector<UniqueFd> open;
    ns.a.in([&] {
        for (int i = 0; i < 10; i++)
            open.push_back(connect_to(ns.b.v4, server.port()));
    });
    const Json verdict = verdict_when_old(culprit);
    INFO(culprit.out().substr(0, 8000));
    const auto finding = find_finding(verdict, "firewall-drop", hurts(worker));
    REQUIRE(finding);
    for (const Json& party : (*finding)["affected"])
        if (party["pid"] == worker)
            CHECK(party["provenance"] == "holder");
    CHECK_FALSE(hurts(server.pid())(*finding));
    Culprit again = diagnose({"--replay", saved.path()});
    CHECK(again.wait() == 3);
    CHECK(Json::parse(again.out())["findings"] == verdict["findings"]);
}

TEST_CASE("a socket that two processes hold belongs to neither", "[leak_test]") {
    const WiredNs ns;
    const models::Host server(ns.b, "ct-both", ns.b.v4,
                              [](const UniqueFd& listener, const Tell& tell) {
                                  std::vector<UniqueFd> kept;
                                  for (int i = 0; i < 10; i++)
                                      kept.push_back(models::next_client(listener));
                                  const pid_t other = ::fork();
                                  if (other == 0) {
                                      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
                                      models::pause_forever();
                                  }
                                  tell(static_cast<std::uint64_t>(other));
                                  ::usleep(1'500'000);
                                  for (const UniqueFd& fd : kept)
                                      send_bytes(fd.get(), 100);
                                  models::pause_forever();
                              });
    std::vector<UniqueFd> open;
    ns.a.in([&] {
        for (int i = 0; i < 10; i++)
            open.push_back(connect_to(ns.b.v4, server.port()));
    });
    const pid_t other = server.told();
    lose_answers(ns, server.port());
    Culprit culprit = diagnose({"--for", "60s"});
    culprit.wait_until_watching();
    const Json verdict = verdict_when_old(culprit);
    INFO(culprit.out().substr(0, 8000));
    CHECK(find_finding(verdict, "firewall-drop", about(ns.a.inum())));
    for (const pid_t pid : {server.pid(), other}) {
        CHECK_FALSE(find_finding(verdict, "firewall-drop", hurts(pid)));
        CHECK_FALSE(find_finding(verdict, "firewall-drop", blames(pid)));
    }
}
