// SPDX-License-Identifier: MIT
// Does each filter let through what it names and nothing else? Two clients, two servers, one of
// each wanted.
#include "support/catch.h"
#include "support/cgroup.h"
#include "support/run.h"
#include "support/traffic.h"

using namespace culprit;
using namespace culprit::test;

namespace {

struct Setting {
    WiredNs ns;
    Server wanted_server{ns.b, "ct-wanted-srv", Serve::kEcho, ns.b.v4};
    Server other_server{ns.b, "ct-other-srv", Serve::kEcho, ns.b.v6};
};

/// Runs `watch connect` with these arguments while both clients connect: only the wanted one may be
/// shown. With a cgroup, the wanted one is in it and the other in the one above.
void check_filter(const Setting& s, const Culprit::Arguments& filter,
                  const ContainerCgroup* cgroup = nullptr) {
    Culprit::Arguments arguments = {"connect"};
    arguments.insert(arguments.end(), filter.begin(), filter.end());
    Culprit culprit = watch(arguments);
    culprit.wait_until_watching();
    const auto client = [&](const char* comm, const std::string& host, std::uint16_t port) {
        Child child(s.ns.a.path(), comm, [&](const Tell&) {
            if (cgroup)
                host == s.ns.b.v4 ? cgroup->join() : cgroup->join_outer();
            short_connections(host, port, 5, 10);
            return 0;
        });
        CHECK(child.wait() == 0);
        return child.pid();
    };
    client("ct-other", s.ns.b.v6, s.other_server.port());
    const pid_t wanted = client("ct-wanted", s.ns.b.v4, s.wanted_server.port());
    culprit.await([&](const Json& e) { return e["kind"] == "connect" && e["pid"] == wanted; }, 5);
    CHECK(culprit.stop() == 0);
    CHECK(
        culprit.events([&](const Json& e) { return e["kind"] == "connect" && e["pid"] != wanted; })
            .empty());
}

} // namespace

TEST_CASE("--port shows that port only", "[filter_test]") {
    const Setting s;
    check_filter(s, {"--netns", s.ns.a.netns(), "--port", std::to_string(s.wanted_server.port())});
}

TEST_CASE("--addr shows that address or prefix only", "[filter_test]") {
    const Setting s;
    check_filter(s, {"--addr", s.ns.b.v4});
    check_filter(s, {"--addr", s.ns.b.v4 + "/30"});
}

TEST_CASE("--comm shows that process name only", "[filter_test]") {
    const Setting s;
    check_filter(s, {"--netns", s.ns.a.netns(), "--comm", "ct-wanted"});
}

TEST_CASE("--pid shows that process only", "[filter_test]") {
    const Setting s;
    // the process exists before culprit is told of it, and connects after
    Child client(s.ns.a.path(), "ct-wanted", [&](const Tell&) {
        const Deadline end(20);
        while (!end.passed() && try_connect(s.ns.b.v4, s.wanted_server.port(), 1) == 0)
            ::usleep(50'000);
        return 0;
    });
    Culprit culprit = watch({"connect", "--pid", std::to_string(client.pid())});
    culprit.wait_until_watching();
    Child other(s.ns.a.path(), "ct-other", [&](const Tell&) {
        short_connections(s.ns.b.v6, s.other_server.port(), 5, 10);
        return 0;
    });
    CHECK(other.wait() == 0);
    const auto shown = culprit.await(is("connect"), 5);
    CHECK(culprit.stop() == 0);
    CHECK(std::ranges::all_of(shown, [&](const Json& e) { return e["pid"] == client.pid(); }));
}

TEST_CASE("--cgroup shows the processes of that cgroup only", "[filter_test]") {
    need_root();
    const ContainerCgroup cgroup;
    const Setting s;
    check_filter(s, {"--cgroup", cgroup.path()}, &cgroup);
    check_filter(s, {"--cgroup", std::to_string(cgroup.id())}, &cgroup);
}

TEST_CASE("--dev shows drops of that device only, and counts what it left out", "[filter_test]") {
    const Setting s;
    s.ns.b.nft("input", "udp dport 7777 drop");
    Culprit culprit = watch({"drop", "--netns", s.ns.b.netns(), "--dev", s.ns.b.device});
    culprit.wait_until_watching();
    s.ns.b.in([&] { send_udp("127.0.0.1", 7777, 5, 100); });
    s.ns.a.in([&] { send_udp(s.ns.b.v4, 7777, 5, 100); });
    const auto shown = culprit.await(is("drop"), 5);
    CHECK(culprit.stop() == 0);
    CHECK(std::ranges::all_of(shown, [&](const Json& e) { return e["device"] == s.ns.b.device; }));
}

TEST_CASE("a filter that names nothing on this host is one clear error", "[filter_test]") {
    need_root();
    for (const Culprit::Arguments& wrong :
         {Culprit::Arguments{"watch", "--netns", "no-such-namespace"},
          {"watch", "--dev", "nodev0"},
          {"watch", "--cgroup", "no/such/cgroup"}}) {
        Culprit culprit(wrong);
        CHECK(culprit.wait() == 1);
        const std::string error = culprit.err();
        CHECK(error.starts_with("culprit: error: --"));
        CHECK(std::ranges::count(error, '\n') == 1);
    }
}
