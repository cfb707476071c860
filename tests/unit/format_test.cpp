// SPDX-License-Identifier: MIT
// Fields as words: known values by name, unknown ones by number, unknown facts as a dash.
#include "model/format.h"
#include "support/catch.h"
#include "support/event_builder.h"
#include "support/fake_names.h"

using namespace culprit;
using namespace culprit::test;

namespace {

template <typename Record>
std::string text(const Record& record, std::string_view field, const Names& names = fake_names()) {
    const Kind* kind = find_kind(record.head.kind);
    REQUIRE(kind);
    for (const Field& f : kind->fields)
        if (f.name == field)
            return field_text(f, bytes_of(record), names);
    FAIL("no field " << field);
    return "";
}

} // namespace

TEST_CASE("an endpoint is address and port, with brackets around IPv6", "[format_test]") {
    const abi_flow v4 = tcp_flow("10.0.0.1", 40000, "192.0.2.7", 80);
    CHECK(endpoint(v4, true) == "10.0.0.1:40000");
    CHECK(endpoint(v4, false) == "192.0.2.7:80");
    const abi_flow v6 = tcp_flow("2001:db8::1", 1, "::1", 0);
    CHECK(endpoint(v6, true) == "[2001:db8::1]:1");
    CHECK(endpoint(v6, false) == "::1");
    CHECK(address(v6, true) == "2001:db8::1");
}

TEST_CASE("an unknown address is a dash", "[format_test]") {
    CHECK(endpoint(abi_flow{}, true) == "-");
    CHECK(address(abi_flow{}, false) == "-");
}

TEST_CASE("durations have three digits and a unit", "[format_test]") {
    CHECK(duration(0) == "0ns");
    CHECK(duration(999) == "999ns");
    CHECK(duration(1'000) == "1us");
    CHECK(duration(1'234) == "1.23us");
    CHECK(duration(12'345'678) == "12.3ms");
    CHECK(duration(999'000'000) == "999ms");
    CHECK(duration(1'500'000'000) == "1.5s");
    CHECK(duration(61'000'000'000) == "61s");
    CHECK(duration(1'234'000'000'000) == "1234s");
}

TEST_CASE("a duration just below the next unit is no power of ten", "[format_test]") {
    for (const std::uint64_t ns :
         {999'499ULL, 999'500ULL, 999'999ULL, 999'999'999ULL, 999'999'999'999ULL, ~0ULL})
        CHECK(duration(ns).find('e') == std::string::npos);
}

TEST_CASE("error numbers have their names", "[format_test]") {
    CHECK(errno_name(0) == "-");
    CHECK(errno_name(111) == "ECONNREFUSED");
    CHECK(errno_name(110) == "ETIMEDOUT");
    CHECK(errno_name(4000) == "errno#4000");
    CHECK(errno_name(0xffffffff) == "errno#4294967295");
}

TEST_CASE("protocols, states and flags outside the known range do not read beyond it",
          "[format_test]") {
    CHECK(ip_protocol(6) == "tcp");
    CHECK(ip_protocol(132) == "132");
    CHECK(ethertype(0x86dd) == "ipv6");
    CHECK(ethertype(0x1234) == "0x1234");
    CHECK(std::string(tcp_state(1)) == "ESTABLISHED");
    CHECK(std::string(tcp_state(12)) == "NEW_SYN_RECV");
    CHECK(std::string(tcp_state(13)) == "?");
    CHECK(std::string(provenance(3)) == "creator");
    CHECK(std::string(provenance(99)) == "unknown");
    CHECK(tcp_flags(0x12) == "SA");
    CHECK(tcp_flags(0) == "-");
}

TEST_CASE("names come from the running kernel, else the number shows", "[format_test]") {
    const Names names = fake_names();
    CHECK(drop_reason(8, names) == "NETFILTER_DROP");
    CHECK(drop_reason(77, names) == "reason#77");
    CHECK(drop_reason(0, names) == "-");
    CHECK(symbol(kTcpRcv, names) == "tcp_v4_rcv+0x85");
    CHECK(symbol(0xffffffff81234567, names) == "0xffffffff81234567");
    CHECK(device(kNetns, 2, names) == "eth0");
    CHECK(device(7, 2, names) == "if2");
    CHECK(device(kNetns, 0, names) == "-");
    CHECK(netns_name(4026532001, names) == "4026532001 (blue)");
    CHECK(netns_name(kNetns, names) == "4026531840");
    CHECK(netns_name(0, names) == "-");
}

TEST_CASE("hostile names of processes and devices are made safe", "[format_test]") {
    CHECK(owner_name(process("a\x1b[31mb", 42), {}) == "a\\x1b[31mb (pid 42)");
    CHECK(owner_name(abi_owner{}, {}) == "unknown process");
    CHECK(owner_name(process("sh", 4242), fake_names()) == "curl (pid 4242)");
    Names names;
    names.devices[{1, 2}] = "x\x1b\n";
    CHECK(device(1, 2, names) == "x\\x1b\\x0a");
    auto total = make<qdisc_total>();
    std::memcpy(total.id, "\x1b]0;0123456789abcdef", sizeof(total.id)); // no NUL
    CHECK(text(total, "id") == "\\x1b]0;0123456789ab");
}

TEST_CASE("fields of a record read as words", "[format_test]") {
    auto close = make<close_event>();
    close.role = ABI_ROLE_SERVER;
    close.ending = 200;
    close.established_ns = 1'500'000;
    close.srtt_us = 1'500;
    CHECK(text(close, "role") == "server");
    CHECK(text(close, "ending") == "?");
    CHECK(text(close, "established_ns") == "1.5ms");
    CHECK(text(close, "handshake_ns") == "-");
    CHECK(text(close, "srtt_us") == "1.5ms");
    auto total = make<drop_total>();
    total.netns = kNetns;
    total.ifindex = 2;
    CHECK(text(total, "ifindex") == "eth0");
}

TEST_CASE("a reset reason counts only when the kernel gave one", "[format_test]") {
    auto reset = make<reset_event>();
    reset.reason = 2;
    CHECK(text(reset, "reason") == "-");
    reset.reason_known = 1;
    CHECK(text(reset, "reason") == "NO_SOCKET");
    reset.reason = 4000;
    CHECK(text(reset, "reason") == "reason#4000");
}

TEST_CASE("no field of any kind reads as hostile text or crashes on all ones", "[format_test]") {
    for (const Signal* signal : all_signals())
        for (const Kind* kind : signal->kinds) {
            const auto record = filled_record(*kind, kSecondNs, [] { return 0xff; });
            for (const Field& field : kind->fields) {
                if (field.type == Type::kFlow || field.type == Type::kOwner ||
                    field.type == Type::kHistogram || field.type == Type::kStack)
                    continue;
                const std::string words = field_text(field, record, fake_names());
                CHECK_FALSE(words.empty());
                CHECK(words.find('\xff') == std::string::npos);
            }
        }
}
