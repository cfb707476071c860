// SPDX-License-Identifier: MIT
// Are sockets added up exactly, are the worst rows kept, and is everything bounded?
#include "model/inventory.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "detect/pool.h"
#include "detect/thresholds.h"
#include "support/catch.h"
#include "support/event_builder.h"

using namespace culprit;
using namespace culprit::test;

namespace {

socket_info tcp(std::uint32_t state, std::uint16_t local_port, std::uint16_t remote_port) {
    auto socket = make<socket_info>();
    socket.flow = tcp_flow("10.0.0.1", local_port, remote_port ? "192.0.2.7" : "0.0.0.0",
                           remote_port, kNetns, 0);
    socket.state = state;
    socket.owner = process("app", 42);
    return socket;
}

socket_info udp(std::uint16_t local_port) {
    socket_info socket = tcp(TCP_CLOSE, local_port, 0);
    socket.flow.protocol = IPPROTO_UDP;
    return socket;
}

Inventory pool_of(std::uint32_t state, std::size_t count, std::size_t established) {
    Inventory inventory;
    for (std::size_t i = 0; i < count; i++)
        inventory.add(tcp(state, 40000, 80));
    for (std::size_t i = 0; i < established; i++)
        inventory.add(tcp(TCP_ESTABLISHED, 40000, 80));
    return inventory;
}

std::vector<std::string> ids_of(const Inventory& inventory) {
    std::vector<std::string> ids;
    for (const PoolIssue& issue : pool_issues(inventory))
        ids.push_back(issue.id);
    return ids;
}

} // namespace

TEST_CASE("the states add up to the number of TCP sockets", "[inventory_test]") {
    Inventory inventory;
    for (std::uint32_t state = 1; state < kTcpStates; state++)
        inventory.add(tcp(state, 80, 1));
    inventory.add(udp(53));
    CHECK(inventory.sockets() == kTcpStates);
    CHECK(inventory.tcp.sockets == kTcpStates - 1);
    CHECK(inventory.udp.sockets == 1);
    CHECK(inventory.tcp_connections() == kTcpStates - 2);
    for (std::uint32_t state = 1; state < kTcpStates; state++)
        CHECK(inventory.in_state(state) == 1);
    CHECK(failing(inventory.tcp) == std::size(kFailingStates));
}

TEST_CASE("a connection to a listening port belongs to this host's service", "[inventory_test]") {
    Inventory inventory;
    inventory.add(tcp(TCP_LISTEN, 80, 0));
    inventory.add(tcp(TCP_ESTABLISHED, 80, 50000));
    inventory.add(tcp(TCP_TIME_WAIT, 80, 50001));
    inventory.add(tcp(TCP_ESTABLISHED, 50002, 443));
    socket_info accepted = tcp(TCP_ESTABLISHED, 8080, 50003); // its listener is gone
    accepted.role = ABI_ROLE_SERVER;
    inventory.add(accepted);
    const auto row = [&](std::uint16_t port, std::uint8_t here) {
        return inventory.ports.at({kNetns, port, IPPROTO_TCP, here});
    };
    CHECK(row(80, 1).sockets == 3);
    CHECK(row(80, 1).owner.tgid == 42);
    CHECK_FALSE(row(80, 1).shared);
    CHECK(row(443, 0).sockets == 1);
    CHECK(row(8080, 1).sockets == 1);
    CHECK(inventory.ports.size() == 3);
}

TEST_CASE("two processes on one port are both said", "[inventory_test]") {
    Inventory inventory;
    inventory.add(tcp(TCP_LISTEN, 80, 0));
    socket_info other = tcp(TCP_LISTEN, 80, 0);
    other.owner = process("other", 43);
    inventory.add(other);
    CHECK(inventory.ports.at({kNetns, 80, IPPROTO_TCP, 1}).shared);
}

TEST_CASE("round trips are averaged over the sockets that have one", "[inventory_test]") {
    Inventory inventory;
    for (const std::uint32_t srtt : {0U, 300U, 100U}) {
        socket_info socket = tcp(TCP_ESTABLISHED, 40000, 80);
        socket.srtt_us = srtt;
        inventory.add(socket);
    }
    CHECK(inventory.tcp.rtt_min_us == 100);
    CHECK(inventory.tcp.mean_rtt_us() == 200);
    CHECK(Sums{}.mean_rtt_us() == 0);
}

