// SPDX-License-Identifier: MIT
// One fixed record of each kind that `watch` shows, as text and as JSON, against tests/golden. When
// the change is meant, tools/golden.sh writes the files anew; then read their diff.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "present/present.h"
#include "support/catch.h"
#include "support/event_builder.h"
#include "support/fake_names.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr std::uint64_t kWhen = 3600 * kSecondNs + 123'456'789;
constexpr std::int64_t kWallOffset = 1'769'900'399'000'000'000; // kWhen is 2026-01-31T23:59:59.123Z
const std::string kFolder = CULPRIT_SOURCE_DIR "/tests/golden/";

template <typename Record>
std::vector<std::byte> copy(const Record& record) {
    const auto bytes = bytes_of(record);
    return {bytes.begin(), bytes.end()};
}

template <typename Record>
Record with_ends() {
    auto record = make<Record>(kWhen, 1);
    record.flow = tcp_flow("10.0.0.1", 40000, "192.0.2.7", 443);
    record.owner = process("curl", 4242);
    return record;
}

std::vector<std::byte> a_connect() {
    auto record = with_ends<connect_event>();
    record.latency_ns = 3'123'456'789;
    record.result = ABI_RESULT_ERROR;
    record.error = 111;
    record.syn_retransmits = 2;
    return copy(record);
}

std::vector<std::byte> a_close() {
    auto record = with_ends<close_event>();
    record.flow = tcp_flow("2001:db8::1", 443, "2001:db8::2", 50000, 4026532001, 3);
    record.owner = process("nginx\x1b[31m", 99, ABI_OWNER_LISTENER); // a hostile name
    record.established_ns = 61'500'000'000;
    record.closing_ns = 1'500'000;
    record.bytes_sent = 1'048'576;
    record.bytes_received = 512;
    record.segs_out = 800;
    record.segs_in = 420;
    record.retransmits = 12;
    record.answers = 1;
    record.answer_ns = 308'000'000;
    record.answered_late = 1;
    record.srtt_us = 23'456;
    record.min_rtt_us = 987;
    record.last_state = 9;
    record.role = ABI_ROLE_SERVER;
    record.closer = ABI_CLOSER_REMOTE;
    record.ending = ABI_ENDING_RESET_RECEIVED;
    record.error = 104;
    record.had_data = 1;
    record.service_port = 443;
    return copy(record);
}

std::vector<std::byte> a_retransmit() {
    auto record = with_ends<retransmit_event>();
    record.segs = 2;
    record.bytes = 2896;
    record.life_segs_out = 100;
    record.life_retransmits = 7;
    record.type = ABI_RETRANSMIT_RTO;
    record.seq = 0xdeadbeef;
    record.tcp_state = 1;
    record.ca_state = 4;
    record.attempts = 3;
    record.acked_bytes = 700;
    record.acked_segs = 2;
    record.sacked_segs = 1;
    record.heard_ns = 3600 * kSecondNs;
    record.mss = 1448;
    record.soft_error = 113;
    record.srtt_us = 45'000;
    record.cwnd = 1;
    return copy(record);
}

std::vector<std::byte> a_reset() {
    auto record = with_ends<reset_event>();
    record.owner = abi_owner{}; // answers a packet without a socket
    record.direction = ABI_SENT;
    record.reason = 2;
    record.reason_known = 1;
    return copy(record);
}

std::vector<std::byte> a_drop() {
    auto record = with_ends<drop_event>();
    record.location = kNfHook;
    record.bytes = 60;
    record.reason = 8;
    record.seq = 0x1234;
    record.ethertype = 0x0800;
    record.tcp_flags = 0x02;
    return copy(record);
}

std::vector<std::byte> a_drop_stack() {
    auto record = with_ends<drop_stack>();
    record.location = kNfHook;
    record.reason = 8;
    record.stack[0] = kNfHook;
    record.stack[1] = 0x1000;
    return copy(record);
}

std::vector<std::byte> a_qdisc() {
    auto record = with_ends<qdisc_event>();
    record.sojourn_ns = 250'000'000;
    record.backlog_bytes = 65'536;
    record.backlog_pkts = 44;
    record.handle = 0x10000;
    record.parent = 0xffffffff;
    std::memcpy(record.id, "tbf", 3);
    return copy(record);
}

std::vector<std::byte> a_nic() {
    auto record = make<nic_event>(kWhen, 1);
    record.netns = kNetns;
    record.ifindex = 2;
    record.type = ABI_NIC_REFUSED;
    record.result = 1;
    record.bytes = 1242;
    return copy(record);
}

