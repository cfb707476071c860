// SPDX-License-Identifier: MIT
// Do the tables in the READMEs tell the truth? Written from the signals' own tables by
// tools/golden.sh.
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include <fmt/format.h>

#include "signals/signal.h"
#include "support/catch.h"

namespace culprit {

namespace {

std::string source_path(const std::string& name) {
    return std::string(CULPRIT_SOURCE_DIR) + "/" + name;
}

std::string read_all(const std::string& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

std::string signals_table() {
    std::string table = "| signal | question | hooks | events and totals |\n|---|---|---|---|\n";
    for (const Signal* signal : all_signals()) {
        std::string hooks, kinds;
        for (const Hook& hook : signal->hooks)
            hooks += fmt::format("{}{}{}", hooks.empty() ? "" : ", ", hook.tracepoint,
                                 hook.instead_of ? fmt::format(" (without {})", hook.instead_of)
                                 : hook.required ? ""
                                                 : " (optional)");
        for (const Kind* kind : signal->kinds)
            kinds += fmt::format("{}`{}`", kinds.empty() ? "" : ", ", kind->name);
        table +=
            fmt::format("| {} | {}? | {} | {} |\n", signal->name, signal->question, hooks, kinds);
    }
    return table;
}

std::string records_table() {
    std::string table = "| record | size | | members beside the head |\n|---|---|---|---|\n";
    for (const Signal* signal : all_signals())
        for (const Kind* kind : signal->kinds) {
            std::string fields;
            for (const Field& field : kind->fields)
                fields +=
                    fmt::format("{}{} {}", fields.empty() ? "" : ", ", field.name, field.size);
            table += fmt::format("| `{}` | {} | {} | {} |\n", kind->name, kind->size,
                                 kind->event          ? "event"
                                 : kind->sums.empty() ? "row"
                                                      : "total",
                                 fields);
        }
    return table;
}

void check_block(const std::string& path, const std::string& name, const std::string& table) {
    const std::string begin = "<!-- " + name + ": written by tools/golden.sh -->\n",
                      end = "<!-- /" + name + " -->";
    std::string text = read_all(path);
    const std::size_t from = text.find(begin), to = text.find(end);
    REQUIRE(from != std::string::npos);
    REQUIRE(to != std::string::npos);
    const std::size_t start = from + begin.size();
    if (std::getenv("CULPRIT_WRITE_GOLDEN")) {
        text.replace(start, to - start, table);
        std::ofstream(path) << text;
        return;
    }
    CHECK(text.substr(start, to - start) == table);
}

} // namespace

TEST_CASE("README lists every signal with its hooks", "[docs_test]") {
    check_block(source_path("README.md"), "signals", signals_table());
}

TEST_CASE("bpf/README lists every record with its size", "[docs_test]") {
    check_block(source_path("bpf/README.md"), "records", records_table());
}

} // namespace culprit