TEST_CASE("the worst rows are kept when there are more than fit", "[inventory_test]") {
    Inventory inventory;
    for (std::uint32_t i = 0; i < 2 * Worst::kRowsMax; i++) {
        socket_info socket = tcp(TCP_ESTABLISHED, 40000, 80);
        socket.retransmits = i * 7919 % (2 * Worst::kRowsMax); // each number once, in no order
        inventory.add(socket);
    }
    const auto rows = inventory.connections.sorted();
    REQUIRE(rows.size() == Worst::kRowsMax);
    CHECK(inventory.connections.met() == 2 * Worst::kRowsMax);
    for (std::uint32_t i = 0; i < rows.size(); i++)
        REQUIRE(rows[i].retransmits == 2 * Worst::kRowsMax - 1 - i);
}

TEST_CASE("further keys are summed up together", "[inventory_test]") {
    constexpr std::size_t kPeers = Tally<PeerKey, Sums>::kKeysMax + 10;
    Inventory inventory;
    for (std::size_t i = 0; i < 2 * kPeers; i++) {
        socket_info socket = tcp(TCP_ESTABLISHED, 80, 40000);
        const auto number = static_cast<std::uint32_t>(i % kPeers);
        std::memcpy(socket.flow.remote, &number, sizeof(number));
        inventory.add(socket);
    }
    CHECK(inventory.peers.size() == Tally<PeerKey, Sums>::kKeysMax);
    CHECK(inventory.peers.other.sockets == 20);
    std::uint64_t sockets = inventory.peers.other.sockets;
    for (const auto& [key, sums] :
         inventory.peers.ranked([](const Sums& s) { return s.sockets; })) {
        CHECK(sums.sockets == 2);
        sockets += sums.sockets;
    }
    CHECK(sockets == inventory.sockets());
}

TEST_CASE("listeners that overflow come first, connections left open before others",
          "[inventory_test]") {
    Inventory inventory;
    socket_info dropped = tcp(TCP_LISTEN, 1, 0), full = tcp(TCP_LISTEN, 2, 0);
    dropped.drops = 1000;
    dropped.accept_limit = 128;
    full.accept_limit = 4;
    full.accept_queue = 5;
    inventory.add(dropped);
    inventory.add(full);
    CHECK(inventory.listeners.sorted().front().flow.local_port == 2);

    socket_info busy = tcp(TCP_ESTABLISHED, 3, 80), old = tcp(TCP_CLOSE_WAIT, 4, 80),
                fresh = tcp(TCP_CLOSE_WAIT, 5, 80);
    busy.retransmits = 1000;
    old.quiet_ns = 90 * kSecondNs;
    fresh.state_ns = 2 * kSecondNs;
    for (const socket_info& socket : {busy, fresh, old})
        inventory.add(socket);
    const auto rows = inventory.connections.sorted();
    CHECK(rows[0].flow.local_port == 4);
    CHECK(rows[1].flow.local_port == 5);
    CHECK(rows[2].flow.local_port == 3);
}

TEST_CASE("queues hold what is not read or sent, and UDP sockets that dropped",
          "[inventory_test]") {
    Inventory inventory;
    inventory.add(udp(1));
    inventory.add(tcp(TCP_ESTABLISHED, 2, 80));
    socket_info lossy = udp(3), sending = tcp(TCP_ESTABLISHED, 4, 80);
    lossy.drops = 5;
    sending.send_queue = 1000;
    inventory.add(lossy);
    inventory.add(sending);
    const auto rows = inventory.queues.sorted();
    REQUIRE(rows.size() == 2);
    CHECK(rows[0].flow.local_port == 4);
    CHECK(rows[1].flow.local_port == 3);
}

TEST_CASE("the pool's issues begin just above their limits", "[inventory_test]") {
    using namespace threshold;
    CHECK(ids_of(pool_of(TCP_TIME_WAIT, 300, 700)).empty());
    CHECK(ids_of(pool_of(TCP_TIME_WAIT, 301, 699)) == std::vector<std::string>{"time-wait-share"});
    CHECK(ids_of(pool_of(TCP_CLOSE_WAIT, 1000, 9000)).empty());
    CHECK(ids_of(pool_of(TCP_CLOSE_WAIT, 1001, 9999)) ==
          std::vector<std::string>{"close-wait-count"});
    CHECK(ids_of(pool_of(TCP_SYN_SENT, 101, 899)) == std::vector<std::string>{"failing-share"});
    CHECK(ids_of(pool_of(TCP_ESTABLISHED, 50'000, 0)).empty());
    CHECK(ids_of(pool_of(TCP_ESTABLISHED, 50'001, 0)) ==
          std::vector<std::string>{"connection-count"});
    CHECK(ids_of(pool_of(TCP_TIME_WAIT, kPoolSmall - 1, 0)).empty()); // a share of few is chance
}
