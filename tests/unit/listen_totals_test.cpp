// SPDX-License-Identifier: MIT
// What looks at listening sockets become: growth, means, and connections that were taken out.
#include "signals/listen_totals.h"

#include <functional>
#include <map>
#include <vector>

#include "support/catch.h"
#include "support/event_builder.h"

using namespace culprit;
using namespace culprit::test;

namespace {

listen_value socket(std::uint64_t id) {
    listen_value value{};
    value.flow = tcp_flow("10.0.0.1", 80, "0.0.0.0", 0);
    value.since_ns = id;
    value.group_ns = 1;
    value.limit = 4;
    value.somaxconn = 128;
    value.max_syn_backlog = 64;
    value.syncookies = 1;
    value.sockets = 1;
    return value;
}

/// Two maps of a kernel that never was, and what is made of them.
class FakeMaps : public MapReader {
public:
    explicit FakeMaps(std::initializer_list<std::uint64_t> ids) {
        for (const std::uint64_t id : ids)
            listening.push_back(socket(id));
    }
    bool each(const char*, const Each& each) const override {
        for (const auto& [id, value] : ended)
            each(&id, reinterpret_cast<const std::byte*>(&value), 1, sizeof(value));
        return true;
    }
    bool put(const char*, const void*, const void*) const override { return false; }
    bool erase(const char*, const void* key) const override {
        return ended.erase(*static_cast<const std::uint64_t*>(key)) > 0;
    }
    bool run(const char*, const char*, const RecordSink& written) const override {
        if (!fails)
            written(std::as_bytes(std::span(listening)));
        return !fails;
    }

    std::unique_ptr<Totals> totals = listen_totals();
    bool fails = false;
    std::vector<listen_value> listening;
    mutable std::map<std::uint64_t, listen_value> ended;
};

std::vector<listen_total> take(FakeMaps& maps) {
    std::vector<listen_total> taken;
    maps.totals->take(maps, kSecondNs, [&](std::span<const std::byte> record) {
        REQUIRE(check_record(record));
        taken.push_back(value_at<listen_total>(record, 0));
    });
    return taken;
}

} // namespace

TEST_CASE("a listener without anything to say has no record", "[listen_totals_test]") {
    FakeMaps maps{1};
    CHECK(take(maps).empty());
}

TEST_CASE("accepted is what came in less what the queue grew by", "[listen_totals_test]") {
    FakeMaps maps{1};
    listen_value& value = maps.listening[0];
    value.depth_before = value.depth = 3; // older than culprit
    take(maps);
    value.established = 100;
    value.depth = value.peak = 5;
    auto taken = take(maps);
    REQUIRE(taken.size() == 1);
    CHECK(taken[0].established == 100);
    CHECK(taken[0].accepted == 98);
    value.depth = value.peak = 0;
    taken = take(maps);
    REQUIRE(taken.size() == 1);
    CHECK(taken[0].established == 0);
    CHECK(taken[0].accepted == 5);
}

TEST_CASE("looks give shares and means, the peak between them the largest depth",
          "[listen_totals_test]") {
    FakeMaps maps{1};
    maps.listening[0].depth = 5;
    maps.listening[0].peak = 5;
    maps.totals->look(maps);
    maps.listening[0].depth = 1;
    maps.listening[0].peak = 4;
    const auto taken = take(maps);
    REQUIRE(taken.size() == 1);
    CHECK(taken[0].looks == 2);
    CHECK(taken[0].looks_full == 1);
    CHECK(taken[0].depth_sum == 6);
    CHECK(taken[0].depth == 5);
    CHECK(taken[0].syn_limit == 4);
}

TEST_CASE("looks at a quiet listener thin out nothing, and are told after trouble",
          "[listen_totals_test]") {
    FakeMaps maps{1};
    for (int i = 0; i < 3; i++)
        CHECK(take(maps).empty());
    maps.listening[0].drops = 2;
    CHECK(take(maps).at(0).looks == 1);
    CHECK(take(maps).at(0).looks == 1);
}

TEST_CASE("a look that fails is no end of the listeners", "[listen_totals_test]") {
    FakeMaps maps{1};
    maps.listening[0].drops = 2;
    CHECK(take(maps).at(0).drops == 2);
    maps.fails = true;
    take(maps);
    maps.fails = false;
    maps.listening[0].drops = 3;
    CHECK(take(maps).at(0).drops == 1);
}

TEST_CASE("drops of before our time are left out and the counter may wrap",
          "[listen_totals_test]") {
    FakeMaps maps{1};
    maps.listening[0].drops_before = maps.listening[0].drops = 0xfffffff0U;
    CHECK(take(maps).empty());
    maps.listening[0].drops = 0x10;
    const auto taken = take(maps);
    REQUIRE(taken.size() == 1);
    CHECK(taken[0].drops == 0x20);
}

TEST_CASE("the last words of a listener that closed are counted once", "[listen_totals_test]") {
    FakeMaps maps{1};
    maps.listening[0].established = 10;
    CHECK(take(maps).at(0).accepted == 10);
    listen_value last = maps.listening[0];
    maps.listening.clear();
    last.established = 30;
    last.depth = 4;
    last.drops = 7;
    maps.ended[1] = last;
    const auto taken = take(maps);
    REQUIRE(taken.size() == 1);
    CHECK(taken[0].established == 20);
    CHECK(taken[0].accepted == 16); // those left in the queue were never accepted
    CHECK(taken[0].drops == 7);
    CHECK(maps.ended.empty());
    CHECK(take(maps).empty());
}

TEST_CASE("sockets of one address have a record each and one together", "[listen_totals_test]") {
    FakeMaps maps{1, 2};
    for (listen_value& value : maps.listening) {
        value.sockets = 2;
        value.established = 50;
    }
    maps.listening[1].depth = maps.listening[1].peak = 5;
    maps.listening[1].drops = 3;
    const auto taken = take(maps);
    REQUIRE(taken.size() == 2);
    CHECK(taken[0].scope == ABI_LISTEN_SOCKET);
    CHECK(taken[0].since_ns == 2);
    CHECK(taken[0].drops == 3);
    CHECK(taken[0].established == 0);
    CHECK(taken[1].scope == ABI_LISTEN_GROUP);
    CHECK(taken[1].established == 50);
    CHECK(taken[1].accepted == 45);
}
