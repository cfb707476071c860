// SPDX-License-Identifier: MIT
// The tables of every signal hold together: everything else trusts them.
#include <algorithm>
#include <cstring>
#include <set>
#include <string>

#include "signals/capture.h"
#include "support/catch.h"
#include "support/event_builder.h"

using namespace culprit;
using namespace culprit::test;

namespace {

std::vector<const Kind*> all_kinds() {
    std::vector<const Kind*> kinds;
    for (const Signal* signal : all_signals())
        kinds.insert(kinds.end(), signal->kinds.begin(), signal->kinds.end());
    return kinds;
}

/// For each byte of a record, how many of the parts have it.
template <typename Parts>
std::vector<int> coverage(const Kind& kind, const Parts& parts) {
    std::vector<int> times(kind.size);
    for (const auto& part : parts)
        for (std::size_t i = part.offset; i < part.offset + std::size_t{part.size}; i++)
            times.at(i)++;
    return times;
}

template <typename Parts>
void check_inside(const Kind& kind, const Parts& parts) {
    for (const auto& part : parts) {
        CHECK(part.size > 0);
        CHECK(part.offset >= sizeof(abi_head));
        CHECK(part.offset + part.size <= kind.size);
    }
}

std::size_t size_of(Type type) {
    switch (type) {
    case Type::kFlow:
        return sizeof(abi_flow);
    case Type::kOwner:
        return sizeof(abi_owner);
    case Type::kSymbol:
    case Type::kDurationNs:
        return 8;
    case Type::kDurationUs:
    case Type::kErrno:
    case Type::kRouteError:
    case Type::kTcpState:
    case Type::kDropReason:
    case Type::kResetReason:
    case Type::kNetns:
    case Type::kDevice:
        return 4;
    default:
        return 0; // any
    }
}

bool is_number(const Field& field) {
    return field.type != Type::kFlow && field.type != Type::kOwner && field.type != Type::kText &&
           field.type != Type::kHistogram && field.type != Type::kStack &&
           field.type != Type::kAddress && field.type != Type::kMac && field.type != Type::kDnsName;
}

} // namespace

TEST_CASE("every field and part lies inside its record, behind the head", "[signal_test]") {
    for (const Kind* kind : all_kinds()) {
        CAPTURE(kind->name);
        check_inside(*kind, kind->fields);
        check_inside(*kind, kind->key);
        check_inside(*kind, kind->sums);
        check_inside(*kind, kind->maxima);
    }
}

TEST_CASE("no two fields share a byte", "[signal_test]") {
    for (const Kind* kind : all_kinds()) {
        CAPTURE(kind->name);
        for (const int times : coverage(*kind, kind->fields))
            CHECK(times <= 1);
    }
}

TEST_CASE("a byte is key, sum or maximum, once", "[signal_test]") {
    for (const Kind* kind : all_kinds()) {
        CAPTURE(kind->name);
        std::vector<Part> parts(kind->key.begin(), kind->key.end());
        parts.insert(parts.end(), kind->sums.begin(), kind->sums.end());
        parts.insert(parts.end(), kind->maxima.begin(), kind->maxima.end());
        for (const int times : coverage(*kind, parts))
            CHECK(times <= 1);
    }
}

TEST_CASE("key, sums and maxima are bytes that a field shows", "[signal_test]") {
    for (const Kind* kind : all_kinds()) {
        const auto shown = coverage(*kind, kind->fields);
        for (const auto& parts : {kind->key, kind->sums, kind->maxima})
            for (const Part& part : parts) {
                CAPTURE(kind->name, part.offset);
                CHECK(std::all_of(shown.begin() + part.offset,
                                  shown.begin() + part.offset + part.size,
                                  [](int times) { return times == 1; }));
            }
    }
}

TEST_CASE("sums and maxima are whole words", "[signal_test]") {
    for (const Kind* kind : all_kinds())
        for (const auto& parts : {kind->sums, kind->maxima})
            for (const Part& part : parts) {
                CAPTURE(kind->name, part.offset);
                CHECK(part.size % 8 == 0);
                CHECK(part.offset % 8 == 0);
            }
}

