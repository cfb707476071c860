// SPDX-License-Identifier: MIT
// Servers that hang up after a ClientHello, and those that end short talks as they should.
#include "support/catch.h"
#include "support/finding.h"
#include "support/listening.h"
#include "support/traffic.h"

using namespace culprit;
using namespace culprit::test;

namespace {

/// Reads what comes, answers so many bytes and hangs up.
Listening::Work hangs_up_after(std::size_t answer) {
    return [=](int listener) {
        for (;;) {
            const UniqueFd fd(::accept(listener, nullptr, nullptr));
            std::vector<char> bytes(4096);
            if (::recv(fd.get(), bytes.data(), bytes.size(), 0) > 0 && answer)
                send_bytes(fd.get(), answer);
        }
    };
}

Child talks(const WiredNs& ns, const std::string& comm, std::uint16_t port, std::size_t question) {
    return Child(ns.a.path(), comm, [=, host = ns.b.v4](const Tell&) {
        for (int i = 0; i < 50; i++, pause_ms(50)) {
            const UniqueFd fd = connect_to(host, port);
            send_bytes(fd.get(), question);
            char byte = 0;
            while (::recv(fd.get(), &byte, 1, 0) > 0) {
            }
        }
        return 0;
    });
}

} // namespace

TEST_CASE("hanging up after the size of a ClientHello is told, other short talks are not",
          "[handshake_failure_test]") {
    const WiredNs ns;
    constexpr std::size_t kAlert = 7, kHello = 517, kPing = 14, kPage = 60;
    const Listening alerts(ns.b, "ct-alerts", ns.b.v4, hangs_up_after(kAlert));
    const Listening mute(ns.b, "ct-mute", ns.b.v4, hangs_up_after(0));
    const Listening pongs(ns.b, "ct-pongs", ns.b.v4, hangs_up_after(kAlert));
    const Listening pages(ns.b, "ct-pages", ns.b.v4, hangs_up_after(kPage));
    Culprit culprit = diagnose({"--for", "6s"});
    culprit.wait_until_watching();
    const Child hello = talks(ns, "ct-hello", alerts.port(), kHello);
    const Child ignored = talks(ns, "ct-ignored", mute.port(), kHello);
    const Child ping = talks(ns, "ct-ping", pongs.port(), kPing);
    const Child page = talks(ns, "ct-page", pages.port(), kHello);
    const Json verdict = verdict_of(culprit);
    for (const auto& [server, client] : {std::pair(&alerts, &hello), std::pair(&mute, &ignored)}) {
        const auto finding = find_finding(verdict, "handshake-failure", hurts(client->pid()));
        REQUIRE(finding);
        INFO(finding->dump(1));
        CHECK((*finding)["culprit"].is_null());
        CHECK(hurts(server->pid())(*finding));
        CHECK((*finding)["where"]["local"] == end_text(ns.b.v4, server->port()));
        CHECK((*finding)["confidence"] <= 0.5);
        CHECK((*finding)["count"] >= 45);
    }
    CHECK_FALSE(find_finding(verdict, "handshake-failure", hurts(ping.pid())));
    CHECK_FALSE(find_finding(verdict, "handshake-failure", hurts(page.pid())));
}
