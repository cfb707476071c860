// SPDX-License-Identifier: MIT
// Does `diagnose --verify` tell a repaired fault from one that is still there, and from one that
// nobody could meet any more?
#include <fstream>

#include "support/catch.h"
#include "support/finding.h"
#include "support/run.h"
#include "support/saved.h"
#include "support/traffic.h"

using namespace culprit;
using namespace culprit::test;

namespace {

/// A client that connects again and again, and waits a moment for each.
int keep_trying(const std::string& host, std::uint16_t port) {
    std::vector<UniqueFd> open;
    const Address to = address_of(host, port);
    for (int i = 0; i < 20; i++, pause_ms(150)) {
        open.push_back(make_socket(host, SOCK_STREAM | SOCK_NONBLOCK, 1));
        ::connect(open.back().get(), to.get(), to.size);
    }
    pause_ms(1200);
    return 0;
}

/// A service whose clients a firewall rule shuts out, and what was said of it then.
struct Broken {
    WiredNs ns;
    Server service{ns.b, "ct-service", Serve::kSink, ns.b.v4};
    SaveFile before, windows;
    Json finding;

    Broken() {
        ns.b.nft("input", fmt::format("tcp dport {} counter drop", service.port()));
        const auto [status, verdict] = judge(true, {"--save", windows.path()});
        INFO(verdict.dump(1).substr(0, 6000));
        REQUIRE(status == 3);
        const auto found = find_finding(verdict, "firewall-drop", about(ns.b.inum()));
        REQUIRE(found);
        finding = *found;
        std::ofstream(before.path()) << verdict.dump(2);
    }

    /// Exit status and verdict of a run that sees only the service's namespace.
    std::pair<int, Json> judge(bool traffic, Culprit::Arguments more = {}) const {
        more.insert(more.begin(), {"--for", "6s", "--netns", ns.b.netns()});
        Culprit culprit = diagnose(more);
        culprit.wait_until_watching();
        if (traffic) {
            Child client(ns.a.path(), "ct-tries",
                         [&](const Tell&) { return keep_trying(ns.b.v4, service.port()); });
            client.wait();
        }
        const int status = culprit.wait();
        return {status, Json::parse(culprit.out())};
    }

    std::pair<int, Json> verify(bool traffic, const SaveFile& against) const {
        auto [status, verdict] = judge(traffic, {"--verify", against.path()});
        const Json& rows = verdict["verification"]["findings"];
        INFO(verdict.dump(1).substr(0, 6000));
        REQUIRE(rows.size() == 1);
        CHECK(rows[0]["id"] == "firewall-drop");
        CHECK(rows[0]["before"]["count"] == finding["count"]);
        return {status, rows[0]};
    }
};

} // namespace

TEST_CASE("a rule that is taken away is a repair, once clients come", "[verify_test]") {
    const Broken broken;
    SECTION("nobody comes: that proves nothing") {
        broken.ns.b.nft_clear();
        const auto [status, row] = broken.verify(false, broken.before);
        CHECK(row["outcome"] == "not exercised");
        CHECK(status == 1);
    }
    SECTION("clients come through: it is fixed, by the verdict and by the windows") {
        broken.ns.b.nft_clear();
        for (const SaveFile* against : {&broken.before, &broken.windows}) {
            const auto [status, row] = broken.verify(true, *against);
            INFO(row.dump(1));
            CHECK(row["outcome"] == "fixed");
            CHECK(row["after"].is_null());
            CHECK(status == 0);
        }
    }
    SECTION("nothing was done: it is as before") {
        const auto [status, row] = broken.verify(true, broken.before);
        INFO(row.dump(1));
        CHECK(row["outcome"] == "unchanged");
        CHECK_FALSE(row["after"].is_null());
        CHECK(status == 3);
    }
}

TEST_CASE("a file that is no verdict is one line of error", "[verify_test]") {
    need_root();
    const SaveFile file;
    const auto refused = [&](const std::string& path) {
        Culprit culprit({"diagnose", "--verify", path});
        const int status = culprit.wait();
        const std::string said = culprit.err();
        INFO(said.substr(0, 1000));
        return status == 1 && culprit.out().empty() && std::ranges::count(said, '\n') == 1 &&
               said.find('\x1b') == std::string::npos;
    };
    CHECK(refused("/nonexistent/verdict"));
    CHECK(refused("/proc"));
    CHECK(refused("/dev/null"));
    CHECK(refused("/dev/zero"));
    for (const char* text : {"{", "{\"schema\": \"culprit.diagnosis/9\"}", "\x1b[2J",
                             "{\"schema\":\"culprit.window/1\"", "culprit.window/1"}) {
        std::ofstream(file.path(), std::ios::trunc) << text;
        CHECK(refused(file.path()));
    }
}
