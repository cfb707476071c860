// SPDX-License-Identifier: MIT
// Can thresholds be overridden, all or none, and is the table honest about it?
#include <algorithm>
#include <set>
#include <string>

#include <fmt/format.h>

#include "detect/thresholds.h"
#include "present/present.h"
#include "support/catch.h"

namespace culprit {

namespace {

/// What a test changed is undone.
struct Restore {
    ~Restore() {
        std::string usual;
        for (const threshold::Row& row : threshold::table())
            usual += fmt::format("{} = {:.17g}\n", row.name, row.usual);
        (void)threshold::override_with(usual);
    }
};

std::string refused(const std::string& text) {
    const auto done = threshold::override_with(text);
    return done ? "" : done.error().what;
}

} // namespace

TEST_CASE("every threshold has a name of its own, a unit and a source", "[thresholds_test]") {
    const std::set<std::string_view> units = {"share",      "%", "count", "times",
                                              "per second", "s", "ns",    "us"};
    std::set<std::string_view> names;
    for (const threshold::Row& row : threshold::table()) {
        CAPTURE(row.name);
        CHECK(names.insert(row.name).second);
        CHECK(units.contains(row.unit));
        CHECK_FALSE(row.source.empty());
        CHECK_FALSE(row.is_changed());
        CHECK((row.unit != "share" || row.usual <= 1));
    }
    CHECK(names.size() > 100);
}

TEST_CASE("a file of lines overrides, and the table and the verdict say so", "[thresholds_test]") {
    const Restore restore;
    REQUIRE(threshold::override_with("# ours\n\n LossSegsMin = 5 # fewer\r\nLossRatioWarning=0.5"));
    CHECK(threshold::kLossSegsMin == 5U);
    CHECK(threshold::kLossRatioWarning == 0.5);
    CHECK(threshold::changed() == std::vector<std::string>{"LossRatioWarning = 0.5 (usually 0.01)",
                                                           "LossSegsMin = 5 (usually 10)"});
    CHECK(thresholds_text({}).find("5 (usually 10) count") != std::string::npos);
    CHECK(thresholds_json().find("\"changed\": true") != std::string::npos);
    VerdictInput input;
    CHECK(verdict_json(judge(input)).find("LossSegsMin = 5 (usually 10)") != std::string::npos);
}

TEST_CASE("one wrong line is one line of error, and changes nothing", "[thresholds_test]") {
    const Restore restore;
    for (const char* bad :
         {"kLossSegsMin = 5", "LossSegsMin", "LossSegsMin =", "LossSegsMin = -1",
          "LossSegsMin = 1.5", "LossSegsMin = 99999999999999999999", "LossSegsMin = 5 6",
          "LossRatioWarning = 1.5", "LossRatioWarning = nan", "LossRatioWarning = inf",
          "LossRatioWarning = \x1b[2J", "\x1b[2J = 3", "= 3", "PoolTimeWaitPercent = 101"}) {
        CAPTURE(bad);
        const std::string why = refused(std::string("LossSegsOwnRatio = 7\n") + bad);
        CHECK(why.starts_with("line 2: "));
        CHECK(why.find_first_of("\x1b\n") == std::string::npos);
    }
    CHECK(threshold::changed().empty());
}

} // namespace culprit
