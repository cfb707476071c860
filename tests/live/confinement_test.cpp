// SPDX-License-Identifier: MIT
// What does a running diagnosis still have the right to, and what can it do with as little as an
// ordinary user is given?
#include <linux/capability.h>

#include "kernel/confinement.h"
#include "support/catch.h"
#include "support/finding.h"
#include "support/run.h"
#include "support/traffic.h"
#include "support/two_ns.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr uid_t kNobody = 65534;

std::uint64_t mask_of(const std::string& status, const std::string& label) {
    const std::size_t at = status.find(label);
    must(at != std::string::npos, label);
    return std::stoull(status.substr(at + label.size()), nullptr, 16);
}

} // namespace

TEST_CASE("a running diagnosis keeps no right that it does not need", "[confinement_test]") {
    need_root();
    Culprit culprit = diagnose({"--for", "1h"});
    culprit.wait_until_watching();
    const std::string status =
        read_file(fmt::format("/proc/{}/status", culprit.pid())).value_or("");
    std::uint64_t allowed = 0;
    for (const Capability& kept : kept_capabilities())
        allowed |= 1ULL << kept.number;
    CHECK((mask_of(status, "CapPrm:") & ~allowed) == 0);
    CHECK((mask_of(status, "CapEff:") & ~allowed) == 0);
    CHECK(mask_of(status, "CapBnd:") == 0);
    CHECK(mask_of(status, "NoNewPrivs:") == 1);
    CHECK(mask_of(status, "Seccomp:") == 2);
    culprit.stop();
}

TEST_CASE("an ordinary user with two capabilities finds who is to blame, and what was hidden",
          "[confinement_test]") {
    constexpr std::uint16_t kClosed = 65533;
    const WiredNs ns;
    Culprit culprit({"diagnose", "--output", "json", "--debug", "--for", "5s"}, kNobody,
                    {CAP_BPF, CAP_PERFMON});
    culprit.wait_until_watching();
    Child client(ns.a.path(), "ct-knocks", [&](const Tell&) {
        for (int i = 0; i < 60; i++, pause_ms(50))
            try_connect(ns.b.v4, kClosed, 1);
        return 0;
    });
    CHECK(client.wait() == 0);
    CHECK(culprit.wait() == 3);
    INFO(culprit.out().substr(0, 8000) + culprit.err().substr(0, 2000));
    const Json verdict = Json::parse(culprit.out());
    const auto finding = find_finding(verdict, "conn-refused", blames(client.pid()));
    REQUIRE(finding);
    CHECK((*finding)["culprit"]["comm"] == "ct-knocks");
    CHECK(std::ranges::any_of(verdict["incomplete"], [](const Json& gap) {
        return gap.get<std::string>().find("CAP_SYS_PTRACE") != std::string::npos;
    }));
}
