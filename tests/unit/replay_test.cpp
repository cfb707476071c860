// SPDX-License-Identifier: MIT
// Do recorded faults give the right verdict again, and the same one each time? The recordings are
// made by tests/faults/run.py --save tests/faults/recordings --seed 5 --seconds 4.
#include <filesystem>
#include <fstream>

#include <nlohmann/json.hpp>

#include "detect/finding.h"
#include "model/owner_fill.h"
#include "model/window_json.h"
#include "present/present.h"
#include "support/catch.h"

using namespace culprit;

namespace {

using Json = nlohmann::json;

std::filesystem::path recordings() {
    return std::filesystem::path(CULPRIT_SOURCE_DIR) / "tests/faults/recordings";
}

History read_recording(const std::string& name) {
    History history;
    std::ifstream file(recordings() / (name + ".ndjson"));
    for (std::string line; std::getline(file, line);) {
        auto window = window_from_json(line);
        INFO(name << ": " << (window ? "" : window.error().what));
        REQUIRE(window);
        history.add(std::move(*window));
    }
    REQUIRE_FALSE(history.windows().empty());
    return history;
}

std::string verdict_of(const std::string& name) {
    const History history = read_recording(name);
    Window total = history.total();
    fill_unknown_owners(total);
    std::vector<SignalStatus> status;
    for (const Signal* signal : all_signals())
        status.push_back({signal->name, State::kOn, {}, {}, {}});
    return verdict_json(judge({.facts = {std::move(total), history.windows()},
                               .status = std::move(status),
                               .filtered = true,
                               .only = {}}));
}

} // namespace

TEST_CASE("a recorded fault is named with the process to blame", "[replay_test]") {
    std::ifstream file(recordings() / "truth.json");
    const Json truth = Json::parse(file);
    REQUIRE_FALSE(truth.empty());
    for (const auto& [name, expected] : truth.items()) {
        INFO(name);
        const Json verdict = Json::parse(verdict_of(name));
        REQUIRE_FALSE(verdict["findings"].empty());
        const Json& first = verdict["findings"].front();
        INFO(first.dump(1));
        const Json& accepts = expected["accepts"];
        CHECK(std::find(accepts.begin(), accepts.end(), first["id"]) != accepts.end());
        CHECK((first["culprit"].is_null() ? Json() : first["culprit"]["comm"]) ==
              expected["process"]);
    }
}

TEST_CASE("two replays of one recording are the same to the byte", "[replay_test]") {
    for (const auto& entry : std::filesystem::directory_iterator(recordings())) {
        if (entry.path().extension() != ".ndjson")
            continue;
        const std::string name = entry.path().stem().string();
        INFO(name);
        CHECK(verdict_of(name) == verdict_of(name));
    }
}
