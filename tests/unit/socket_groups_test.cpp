// SPDX-License-Identifier: MIT
// Sockets that are alike are one row; however many there are, their sum is exact and their rows are
// bounded.
#include <netinet/tcp.h>

#include <algorithm>

#include "model/socket_groups.h"
#include "support/catch.h"
#include "support/event_builder.h"

using namespace culprit;
using namespace culprit::test;

namespace {

using Look = SocketGroups::Look;

socket_info socket_in(std::uint32_t state, const abi_flow& flow) {
    auto socket = make<socket_info>();
    socket.state = state;
    socket.flow = flow;
    socket.inode = 7;
    return socket;
}

socket_info client(std::uint16_t port, const std::string& to = "10.0.0.2") {
    auto socket = socket_in(TCP_ESTABLISHED, tcp_flow("10.0.0.1", port, to, 80));
    socket.owner = process("client", 42);
    socket.role = ABI_ROLE_CLIENT;
    return socket;
}

socket_info time_wait(const abi_flow& flow, std::uint64_t left_s) {
    auto socket = socket_in(TCP_TIME_WAIT, flow);
    socket.inode = 0;
    socket.timer = ABI_TIMER_TIME_WAIT;
    socket.timer_ns = left_s * kSecondNs;
    return socket;
}

std::uint64_t sum_of(const std::vector<socket_total>& rows) {
    std::uint64_t sum = 0;
    for (const socket_total& row : rows)
        sum += row.sockets;
    return sum;
}

} // namespace

TEST_CASE("clients of one process to one service are one row whatever their ports",
          "[socket_groups_test]") {
    SocketGroups groups(Look::kBegin, 0);
    for (std::uint16_t port = 40000; port < 40010; port++)
        groups.add(client(port));
    const auto rows = groups.rows();
    REQUIRE(rows.size() == 1);
    CHECK(check_record(bytes_of(rows[0])));
    CHECK(rows[0].sockets == 10);
    CHECK(rows[0].at_begin == 10);
    CHECK(rows[0].at_end == 0);
    CHECK(rows[0].flow.local_port == 0);
    CHECK(rows[0].flow.remote_port == 80);
    CHECK(rows[0].owner.tgid == 42);
    CHECK(rows[0].keeper == ABI_KEEPER_PROCESS);
}

TEST_CASE("the listener behind a port tells a server, else the port that is not ephemeral",
          "[socket_groups_test]") {
    SocketGroups groups(Look::kEnd, 0);
    Gauges limits;
    limits.set(gauge("ip_local_port_range.low"), 32768);
    limits.set(gauge("ip_local_port_range.high"), 60999);
    groups.set_limits(kNetns, limits);
    auto listener = socket_in(TCP_LISTEN, tcp_flow("10.0.0.1", 40000, "0.0.0.0", 0));
    listener.role = ABI_ROLE_LISTENER;
    groups.add(listener);
    groups.add(time_wait(tcp_flow("10.0.0.1", 40000, "10.0.0.2", 50000), 50));
    groups.add(time_wait(tcp_flow("10.0.0.1", 443, "10.0.0.2", 50000), 50));
    groups.add(time_wait(tcp_flow("10.0.0.1", 50000, "10.0.0.2", 443), 58));
    for (const socket_total& row : groups.rows()) {
        CAPTURE(row.flow.local_port, row.flow.remote_port);
        if (row.state == TCP_LISTEN)
            continue;
        CHECK(row.role == (row.flow.local_port ? ABI_ROLE_SERVER : ABI_ROLE_CLIENT));
        CHECK(row.keeper == ABI_KEEPER_TIMER);
        CHECK(row.oldest_ns == (row.flow.local_port ? 10 : 2) * kSecondNs);
        CHECK(row.aged == (row.flow.local_port ? 1 : 0));
    }
}

