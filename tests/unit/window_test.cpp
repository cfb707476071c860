// SPDX-License-Identifier: MIT
// Folding keeps exact sums whatever the number of keys, and the order of merging does not matter.
#include <random>

#include "model/window.h"
#include "support/catch.h"
#include "support/event_builder.h"
#include "support/fake_names.h"

using namespace culprit;
using namespace culprit::test;

namespace {

retransmit_event retransmit(std::uint16_t port, std::uint64_t segs,
                            std::uint64_t when_ns = kSecondNs) {
    auto record = make<retransmit_event>(when_ns);
    record.flow = tcp_flow("10.0.0.1", port, "10.0.0.2", 80);
    record.owner = process("curl", 42);
    record.segs = segs;
    record.bytes = segs * 1448;
    record.life_segs_out = 100 * segs;
    return record;
}

/// A window of one second with one record per port, its counters, losses and a name.
Window window(std::uint64_t second, std::initializer_list<std::uint16_t> ports) {
    Window w;
    w.from_ns = second * kSecondNs;
    w.to_ns = (second + 1) * kSecondNs;
    w.wall_offset_ns = static_cast<std::int64_t>(second);
    for (const std::uint16_t port : ports)
        w.fold(bytes_of(retransmit(port, second + port, w.from_ns + port)));
    w.counters[kNetns].growth[counter("Tcp.RetransSegs")] = second;
    w.lost[ABI_RETRANSMIT] = {second, 1, 2, 3, 4};
    w.names.symbols[second] = "symbol";
    return w;
}

Window merged(Window a, const Window& b) {
    a.merge(b);
    return a;
}

struct Sums {
    std::uint64_t count = 0, segs = 0, bytes = 0;
    bool operator==(const Sums&) const = default;
};

Sums sums_of(const Window& w) {
    Sums sums;
    for (const auto& row : w.rows<retransmit_event>(ABI_RETRANSMIT)) {
        sums.count += row.info.count;
        sums.segs += row.record.segs;
        sums.bytes += row.record.bytes;
    }
    return sums;
}

} // namespace

TEST_CASE("records with the same key fold into one row of sums and maxima", "[window_test]") {
    Window w;
    auto first = retransmit(1000, 2, 50), second = retransmit(1000, 3, 40);
    first.seq = 7, second.seq = 8;
    first.life_segs_out = 900, second.life_segs_out = 800;
    w.fold(bytes_of(first));
    w.fold(bytes_of(second));
    const auto rows = w.rows<retransmit_event>(ABI_RETRANSMIT);
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].record.segs == 5);
    CHECK(rows[0].record.bytes == 5 * 1448);
    CHECK(rows[0].record.life_segs_out == 900);
    CHECK(rows[0].record.seq == 7); // what is neither sum nor maximum is of the first
    CHECK(rows[0].info == RowInfo{2, 40, 50});
}

TEST_CASE("a later larger maximum replaces the earlier one", "[window_test]") {
    Window w;
    auto first = retransmit(1000, 1), second = retransmit(1000, 1);
    first.life_retransmits = 3, second.life_retransmits = 4;
    w.fold(bytes_of(first));
    w.fold(bytes_of(second));
    CHECK(w.rows<retransmit_event>(ABI_RETRANSMIT)[0].record.life_retransmits == 4);
}

TEST_CASE("records with different keys stay apart", "[window_test]") {
    Window w;
    w.fold(bytes_of(retransmit(1000, 1)));
    w.fold(bytes_of(retransmit(1001, 1)));
    auto other_process = retransmit(1000, 1);
    other_process.owner.start_ns++; // the same PID, used again
    w.fold(bytes_of(other_process));
    auto other_type = retransmit(1000, 1);
    other_type.type = ABI_RETRANSMIT_RTO;
    w.fold(bytes_of(other_type));
    CHECK(w.rows<retransmit_event>(ABI_RETRANSMIT).size() == 4);
}

TEST_CASE("every slot of a histogram is added up", "[window_test]") {
    Window w;
    auto total = make<qdisc_total>();
    for (std::uint64_t i = 0; i < ABI_HIST_SLOTS; i++)
        total.slots[i] = i + 1;
    for (int i = 0; i < 3; i++)
        w.fold(bytes_of(total));
    const auto rows = w.rows<qdisc_total>(ABI_QDISC_TOTAL);
    REQUIRE(rows.size() == 1);
    for (std::uint64_t i = 0; i < ABI_HIST_SLOTS; i++)
        CHECK(rows[0].record.slots[i] == 3 * (i + 1));
}

TEST_CASE("bytes that are no record leave the window as it was", "[window_test]") {
    Window w;
    const auto record = retransmit(1000, 1);
    w.fold(bytes_of(record).first(sizeof(record) - 8));
    CHECK(w == Window{});
}

TEST_CASE("rows of another type or kind are none", "[window_test]") {
    Window w;
    w.fold(bytes_of(retransmit(1000, 1)));
    CHECK(w.rows<drop_event>(ABI_DROP).empty());
    CHECK(w.rows<drop_event>(ABI_RETRANSMIT).empty());
}

TEST_CASE("keys beyond the limit fold into one row without flow and owner, sums stay exact",
          "[window_test]") {
    constexpr std::size_t kKeys = 3 * Table::kRowsMax;
    Window w;
    Sums expected;
    for (std::size_t i = 0; i < kKeys; i++) {
        const auto record = retransmit(static_cast<std::uint16_t>(1000 + i), i % 5 + 1);
        w.fold(bytes_of(record));
        expected.count++;
        expected.segs += record.segs;
        expected.bytes += record.bytes;
    }
    const Table& table = w.tables.at(ABI_RETRANSMIT);
    REQUIRE(table.size() == Table::kRowsMax + 1);
    REQUIRE(table.other() == Table::kRowsMax);
    CHECK(sums_of(w) == expected);
    const auto other = w.rows<retransmit_event>(ABI_RETRANSMIT)[table.other()];
    CHECK(other.info.count == kKeys - Table::kRowsMax);
    CHECK(other.record.life_segs_out == 500);
    CHECK(other.record.owner.tgid == 0);
    CHECK(other.record.flow.remote_port == 0);
    CHECK(other.record.head.kind == ABI_RETRANSMIT);
}