TEST_CASE("every field has the size that its type needs", "[signal_test]") {
    for (const Kind* kind : all_kinds())
        for (const Field& field : kind->fields) {
            CAPTURE(kind->name, field.name);
            if (const std::size_t size = size_of(field.type))
                CHECK(field.size == size);
            if (is_number(field))
                CHECK((field.size == 1 || field.size == 2 || field.size == 4 || field.size == 8));
            if (field.type == Type::kHistogram || field.type == Type::kStack)
                CHECK(field.size % 8 == 0);
            CHECK((field.type == Type::kNamed) == !field.names.empty());
            CHECK(*field.name);
            CHECK(*field.help);
        }
}

TEST_CASE("a device stands behind its namespace and a reset reason before its validity",
          "[signal_test]") {
    for (const Kind* kind : all_kinds())
        for (const Field& field : kind->fields) {
            CAPTURE(kind->name, field.name);
            const auto is_at = [&](std::size_t offset, Type type) {
                return std::ranges::any_of(kind->fields, [&](const Field& f) {
                    return f.offset == offset && f.type == type && f.size == 4;
                });
            };
            if (field.type == Type::kDevice)
                CHECK(is_at(field.offset - 4UL, Type::kNetns));
            if (field.type == Type::kResetReason)
                CHECK(is_at(field.offset + 4UL, Type::kNumber));
        }
}

TEST_CASE("field names are unique within a kind and none is a name that recordings use",
          "[signal_test]") {
    for (const Kind* kind : all_kinds()) {
        std::set<std::string> names = {"count", "when_ns", "cpu", "first_ns", "last_ns", "kind"};
        for (const Field& field : kind->fields) {
            CAPTURE(kind->name, field.name);
            CHECK(names.insert(field.name).second);
        }
    }
}

TEST_CASE("kinds and signals are found by their unique ids and names", "[signal_test]") {
    std::set<std::uint32_t> ids;
    std::set<std::string> kinds, signals;
    for (const Kind* kind : all_kinds()) {
        CAPTURE(kind->name);
        CHECK(ids.insert(kind->id).second);
        CHECK(kinds.insert(kind->name).second);
        CHECK(kind->id > ABI_KIND_NONE);
        CHECK(kind->id < ABI_KIND_LIMIT);
        CHECK(find_kind(kind->id) == kind);
        CHECK(find_kind(std::string_view(kind->name)) == kind);
        REQUIRE(signal_of(*kind));
        CHECK(std::ranges::count(signal_of(*kind)->kinds, kind) == 1);
    }
    for (const Signal* signal : all_signals())
        CHECK(signals.insert(signal->name).second);
    CHECK_FALSE(find_kind(ABI_KIND_NONE));
    CHECK_FALSE(find_kind(ABI_KIND_LIMIT));
    CHECK_FALSE(find_kind(std::string_view("")));
}

TEST_CASE("each kind is as large as its record", "[signal_test]") {
    const auto size_of_kind = [](std::uint32_t id) {
        return find_kind(id) ? find_kind(id)->size : 0U;
    };
    CHECK(size_of_kind(ABI_CONNECT) == sizeof(connect_event));
    CHECK(size_of_kind(ABI_CLOSE) == sizeof(close_event));
    CHECK(size_of_kind(ABI_RETRANSMIT) == sizeof(retransmit_event));
    CHECK(size_of_kind(ABI_RESET) == sizeof(reset_event));
    CHECK(size_of_kind(ABI_DROP) == sizeof(drop_event));
    CHECK(size_of_kind(ABI_DROP_TOTAL) == sizeof(drop_total));
    CHECK(size_of_kind(ABI_QDISC) == sizeof(qdisc_event));
    CHECK(size_of_kind(ABI_QDISC_TOTAL) == sizeof(qdisc_total));
    CHECK(size_of_kind(ABI_QDISC_SHARE) == sizeof(qdisc_share));
    CHECK(size_of_kind(ABI_QDISC_STATS) == sizeof(qdisc_stats));
    CHECK(size_of_kind(ABI_NIC) == sizeof(nic_event));
    CHECK(size_of_kind(ABI_NIC_TOTAL) == sizeof(nic_total));
    CHECK(size_of_kind(ABI_SOCKET) == sizeof(socket_info));
    CHECK(size_of_kind(ABI_LISTEN) == sizeof(listen_event));
    CHECK(size_of_kind(ABI_LISTEN_TOTAL) == sizeof(listen_total));
    CHECK(size_of_kind(ABI_SOCKET_TOTAL) == sizeof(socket_total));
    CHECK(size_of_kind(ABI_DROP_STACK) == sizeof(drop_stack));
    CHECK(size_of_kind(ABI_RULE_TOTAL) == sizeof(rule_total));
    CHECK(size_of_kind(ABI_LINK) == sizeof(link_event));
    CHECK(size_of_kind(ABI_LINK_TOTAL) == sizeof(link_total));
    CHECK(size_of_kind(ABI_LINK_STAT) == sizeof(link_stat));
    CHECK(size_of_kind(ABI_ICMP) == sizeof(icmp_event));
    CHECK(size_of_kind(ABI_ICMP_TOTAL) == sizeof(icmp_total));
}

