// SPDX-License-Identifier: MIT
// Signatures that the two ends do not agree on, by the kernel's drop reasons.
#include <algorithm>

#include "detect/finding.h"
#include "support/catch.h"
#include "support/event_builder.h"
#include "support/fake_names.h"

namespace culprit {

namespace {

using namespace test;

constexpr std::uint32_t kNotFound = 100, kFailure = 101;

Window dropping(std::uint32_t reason, std::uint64_t packets) {
    Window window;
    window.from_ns = kSecondNs;
    window.to_ns = 11 * kSecondNs;
    window.names = fake_names();
    window.names.drop_reasons[kNotFound] = "TCP_MD5NOTFOUND";
    window.names.drop_reasons[kFailure] = "TCP_AOFAILURE";
    auto total = make<drop_total>();
    total.reason = reason;
    total.location = kTcpRcv;
    total.netns = kNetns;
    total.ifindex = 2;
    total.protocol = IPPROTO_TCP;
    total.packets = packets;
    window.fold(bytes_of(total));
    for (std::uint64_t i = 0; i < packets; i++) {
        auto sample = make<drop_event>();
        sample.flow = tcp_flow("10.0.0.9", static_cast<std::uint16_t>(40000 + i), "10.0.0.1", 179);
        sample.owner = process("bgpd", 42, ABI_OWNER_HOLDER);
        sample.reason = reason;
        sample.location = kTcpRcv;
        sample.tcp_flags = 2;
        window.fold(bytes_of(sample));
    }
    return window;
}

std::vector<Finding> loud(const Window& window) {
    auto all = detect_all({window, std::span(&window, 1)});
    std::erase_if(all, [](const Finding& f) { return f.severity == Severity::kInfo; });
    return all;
}

} // namespace

TEST_CASE("unsigned segments name the listener, the peer and what is missing",
          "[md5_mismatch_test]") {
    const auto findings = loud(dropping(kNotFound, 6));
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "md5-mismatch");
    CHECK(findings[0].title.find("10.0.0.9 to 10.0.0.1:179 of bgpd") != std::string::npos);
    CHECK(findings[0].title.find("not signed, and have to be (TCP MD5)") != std::string::npos);
    CHECK(findings[0].culprit->owner.tgid == 42);
    CHECK(findings[0].where.local == "10.0.0.1:179");
    CHECK(findings[0].where.remote == "10.0.0.9");
}

TEST_CASE("another key, by TCP-AO, is told as such", "[md5_mismatch_test]") {
    const auto findings = loud(dropping(kFailure, 6));
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].title.find("another key (TCP AO)") != std::string::npos);
}

TEST_CASE("a stranger that knocks once is nothing", "[md5_mismatch_test]") {
    CHECK(loud(dropping(kNotFound, 2)).empty());
}

TEST_CASE("the client's connect-timeout is the same fault", "[md5_mismatch_test]") {
    Window window = dropping(kNotFound, 6);
    for (std::uint16_t i = 0; i < 6; i++) {
        auto again = make<retransmit_event>();
        again.flow = tcp_flow("10.0.0.9", static_cast<std::uint16_t>(40000 + i), "10.0.0.1", 179,
                              kNetns + 1);
        again.owner = process("client", 7);
        again.type = ABI_RETRANSMIT_SYN;
        again.segs = 1;
        window.fold(bytes_of(again));
    }
    const auto findings = loud(window);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "md5-mismatch");
    CHECK(findings[0].severity == Severity::kCritical);
}

} // namespace culprit
