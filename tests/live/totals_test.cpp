// SPDX-License-Identifier: MIT
// Do the records add up to what the kernel itself counts?
#include <algorithm>

#include "abi/connection.h"
#include "abi/retransmit.h"
#include "support/catch.h"
#include "support/run.h"
#include "support/saved.h"
#include "support/traffic.h"
#include "support/witness.h"

using namespace culprit;
using namespace culprit::test;

namespace {

/// Records of one kind in one namespace.
template <typename Record>
std::uint64_t count(const Window& window, std::uint32_t kind, std::uint32_t netns) {
    std::uint64_t sum = 0;
    for (const auto& [record, info] : window.rows<Record>(kind))
        if (record.flow.netns == netns)
            sum += info.count;
    return sum;
}

} // namespace

TEST_CASE("ten thousand connections give as many records as the kernel counts", "[totals_test]") {
    constexpr std::size_t kCount = 10'000;
    const WiredNs ns;
    const SaveFile save;
    const Server server(ns.b, "ct-server", Serve::kEcho, ns.b.v4);
    Culprit culprit = diagnose({"--for", "1h", "--save", save.path(), "--addr", ns.b.v4});
    culprit.wait_until_watching();
    const Counters a = ns.a.counters(), b = ns.b.counters();
    Child client(ns.a.path(), "ct-many", [&](const Tell&) {
        short_connections(ns.b.v4, server.port(), kCount);
        return 0;
    });
    REQUIRE(client.wait(60) == 0);
    const Counters grew_a = growth(ns.a.counters(), a), grew_b = growth(ns.b.counters(), b);
    REQUIRE(grew_a[counter("Tcp.ActiveOpens")] == kCount);
    culprit.stop();
    const Window window = save.total();
    for (const auto& [kind, lost] : window.lost) {
        INFO(find_kind(kind)->name);
        CHECK(lost.ring_full == 0);
        CHECK(lost.map_full == 0);
    }
    const std::uint32_t in_a = ns.a.inum(), in_b = ns.b.inum();
    CHECK(count<connect_event>(window, ABI_CONNECT, in_a) == grew_a[counter("Tcp.ActiveOpens")]);
    CHECK(count<close_event>(window, ABI_CLOSE, in_a) == kCount);
    CHECK(count<close_event>(window, ABI_CLOSE, in_b) == grew_b[counter("Tcp.PassiveOpens")]);
}

TEST_CASE("the last words of watch account for every event the hooks met", "[totals_test]") {
    constexpr std::size_t kCount = 1000;
    const WiredNs ns;
    const Server server(ns.b, "ct-server", Serve::kEcho, ns.b.v4);
    Culprit culprit = watch({"connect", "close", "--addr", ns.b.v4});
    culprit.wait_until_watching();
    ns.a.in([&] { short_connections(ns.b.v4, server.port(), kCount); });
    CHECK(eventually([&] { return std::ranges::count(culprit.out(), '\n') >= long{3 * kCount}; }));
    CHECK(culprit.stop() == 0);
    const Json summary = culprit.lines().back();
    REQUIRE(summary["kind"] == "summary");
    CHECK(summary["lost"] == 0);
    CHECK(summary["limited"] == 0);
    CHECK(summary["kinds"]["connect"]["shown"] == kCount);
    CHECK(summary["kinds"]["close"]["shown"] == 2 * kCount);
    for (const Json& kind : summary["kinds"])
        CHECK(kind["seen"] ==
              kind["shown"].get<std::uint64_t>() + kind["filtered"].get<std::uint64_t>());
}

TEST_CASE("a diagnosis explains every retransmission, reset and failed attempt the kernel counted",
          "[totals_test]") {
    const WiredNs ns;
    const Server echo(ns.b, "ct-echo", Serve::kEcho, ns.b.v4);
    const Server sink(ns.b, "ct-sink", Serve::kSink, ns.b.v4);
    const Server resets(ns.b, "ct-resets", Serve::kReset, ns.b.v4);
    const SaveFile save;
    const Witness witness("tcp/tcp_retransmit_skb", fmt::format("dport == {}", sink.port()));
    Culprit culprit = diagnose({"--for", "1h", "--save", save.path()});
    culprit.wait_until_watching();
    const Counters a = ns.a.counters(), b = ns.b.counters();
    Child client(ns.a.path(), "ct-mixed", [&](const Tell&) {
        short_connections(ns.b.v4, echo.port(), 200);
        for (int i = 0; i < 50; i++)
            try_connect(ns.b.v4, 9, 1);
        for (int i = 0; i < 50; i++) {
            const UniqueFd fd = connect_to(ns.b.v4, resets.port());
            send_bytes(fd.get(), 100);
            char byte = 0;
            while (::recv(fd.get(), &byte, 1, 0) > 0) {
            }
        }
        return 0;
    });
    REQUIRE(client.wait() == 0);
    ns.b.nft("input", fmt::format("tcp dport {} numgen inc mod 20 == 7 drop", sink.port()));
    Child bulk(ns.a.path(), "ct-bulk", [&](const Tell&) {
        bulk_for(ns.b.v4, sink.port(), 2);
        return 0;
    });
    REQUIRE(bulk.wait() == 0);
    const Counters grew_a = growth(ns.a.counters(), a), grew_b = growth(ns.b.counters(), b);
    culprit.stop();
    // a firing of the hook that no program was run for is a train of at most 45 segments
    std::uint64_t seen = 0;
    const Window window = save.total();
    for (const auto& [event, info] : window.rows<retransmit_event>(ABI_RETRANSMIT))
        if (event.flow.netns == ns.a.inum() && event.flow.remote_port == sink.port())
            seen += info.count;
    const std::uint64_t skipped = witness.skipped(seen);
    INFO(skipped << " firings skipped");
    const Json verdict = Json::parse(culprit.out());
    std::map<std::pair<std::uint32_t, std::string>, Json> rows;
    for (const Json& row : verdict["reconciliation"])
        if (row["netns"] == ns.a.inum() || row["netns"] == ns.b.inum()) {
            INFO(row.dump());
            const std::int64_t most =
                row["counter"] == "Tcp.RetransSegs" ? 45 * static_cast<std::int64_t>(skipped) : 0;
            CHECK(row["unexplained"] >= 0);
            CHECK(row["unexplained"] <= most);
            rows[{row["netns"], row["counter"]}] = row;
        }
    CHECK(rows[{ns.a.inum(), "Tcp.RetransSegs"}]["kernel"] == grew_a[counter("Tcp.RetransSegs")]);
    CHECK(rows[{ns.a.inum(), "Tcp.AttemptFails"}]["kernel"] == 50);
    CHECK(rows[{ns.b.inum(), "Tcp.OutRsts"}]["kernel"] == grew_b[counter("Tcp.OutRsts")]);
    CHECK(grew_b[counter("Tcp.OutRsts")] >= 100);
    CHECK(verdict["lost"]["events"] == 0);
}
