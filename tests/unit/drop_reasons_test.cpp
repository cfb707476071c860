// SPDX-License-Identifier: MIT
// Does each reason that matters have its sentence, and exactly one?
#include "detect/benign.h"
#include "detect/drop_reasons.h"
#include "support/catch.h"

using namespace culprit;

TEST_CASE("a reason that matters has a sentence", "[drop_reasons_test]") {
    CHECK(drop_runbook("IP_RPFILTER").find("rp_filter") != std::string_view::npos);
    CHECK(drop_runbook("NOT_SPECIFIED").empty());
    CHECK(drop_runbook("").empty());
}

TEST_CASE("a reason that is always normal life has no runbook of trouble", "[drop_reasons_test]") {
    for (const Benign& benign : benign_drops()) {
        INFO(benign.reason);
        if (benign.function == "*")
            CHECK(drop_runbook(benign.reason).empty());
    }
}
