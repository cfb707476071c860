// SPDX-License-Identifier: MIT
// Whose is a listening socket whose maker is gone, or that several programs hold?
#include <sys/prctl.h>

#include "support/catch.h"
#include "support/finding.h"
#include "support/listening.h"
#include "support/run.h"

using namespace culprit;
using namespace culprit::test;

TEST_CASE("a server that went into the background is named, not the process that started it",
          "[listen_owner_test]") {
    const WiredNs ns;
    Culprit culprit = diagnose({"--for", "5s"});
    culprit.wait_until_watching();
    int ends[2];
    must(::pipe2(ends, O_CLOEXEC) == 0, "make a pipe");
    const UniqueFd told(ends[0]), tell_end(ends[1]);
    Listening starter(ns.b, "ct-starter", ns.b.v4, [&](int listener) {
        const pid_t daemon = ::fork();
        must(daemon >= 0, "fork");
        if (daemon)
            return;
        const pid_t own = ::getpid();
        must(::write(tell_end.get(), &own, sizeof(own)) == sizeof(own), "tell");
        sleeps(listener);
    });
    CHECK(starter.wait() == 0);
    pid_t daemon = 0;
    must(::read(told.get(), &daemon, sizeof(daemon)) == sizeof(daemon), "hear of the daemon");
    Child client(ns.a.path(), "ct-client",
                 [&](const Tell&) { return knock(ns.b.v4, starter.port(), 30, 1500); });
    CHECK(client.wait() == 0);
    CHECK(culprit.wait() == 3);
    ::kill(daemon, SIGKILL);
    const Json verdict = Json::parse(culprit.out());
    INFO(culprit.out().substr(0, 6000));
    CHECK(find_finding(verdict, "listen-overflow", blames(daemon)));
    CHECK_FALSE(find_finding(verdict, "listen-overflow", blames(starter.pid())));
}

TEST_CASE("nobody is named for a listener that different programs hold", "[listen_owner_test]") {
    const WiredNs ns;
    const Listening server(ns.b, "ct-keeper", ns.b.v4, [](int listener) {
        if (::fork() == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            ::prctl(PR_SET_NAME, "ct-other");
        }
        sleeps(listener);
    });
    ::usleep(50'000);
    Culprit culprit = diagnose({"--for", "4s"});
    culprit.wait_until_watching();
    Child client(ns.a.path(), "ct-client",
                 [&](const Tell&) { return knock(ns.b.v4, server.port(), 30, 1500); });
    CHECK(client.wait() == 0);
    CHECK(culprit.wait() == 3);
    const Json verdict = Json::parse(culprit.out());
    INFO(culprit.out().substr(0, 6000));
    const auto ours = [&](const Json& finding) { return finding["where"]["netns"] == ns.b.inum(); };
    const auto finding = find_finding(verdict, "listen-overflow", ours);
    REQUIRE(finding);
    CHECK((*finding)["culprit"]["pid"].is_null());
}
