// SPDX-License-Identifier: MIT
// Is the running program as small as promised?
#include "support/catch.h"
#include "support/run.h"
#include "support/two_ns.h"

using namespace culprit;
using namespace culprit::test;

TEST_CASE("a running diagnosis needs less than 20 MB", "[start_test]") {
#ifdef __SANITIZE_ADDRESS__
    skip("sanitizers need memory of their own");
#endif
    constexpr std::uint64_t kLimitKb = 20 * 1024;
    need_root();
    Culprit culprit = diagnose({"--for", "10s"});
    culprit.wait_until_watching();
    const std::string status =
        read_file(fmt::format("/proc/{}/status", culprit.pid())).value_or("");
    const std::size_t at = status.find("VmRSS:");
    REQUIRE(at != std::string::npos);
    CHECK(std::stoull(status.substr(at + 6)) < kLimitKb);
}

TEST_CASE("an interrupted diagnosis still gives its verdict", "[start_test]") {
    need_root();
    Culprit culprit = diagnose({"--for", "1h"});
    culprit.wait_until_watching();
    const int status = culprit.stop();
    CHECK((status == 0 || status == 3)); // the rest of this host may be at fault
    CHECK(Json::parse(culprit.out())["schema"] == "culprit.diagnosis/1");
}