std::vector<std::byte> a_neigh() {
    auto record = make<neigh_event>(kWhen, 1);
    record.owner = process("curl", 4242);
    record.type = ABI_NEIGH_FAILED;
    record.netns = kNetns;
    record.ifindex = 2;
    const abi_flow to = tcp_flow("10.0.0.1", 0, "10.0.0.254", 0);
    record.family = to.family;
    std::ranges::copy(to.remote, record.address);
    record.old_state = 1;
    record.new_state = 6;
    record.old_mac[0] = 0x52;
    record.old_mac[5] = 0x01;
    record.packets = 3;
    record.routed = 2;
    return copy(record);
}

std::vector<std::byte> a_dns() {
    auto record = with_ends<dns_event>();
    record.flow.remote_port = 53;
    record.flow.protocol = IPPROTO_UDP;
    record.latency_ns = 12'345'678;
    record.waited_ns = 5'012'345'678;
    record.retries = 1;
    record.name_hash = 0x617a2edc30ac8e3f;
    record.type = 28;
    record.rcode = 3;
    record.authoritative = 1;
    std::ranges::copy(std::string_view("\x03www\x08"
                                       "ex\x1b[2Jle\x00",
                                       14),
                      record.name);
    return copy(record);
}

std::vector<std::byte> a_listen() {
    auto record = with_ends<listen_event>();
    record.flow = tcp_flow("10.0.0.1", 8080, "0.0.0.0", 0);
    record.drops = 42;
    record.depth = 129;
    record.limit = 128;
    record.syn_depth = 7;
    record.full = 1;
    record.sockets = 1;
    return copy(record);
}

std::vector<std::byte> a_link() {
    auto record = make<link_event>(kWhen, 1);
    record.netns = kNetns;
    record.ifindex = 2;
    record.type = ABI_LINK_OFF;
    record.owner = process("ip", 4242);
    return copy(record);
}

std::vector<std::byte> an_icmp() {
    auto record = with_ends<icmp_event>();
    record.bytes = 1500;
    record.out_netns = kNetns;
    record.out_ifindex = 3;
    record.mtu = 1300;
    record.direction = ABI_SENT;
    record.type = 3;
    record.code = 4;
    record.path = ABI_PATH_FORWARD;
    return copy(record);
}

std::vector<std::byte> a_route() {
    auto record = with_ends<route_event>();
    record.error = ENETUNREACH;
    record.table = 254;
    record.via = ABI_ROUTE_CONNECT;
    return copy(record);
}

/// Empty when nobody wrote a record for a new kind yet.
std::vector<std::byte> fixed_record(const Kind& kind) {
    switch (kind.id) {
    case ABI_CONNECT:
        return a_connect();
    case ABI_CLOSE:
        return a_close();
    case ABI_RETRANSMIT:
        return a_retransmit();
    case ABI_RESET:
        return a_reset();
    case ABI_DROP:
        return a_drop();
    case ABI_DROP_STACK:
        return a_drop_stack();
    case ABI_QDISC:
        return a_qdisc();
    case ABI_NIC:
        return a_nic();
    case ABI_LISTEN:
        return a_listen();
    case ABI_LINK:
        return a_link();
    case ABI_ICMP:
        return an_icmp();
    case ABI_ROUTE:
        return a_route();
    case ABI_NEIGH:
        return a_neigh();
    case ABI_DNS:
        return a_dns();
    default:
        return {};
    }
}

void check_golden(const std::string& name, const std::string& got) {
    const std::string path = kFolder + name;
    if (std::getenv("CULPRIT_WRITE_GOLDEN")) {
        std::ofstream(path) << got;
        return;
    }
    std::ifstream file(path);
    std::stringstream wanted;
    wanted << file.rdbuf();
    CAPTURE(path);
    CHECK(got == wanted.str());
}

template <typename Check>
void for_each_event(const Check& check) {
    for (const Signal* signal : all_signals())
        for (const Kind* kind : signal->kinds)
            if (kind->event) {
                INFO("write a record of kind " << kind->name << " here");
                const auto record = fixed_record(*kind);
                REQUIRE(check_record(record) == kind);
                check(*kind, record);
            }
}

} // namespace

TEST_CASE("each kind of event reads as its golden text", "[golden_test]") {
    for_each_event([](const Kind& kind, const std::vector<std::byte>& record) {
        Style style;
        style.width = 120;
        check_golden(std::string(kind.name) + ".txt",
                     event_text(kind, record, fake_names(), kWallOffset, style));
    });
}

TEST_CASE("each kind of event reads as its golden JSON", "[golden_test]") {
    for_each_event([](const Kind& kind, const std::vector<std::byte>& record) {
        check_golden(std::string(kind.name) + ".json",
                     event_json(kind, record, fake_names(), kWallOffset));
    });
}

TEST_CASE("no golden file is left of a kind that is gone", "[golden_test]") {
    for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
        const std::string stem = entry.path().stem();
        CAPTURE(entry.path());
        REQUIRE(find_kind(std::string_view(stem)));
        CHECK(find_kind(std::string_view(stem))->event);
    }
}
