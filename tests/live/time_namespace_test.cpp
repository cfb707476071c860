// SPDX-License-Identifier: MIT
// Does culprit know processes by their start, and the time of day, where boot time is another one?
#include <filesystem>

#include "support/catch.h"
#include "support/run.h"
#include "support/traffic.h"
#include "util/time.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

using namespace culprit;
using namespace culprit::test;

namespace {

/// While it lives, new processes are in a time namespace whose boot time is that much ahead.
class TimeNamespace {
public:
    explicit TimeNamespace(long seconds)
        : x_own(::open("/proc/self/ns/time", O_RDONLY | O_CLOEXEC)) {
        if (!x_own)
            skip("this kernel has no time namespaces");
        must(::unshare(CLONE_NEWTIME) == 0, "make a time namespace");
        const UniqueFd offsets(::open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC));
        const std::string text = fmt::format("boottime {} 0\n", seconds);
        must(::write(offsets.get(), text.data(), text.size()) == ssize_t(text.size()),
             "set its boot time");
    }
    TimeNamespace(const TimeNamespace&) = delete;
    TimeNamespace& operator=(const TimeNamespace&) = delete;
    ~TimeNamespace() { ::setns(x_own.get(), CLONE_NEWTIME); }
    /// For one of those processes.
    void leave() const {
        must(::setns(x_own.get(), CLONE_NEWTIME) == 0, "leave the time namespace");
    }

private:
    UniqueFd x_own;
};

/// Events are written in this form too, so texts compare as times do.
std::string wall_now() {
    return rfc3339(static_cast<std::int64_t>(boot_now_ns()) + wall_offset_ns());
}

} // namespace

TEST_CASE("in a time namespace processes are known and times are right", "[time_namespace_test]") {
    need_root();
    const TimeNamespace elsewhere(100'000);
    const WiredNs ns;
    const Server server(ns.b, "tn-server", Serve::kEcho, ns.b.v4);
    Culprit culprit = watch({"connect", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    const std::string before = wall_now();
    for (const char* name : {"tn-inside", "tn-outside"}) {
        Child client(ns.a.path(), name, [&](const Tell&) {
            if (std::string_view(name) == "tn-outside")
                elsewhere.leave();
            const UniqueFd fd = connect_to(ns.b.v4, server.port());
            ::pause();
            return 0;
        });
        const Json event = culprit.await([&](const Json& e) { return e["comm"] == name; }).at(0);
        CHECK(event["pid"] == client.pid());
        CHECK(event["exe"] == std::filesystem::read_symlink("/proc/self/exe").string());
        CHECK(event["exited"] == false);
        CHECK(event["time"].get<std::string>() >= before);
        CHECK(event["time"].get<std::string>() <= wall_now());
    }
    CHECK(culprit.stop() == 0);
}
