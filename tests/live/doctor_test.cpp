// SPDX-License-Identifier: MIT
// Does `doctor` say what works here, and why the rest does not? Are wrong arguments told apart?
#include "signals/capture.h"
#include "support/catch.h"
#include "support/run.h"
#include "support/two_ns.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr uid_t kNobody = 65534;

Json signal_of(const Json& report, const std::string& name) {
    for (const Json& signal : report["signals"])
        if (signal["name"] == name)
            return signal;
    return {};
}

int status_of(const Culprit::Arguments& arguments) {
    return Culprit(arguments).wait();
}

/// Part of such a signal works without hooks.
bool asks_the_kernel(const Json& signal) {
    const std::string name = signal["name"];
    return std::ranges::any_of(
        all_signals(), [&](const Signal* known) { return known->name == name && known->reader; });
}

} // namespace

TEST_CASE("doctor reports every signal as JSON", "[doctor_test]") {
    need_root();
    Culprit culprit({"doctor", "--output", "json"});
    CHECK(culprit.wait() == 0);
    const Json report = Json::parse(culprit.out());
    CHECK(report["schema"] == "culprit.doctor/1");
    CHECK(report["signals"].size() == all_signals().size());
    for (const Json& signal : report["signals"])
        CHECK((signal["state"] != "off" || !signal["why"].empty()));
}

TEST_CASE("a missing hook switches off its signal alone, with a sentence", "[doctor_test]") {
    need_root();
    Culprit culprit({"doctor", "--output", "json", "--disable-hook", "kfree_skb"});
    CHECK(culprit.wait() == 0);
    const Json report = Json::parse(culprit.out());
    const Json drop = signal_of(report, "drop");
    CHECK(drop["state"] == "off");
    REQUIRE(drop["why"].size() >= 1);
    CHECK(drop["why"][0].get<std::string>().find("kfree_skb") != std::string::npos);
    for (const char* other : {"connection", "retransmit", "reset", "qdisc", "nic"})
        CHECK(signal_of(report, other)["state"] != "off");
}

TEST_CASE("without any hook nothing works and the exit status says so", "[doctor_test]") {
    need_root();
    Culprit::Arguments arguments = {"doctor", "--output", "json"};
    for (const std::string& hook : wanted_hooks())
        arguments.insert(arguments.end(), {"--disable-hook", hook});
    Culprit culprit(arguments);
    CHECK(culprit.wait() == 1);
    const Json report = Json::parse(culprit.out());
    for (const Json& signal : report["signals"])
        CHECK((asks_the_kernel(signal) || signal["state"] == "off"));
}

TEST_CASE("without root doctor names the missing capabilities", "[doctor_test]") {
    need_root();
    Culprit culprit({"doctor", "--output", "json"}, kNobody);
    CHECK(culprit.wait() == 1);
    const Json report = Json::parse(culprit.out());
    for (const Json& signal : report["signals"]) {
        CAPTURE(signal["name"]);
        CHECK((asks_the_kernel(signal) || signal["state"] == "off"));
        CHECK((signal["hooks"].empty() || !signal["why"].empty()));
    }
    for (const Json& capability : report["capabilities"]) {
        CHECK(capability["effective"] == false);
        CHECK(capability["lost"].is_string());
    }
}

TEST_CASE("without root diagnose and watch fail with a reason", "[doctor_test]") {
    need_root();
    for (const char* command : {"diagnose", "watch"}) {
        Culprit culprit({command, "--for", "1s"}, kNobody);
        CHECK(culprit.wait() == 1);
        INFO(culprit.err());
        CHECK(culprit.err().find("no signal can run: ") != std::string::npos);
        CHECK(culprit.err().find("culprit doctor") != std::string::npos);
    }
}

TEST_CASE("wrong arguments exit with 2, what does not exist with 1", "[doctor_test]") {
    need_root();
    CHECK(status_of({}) == 2);
    CHECK(status_of({"unheard-of"}) == 2);
    CHECK(status_of({"watch", "unheard-of"}) == 2);
    CHECK(status_of({"watch", "--port", "70000"}) == 2);
    CHECK(status_of({"watch", "--addr", "1.2.3.4/33"}) == 2);
    CHECK(status_of({"diagnose", "--for", "soon"}) == 2);
    CHECK(status_of({"diagnose", "--only", "unheard-of"}) == 2);
    CHECK(status_of({"diagnose", "--replay", "x", "--save", "y"}) == 2);
    CHECK(status_of({"watch", "--netns", "no-such-namespace"}) == 1);
    CHECK(status_of({"diagnose", "--replay", "/nonexistent/windows"}) == 1);
    CHECK(status_of({"--help"}) == 0);
    CHECK(status_of({"--version"}) == 0);
}
