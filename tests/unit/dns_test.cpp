// SPDX-License-Identifier: MIT
#include "support/catch.h"

#include "util/dns.h"

using namespace culprit;

namespace {

std::string name_of(const std::string& wire) {
    return dns_name(std::as_bytes(std::span(wire)));
}

} // namespace

TEST_CASE("a name is printed as in a zone file", "[dns_test]") {
    CHECK(name_of(std::string("\x03www\x07"
                              "example\0",
                              13)) == "www.example.");
    CHECK(name_of(std::string("\0", 1)) == ".");
    CHECK(name_of(std::string("\x05"
                              "a.b\\c\0",
                              7)) == "a\\.b\\\\c.");
    CHECK(name_of(std::string("\x04\x1b[2J\0", 6)) == "\\027[2J.");
    CHECK(name_of(std::string("\x02\xc3\xa4\0", 4)) == "\\195\\164.");
}

TEST_CASE("bytes that are no whole name are not printed", "[dns_test]") {
    CHECK(name_of("") == "-");
    CHECK(name_of("\x03ww") == "-");
    CHECK(name_of("\x03www") == "-");
    CHECK(name_of(std::string("\xc0\x0c\0", 3)) == "-");
    CHECK(name_of(std::string("\x40", 1) + std::string(64, 'a') + std::string(1, '\0')) == "-");
    const std::string label = std::string(1, '\x3f') + std::string(63, 'a');
    const std::string longest = label + label + label + '\x3d' + std::string(61, 'b');
    CHECK(name_of(longest + std::string(1, '\0')).size() == 254);
    CHECK(name_of(label + label + label + '\x3e' + std::string(62, 'b') + std::string(1, '\0')) ==
          "-");
}

TEST_CASE("types and codes have names, unknown ones numbers", "[dns_test]") {
    CHECK(dns_type(28) == "AAAA");
    CHECK(dns_type(4711) == "TYPE4711");
    CHECK(dns_type(0) == "-");
    CHECK(dns_rcode(3) == "NXDOMAIN");
    CHECK(dns_rcode(12) == "RCODE12");
    CHECK(dns_rcode(255) == "-");
}
