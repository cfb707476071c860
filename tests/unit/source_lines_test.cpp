// SPDX-License-Identifier: MIT
// Is a place found by its symbol and offset in a file with debug information?
#include "kernel/source_lines.h"

#include <fmt/format.h>

#include "support/catch.h"

using namespace culprit;

namespace {
constexpr int kLine = __LINE__ + 2;
}
extern "C" [[gnu::noinline]] int source_line_probe(int n) {
    return n + 1;
}

TEST_CASE("a place in a program is told by file and line", "[source_lines_test]") {
    REQUIRE(source_line_probe(1) == 2);
    const std::string line = SourceLines::in_file("/proc/self/exe", "source_line_probe+0x0");
    CHECK(line.ends_with(fmt::format("unit/source_lines_test.cpp:{}", kLine)));
}

TEST_CASE("what is no place or no file has no line", "[source_lines_test]") {
    CHECK(SourceLines::in_file("/proc/self/exe", "no_such_symbol_at_all+0x1").empty());
    CHECK(SourceLines::in_file("/proc/self/exe", "source_line_probe").empty());
    CHECK(SourceLines::in_file("/proc/self/exe", "source_line_probe+0xzz").empty());
    CHECK(SourceLines::in_file("/nonexistent", "source_line_probe+0x1").empty());
    CHECK(SourceLines::in_file("/etc/passwd", "source_line_probe+0x1").empty());
}

TEST_CASE("a kernel without debug information has no lines", "[source_lines_test]") {
    SourceLines lines("0.0.0-none");
    CHECK(lines.at("tcp_v4_rcv+0x12", "").empty());
    CHECK(lines.at("nft_do_chain+0x3e8", "nf_tables").empty());
}
