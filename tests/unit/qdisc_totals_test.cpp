// SPDX-License-Identifier: MIT
// Which users of a queue make a record: all who matter in one that is in trouble, few otherwise.
#include "signals/qdisc_totals.h"

#include <cstring>
#include <utility>
#include <vector>

#include "support/catch.h"
#include "support/event_builder.h"

using namespace culprit;
using namespace culprit::test;

namespace {

/// The maps of a kernel that never was.
class FakeMaps : public MapReader {
public:
    bool each(const char* map, const Each& each) const override {
        if (std::string_view(map) == "shares")
            for (const auto& [key, value] : shares)
                each(&key, reinterpret_cast<const std::byte*>(&value), 1, sizeof(value));
        return true;
    }
    bool put(const char*, const void*, const void*) const override {
        put_back++;
        return true;
    }
    bool erase(const char*, const void*) const override {
        erased++;
        return true;
    }
    bool run(const char*, const char*, const RecordSink&) const override { return false; }

    void add(const abi_owner& owner, std::uint64_t bytes, std::uint64_t wait_ns,
             const abi_flow& flow = {}) {
        qdisc_share_key key{};
        key.flow = flow;
        key.tgid = owner.tgid;
        key.start_ns = owner.start_ns;
        key.netns = kNetns;
        key.ifindex = 2;
        qdisc_share_value value{};
        value.owner = owner;
        value.bytes = bytes;
        value.timed = 1;
        value.sojourn_ns = value.sojourn_max_ns = wait_ns;
        shares.emplace_back(key, value);
    }

    std::vector<std::pair<qdisc_share_key, qdisc_share_value>> shares;
    mutable int put_back = 0, erased = 0;
};

std::vector<qdisc_share> take(const FakeMaps& maps) {
    std::vector<qdisc_share> taken;
    qdisc_totals()->take(maps, kSecondNs, [&](std::span<const std::byte> record) {
        REQUIRE(check_record(record));
        taken.push_back(value_at<qdisc_share>(record, 0));
    });
    return taken;
}

abi_flow flow_from(unsigned last) {
    return tcp_flow("192.0.2." + std::to_string(last), 5, "10.0.0.2", 80, 0, 0);
}

} // namespace

TEST_CASE("a healthy queue is told with the processes that have much of it",
          "[qdisc_totals_test]") {
    FakeMaps maps;
    maps.add(process("much", 1), 900, 1000);
    maps.add(process("little", 2), 50, 1000);
    maps.add(abi_owner{}, 500, 1000, flow_from(1));
    const auto shares = take(maps);
    REQUIRE(shares.size() == 2);
    CHECK(shares[0].owner.tgid == 1);
    CHECK(shares[1].owner.tgid == 0);
    CHECK_FALSE(shares[1].flow.family);
    CHECK(shares[1].bytes == 550);
    CHECK(shares[1].timed == 2);
    CHECK(shares[1].netns == kNetns);
}

TEST_CASE("a queue in which packets wait is told with all who matter", "[qdisc_totals_test]") {
    FakeMaps maps;
    maps.add(process("much", 1), 900, 50'000'000);
    maps.add(process("little", 2), 5, 60'000'000);
    maps.add(abi_owner{}, 50, 1000, flow_from(1));
    const auto shares = take(maps);
    REQUIRE(shares.size() == 3);
    CHECK(shares[0].owner.tgid == 1);
    CHECK(shares[1].flow.family == AF_INET);
    CHECK(shares[2].owner.tgid == 2);
}

TEST_CASE("however many share a queue, the records are few and the sum is whole",
          "[qdisc_totals_test]") {
    FakeMaps maps;
    for (unsigned i = 1; i <= 200; i++)
        maps.add(abi_owner{}, i, 50'000'000, flow_from(i));
    const auto shares = take(maps);
    CHECK(shares.size() == 17);
    std::uint64_t bytes = 0;
    for (const qdisc_share& share : shares)
        bytes += share.bytes;
    CHECK(bytes == 200 * 201 / 2);
    CHECK(shares.front().bytes == 200);
}

TEST_CASE("what was taken is deleted, the rest of a queue stays in the map",
          "[qdisc_totals_test]") {
    FakeMaps maps;
    maps.add(process("one", 1), 10, 1000);
    maps.add(abi_owner{}, 10, 1000);
    take(maps);
    CHECK(maps.erased == 1);
    CHECK(maps.put_back == 1);
}

TEST_CASE("an entry filled by two CPUs is the key's, not the owner's left in it",
          "[qdisc_totals_test]") {
    FakeMaps maps;
    maps.add(process("one", 1), 900, 1000);
    maps.shares[0].second.owner = process("another", 2);
    const auto shares = take(maps);
    REQUIRE(shares.size() == 1);
    CHECK(shares[0].owner.tgid == 1);
    CHECK(shares[0].owner.comm[0] == 0);
}