TEST_CASE("every signal has a question, a program and hooks that fit its configuration",
          "[signal_test]") {
    for (const Signal* signal : all_signals()) {
        CAPTURE(signal->name);
        CHECK(*signal->question);
        if (!signal->elf) { // it asks the kernel
            CHECK(signal->reader != nullptr);
            CHECK(signal->hooks.empty());
            continue;
        }
        CHECK(signal->elf().size() > 64);
        CHECK(std::memcmp(signal->elf().data(),
                          "\x7f"
                          "ELF",
                          4) == 0);
        CHECK(signal->hooks.size() <= ABI_HOOKS_MAX);
        CHECK((signal->reader || std::ranges::any_of(signal->hooks, &Hook::required)));
        for (const Hook& hook : signal->hooks)
            CHECK((hook.required || *hook.without));
        const bool has_totals = std::ranges::any_of(
            signal->kinds, [](const Kind* kind) { return !kind->event && !kind->sums.empty(); });
        if (signal->totals || signal->reader)
            CHECK(has_totals);
    }
}

TEST_CASE("a whole record is accepted as its kind", "[signal_test]") {
    for (const Kind* kind : all_kinds())
        CHECK(check_record(filled_record(*kind, kSecondNs, [] { return 0; })) == kind);
}

TEST_CASE("a short, a long and an unknown record is refused", "[signal_test]") {
    for (const Kind* kind : all_kinds()) {
        CAPTURE(kind->name);
        auto record = filled_record(*kind, kSecondNs, [] { return 0; });
        for (std::size_t size = 0; size < record.size(); size++)
            REQUIRE_FALSE(check_record(std::span(record).first(size)));
        auto longer = record;
        longer.resize(longer.size() + 8);
        CHECK_FALSE(check_record(longer));
        abi_head head = head_of(record);
        head.size_bytes--;
        std::memcpy(record.data(), &head, sizeof(head));
        CHECK_FALSE(check_record(record));
        head = {kSecondNs, ABI_KIND_LIMIT, kind->size, 0};
        std::memcpy(record.data(), &head, sizeof(head));
        CHECK_FALSE(check_record(record));
        head.kind = ABI_KIND_NONE;
        std::memcpy(record.data(), &head, sizeof(head));
        CHECK_FALSE(check_record(record));
    }
}

TEST_CASE("the bytes of one kind are refused as another of a different size", "[signal_test]") {
    auto record = make<drop_event>();
    record.head.kind = ABI_CLOSE;
    CHECK_FALSE(check_record(bytes_of(record)));
}

TEST_CASE("a per-CPU value is the sum over the CPUs, stride by stride", "[signal_test]") {
    const std::uint64_t values[] = {1, 2, 999, 10, 20, 999};
    const auto sum = sum_percpu<nic_polls>(reinterpret_cast<const std::byte*>(values), 2, 24);
    CHECK(sum.polls == 11);
    CHECK(sum.packets == 22);
}
