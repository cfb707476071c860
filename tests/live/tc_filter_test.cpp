// SPDX-License-Identifier: MIT
// Is a tc filter that drops named by kind and place, among others that do not?
#include "support/catch.h"
#include "support/finding.h"
#include "support/run.h"
#include "support/traffic.h"

using namespace culprit;
using namespace culprit::test;

TEST_CASE("of two tc filters the one whose action drops is named", "[tc_filter_test]") {
    const WiredNs ns;
    if (ns.b.try_shell(
            "tc qdisc add dev to-a clsact && tc filter add dev to-a ingress pref 7 "
            "protocol ip u32 match ip dport 81 0xffff action ok && tc filter add dev "
            "to-a ingress pref 8 protocol ip u32 match ip dport 80 0xffff action drop") != 0)
        skip("this kernel has no u32 filters with actions");
    Culprit culprit = diagnose({"--for", "5s"});
    culprit.wait_until_watching();
    Child client(ns.a.path(), "ct-client", [&](const Tell&) {
        for (int i = 0; i < 8; i++)
            try_connect(ns.b.v4, 80, 0.4);
        return 0;
    });
    CHECK(client.wait() == 0);
    CHECK(culprit.wait() == 3);
    const Json verdict = Json::parse(culprit.out());
    INFO(verdict["findings"].dump(1));
    const auto finding = find_finding(verdict, "tc-drop", about(ns.b.inum()));
    REQUIRE(finding);
    CHECK((*finding)["title"].get<std::string>().find("u32 filter (pref 8") != std::string::npos);
    CHECK(evidence_of(*finding).find("packets by its own count") != std::string::npos);
    CHECK(hurts(client.pid())(*finding));
}