TEST_CASE("a known key still finds its row when the table is full", "[window_test]") {
    Window w;
    for (std::size_t i = 0; i < Table::kRowsMax + 10; i++)
        w.fold(bytes_of(retransmit(static_cast<std::uint16_t>(1000 + i), 1)));
    w.fold(bytes_of(retransmit(1000, 6)));
    CHECK(w.rows<retransmit_event>(ABI_RETRANSMIT)[0].record.segs == 7);
}

TEST_CASE("other() is size() when everything fits", "[window_test]") {
    Window w;
    w.fold(bytes_of(retransmit(1000, 1)));
    const Table& table = w.tables.at(ABI_RETRANSMIT);
    CHECK(table.other() == table.size());
}

TEST_CASE("merging adds rows, counters and losses and joins the time", "[window_test]") {
    const Window sum = merged(window(1, {1000, 1001}), window(2, {1001, 1002}));
    CHECK(sum.from_ns == 1 * kSecondNs);
    CHECK(sum.to_ns == 3 * kSecondNs);
    CHECK(sum.seconds() == 2.0);
    CHECK(sum.rows<retransmit_event>(ABI_RETRANSMIT).size() == 3);
    CHECK(sums_of(sum).segs == 1001 + 1002 + 1003 + 1004);
    CHECK(sum.counters.at(kNetns).growth[counter("Tcp.RetransSegs")] == 3);
    CHECK(sum.lost.at(ABI_RETRANSMIT) == Lost{3, 2, 4, 6, 8});
    CHECK(sum.names.symbols.size() == 2);
}

TEST_CASE("merging takes over the latest of a process, and what was known before it exited",
          "[window_test]") {
    Window a, b, c;
    a.names.processes[{42, 7}] = {.comm = "sh", .exe = "/bin/sh"};
    b.names.processes[{42, 7}] = {.comm = "curl", .exe = "/usr/bin/curl"};
    c.names.processes[{42, 7}] = {.exited = true};
    c.names.processes[{42, 8}] = {.comm = "other"};
    a.merge(b);
    a.merge(c);
    const Process wanted{.comm = "curl", .exe = "/usr/bin/curl", .exited = true};
    CHECK(a.names.processes.at({42, 7}) == wanted);
    CHECK(a.names.processes.at({42, 8}).comm == "other");
}

TEST_CASE("names of processes and cgroups stay bounded", "[window_test]") {
    Window sum;
    for (std::uint32_t second = 0; second < 100; second++) {
        Window w;
        for (std::uint32_t i = 1; i <= 100; i++) {
            w.names.processes[{i, second}] = {.comm = "short"};
            w.names.cgroups[second * 100 + i] = "/short";
        }
        w.names.processes[{1, 0}] = {.comm = "long"};
        sum.merge(w);
    }
    CHECK(sum.names.processes.size() == kNamesMax);
    CHECK(sum.names.cgroups.size() == kNamesMax);
    CHECK(sum.names.processes.at({1, 0}).comm == "long");
}

TEST_CASE("merging with an empty window changes nothing", "[window_test]") {
    const Window w = window(1, {1000, 1001});
    CHECK(merged(Window{}, w) == w);
}

TEST_CASE("merging is associative", "[window_test]") {
    Window a = window(1, {1000, 1001}), b = window(2, {1001, 1002}), c = window(3, {1000, 1003});
    b.counters[kNetns].error = "not readable";
    c.counters[7].growth[0] = 1;
    b.names.symbols[1] = "another name";
    CHECK(merged(merged(a, b), c) == merged(a, merged(b, c)));
}

TEST_CASE("sums stay exact when full windows are merged", "[window_test]") {
    Window a, b;
    for (std::size_t i = 0; i < Table::kRowsMax + 100; i++) {
        a.fold(bytes_of(retransmit(static_cast<std::uint16_t>(i), 1)));
        b.fold(bytes_of(retransmit(static_cast<std::uint16_t>(5000 + i), 2)));
    }
    const Sums one = sums_of(a), two = sums_of(b);
    a.merge(b);
    CHECK(sums_of(a) == Sums{one.count + two.count, one.segs + two.segs, one.bytes + two.bytes});
    CHECK(a.tables.at(ABI_RETRANSMIT).size() <= Table::kRowsMax + 1);
}

TEST_CASE("a history stays bounded and in order, and its total is the sum of all",
          "[window_test]") {
    History history;
    Window expected;
    for (std::uint64_t second = 1; second <= 1000; second++) {
        const Window w = window(second, {static_cast<std::uint16_t>(second % 7)});
        history.add(w);
        expected.merge(w);
        REQUIRE(history.windows().size() <= History::kMax);
        REQUIRE(history.windows().back().to_ns == w.to_ns);
    }
    CHECK(history.windows().size() > History::kMax / 4);
    CHECK(history.total() == expected);
    for (std::size_t i = 1; i < history.windows().size(); i++)
        CHECK(history.windows()[i].from_ns == history.windows()[i - 1].to_ns);
}

TEST_CASE("the total of no windows is an empty one", "[window_test]") {
    CHECK(History{}.total() == Window{});
}