TEST_CASE("who waits for accept(), whom its process closed and who is held are told apart",
          "[socket_groups_test]") {
    SocketGroups groups(Look::kEnd, 9 * kSecondNs);
    const abi_flow flow = tcp_flow("10.0.0.1", 80, "10.0.0.2", 50000);
    auto held = socket_in(TCP_CLOSE_WAIT, flow), queued = held, orphan = held;
    for (socket_info* socket : {&held, &queued, &orphan})
        socket->role = ABI_ROLE_SERVER;
    held.state_ns = kSecondNs;
    queued.inode = orphan.inode = 0;
    orphan.state = TCP_FIN_WAIT1;
    orphan.send_queue = 1001;
    for (const socket_info& socket : {held, queued, orphan})
        groups.add(socket);
    const auto rows = groups.rows();
    REQUIRE(rows.size() == 3);
    for (const socket_total& row : rows) {
        if (row.keeper == ABI_KEEPER_PROCESS)
            CHECK(row.aged == 0);
        if (row.keeper != ABI_KEEPER_ORPHAN)
            continue;
        CHECK(row.unsent_bytes == 1000); // without the FIN
        CHECK(row.flow.remote[3] == 2);
        CHECK(row.oldest_ns == 9 * kSecondNs); // older than the run
    }
}

TEST_CASE("a connection half closed by its peer that still sends is not aged",
          "[socket_groups_test]") {
    SocketGroups groups(Look::kEnd, 9 * kSecondNs);
    auto socket = socket_in(TCP_CLOSE_WAIT, tcp_flow("10.0.0.1", 80, "10.0.0.2", 50000));
    groups.add(socket);
    socket.send_queue = 5000;
    groups.add(socket);
    std::uint64_t aged = 0;
    for (const socket_total& row : groups.rows())
        aged += row.aged;
    CHECK(aged == 1);
}

TEST_CASE(
    "a hundred thousand sockets to as many peers keep their owner, and are counted to the last",
    "[socket_groups_test]") {
    constexpr std::uint32_t kMany = 100'000;
    SocketGroups groups(Look::kEnd, 0);
    for (std::uint32_t i = 0; i < kMany; i++) {
        auto socket = client(40000);
        socket.flow.remote[1] = static_cast<std::uint8_t>(i >> 16);
        socket.flow.remote[2] = static_cast<std::uint8_t>(i >> 8);
        socket.flow.remote[3] = static_cast<std::uint8_t>(i);
        groups.add(socket);
    }
    const auto rows = groups.rows();
    CHECK(rows.size() <= SocketGroups::kRowsMax + 1);
    CHECK(sum_of(rows) == kMany);
    CHECK(std::ranges::all_of(rows, [](const auto& row) { return row.owner.tgid == 42; }));
}

TEST_CASE("what has no room even so is one row without who and where", "[socket_groups_test]") {
    constexpr std::uint32_t kMany = 20'000;
    SocketGroups groups(Look::kEnd, 0);
    for (std::uint32_t i = 0; i < kMany; i++) {
        auto socket = client(40000);
        socket.owner.tgid = i + 1;
        groups.add(socket);
    }
    const auto rows = groups.rows();
    REQUIRE(rows.size() == SocketGroups::kRowsMax + 1);
    CHECK(rows.back().state == 0);
    CHECK(rows.back().owner.tgid == 0);
    CHECK(sum_of(rows) == kMany);
    Window window;
    for (const socket_total& row : rows)
        window.fold(bytes_of(row));
    CHECK(window.lost[ABI_SOCKET_TOTAL].folded == 0);
}

TEST_CASE("two looks at the same group are one row with both numbers", "[socket_groups_test]") {
    Window window;
    for (const Look look : {Look::kBegin, Look::kEnd}) {
        SocketGroups groups(look, 0);
        for (int i = 0; i < (look == Look::kBegin ? 3 : 8); i++)
            groups.add(client(static_cast<std::uint16_t>(40000 + i)));
        for (const socket_total& row : groups.rows())
            window.fold(bytes_of(row));
    }
    const auto rows = window.rows<socket_total>(ABI_SOCKET_TOTAL);
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].record.at_begin == 3);
    CHECK(rows[0].record.at_end == 8);
    CHECK(rows[0].record.sockets == 8);
}

TEST_CASE("UDP sockets are not among them", "[socket_groups_test]") {
    SocketGroups groups(Look::kEnd, 0);
    auto socket = client(1);
    socket.flow.protocol = IPPROTO_UDP;
    groups.add(socket);
    CHECK(groups.rows().empty());
}
