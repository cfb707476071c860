// SPDX-License-Identifier: MIT
// Records without an owner get the one of their socket when there is no doubt, and stay unknown
// otherwise.
#include "model/owner_fill.h"
#include "support/catch.h"
#include "support/event_builder.h"

using namespace culprit;
using namespace culprit::test;

namespace {

const abi_flow kFlow = tcp_flow("10.0.0.1", 80, "10.0.0.2", 50000);

void add_retransmit(Window& window, const abi_flow& flow, const abi_owner& owner) {
    auto again = make<retransmit_event>();
    again.flow = flow;
    again.owner = owner;
    again.segs = 1;
    window.fold(bytes_of(again));
}

void add_socket(Window& window, const abi_owner& owner, std::uint64_t inode = 7) {
    auto socket = make<socket_info>();
    socket.flow = kFlow;
    socket.flow.ifindex = 0; // not bound to a device
    socket.owner = owner;
    socket.inode = inode;
    window.fold(bytes_of(socket));
}

std::uint32_t pid_of(const Window& window) {
    const auto rows = window.rows<retransmit_event>(ABI_RETRANSMIT);
    REQUIRE(rows.size() == 1);
    return rows[0].record.owner.tgid;
}

} // namespace

TEST_CASE("a record without an owner gets the holder of the socket with its flow",
          "[owner_fill_test]") {
    Window window;
    add_retransmit(window, kFlow, abi_owner{});
    add_socket(window, process("worker", 42, ABI_OWNER_HOLDER));
    fill_unknown_owners(window);
    CHECK(pid_of(window) == 42);
    const auto rows = window.rows<retransmit_event>(ABI_RETRANSMIT);
    CHECK(rows[0].record.owner.provenance == ABI_OWNER_HOLDER);
    CHECK(rows[0].info.count == 1);
}

TEST_CASE("an owner that is known stays", "[owner_fill_test]") {
    Window window;
    add_retransmit(window, kFlow, process("reader", 9, ABI_OWNER_READER));
    add_socket(window, process("worker", 42, ABI_OWNER_HOLDER));
    fill_unknown_owners(window);
    CHECK(pid_of(window) == 9);
}

TEST_CASE("two sockets with one flow, another flow or no owner leave it unknown",
          "[owner_fill_test]") {
    Window two, other, none;
    for (Window* window : {&two, &none})
        add_retransmit(*window, kFlow, abi_owner{});
    add_retransmit(other, tcp_flow("10.0.0.1", 80, "10.0.0.2", 50001), abi_owner{});
    add_socket(two, process("one", 1));
    add_socket(two, process("two", 2), 8);
    add_socket(other, process("one", 1));
    add_socket(none, abi_owner{});
    for (Window* window : {&two, &other, &none}) {
        fill_unknown_owners(*window);
        CHECK(pid_of(*window) == 0);
    }
}

TEST_CASE("rows that become equal are one, and nothing is lost", "[owner_fill_test]") {
    Window window;
    add_retransmit(window, kFlow, abi_owner{});
    add_retransmit(window, kFlow, process("worker", 42, ABI_OWNER_HOLDER));
    add_socket(window, process("worker", 42, ABI_OWNER_HOLDER));
    fill_unknown_owners(window);
    CHECK(pid_of(window) == 42);
    CHECK(window.rows<retransmit_event>(ABI_RETRANSMIT)[0].record.segs == 2);
}

TEST_CASE("only flows without an owner are asked for", "[owner_fill_test]") {
    Window window;
    add_retransmit(window, kFlow, abi_owner{});
    const abi_flow known = tcp_flow("10.0.0.1", 80, "10.0.0.2", 50001);
    add_retransmit(window, known, process("reader", 9));
    UnknownFlows flows;
    CHECK(flows.empty());
    flows.add(window);
    CHECK(flows.contains(kFlow));
    CHECK_FALSE(flows.contains(known));
}

namespace {

/// A dropped datagram of one sender; the cgroup says that its socket was known.
void add_drop(Window& window, const abi_owner& owner, std::uint32_t reason = 5) {
    auto drop = make<drop_event>();
    drop.flow = kFlow;
    drop.flow.protocol = IPPROTO_UDP;
    drop.owner = owner;
    drop.reason = reason;
    window.fold(bytes_of(drop));
}

std::vector<std::uint32_t> pids_of(const Window& window) {
    std::vector<std::uint32_t> pids;
    for (const auto& row : window.rows<drop_event>(ABI_DROP))
        pids.push_back(row.record.owner.tgid);
    return pids;
}

} // namespace

TEST_CASE("datagrams alike but for a known owner have the same one", "[owner_fill_test]") {
    Window window;
    add_drop(window, abi_owner{});
    add_drop(window, process("sender", 42, ABI_OWNER_WRITER));
    fill_unknown_owners(window);
    CHECK(pids_of(window) == std::vector<std::uint32_t>{42});
}

TEST_CASE("datagrams dropped elsewhere, or of two processes, stay without owner",
          "[owner_fill_test]") {
    Window elsewhere, two;
    add_drop(elsewhere, abi_owner{}, 5);
    add_drop(elsewhere, process("reader", 42, ABI_OWNER_READER), 6);
    fill_unknown_owners(elsewhere);
    CHECK(pids_of(elsewhere) == std::vector<std::uint32_t>{0, 42});
    add_drop(two, abi_owner{});
    add_drop(two, process("one", 1));
    add_drop(two, process("two", 2));
    fill_unknown_owners(two);
    CHECK(pids_of(two) == std::vector<std::uint32_t>{0, 1, 2});
}

TEST_CASE("another walk is worth it for a socket without owner only", "[owner_fill_test]") {
    Window window;
    CHECK_FALSE(has_unowned_sockets(window));
    abi_owner nobody{};
    add_drop(window, nobody); // a stray: no socket either
    add_drop(window, process("sender", 42));
    CHECK_FALSE(has_unowned_sockets(window));
    nobody.cgroup_id = 1;
    add_drop(window, nobody);
    CHECK(has_unowned_sockets(window));
}

TEST_CASE("what is forwarded is its sender's, unless two namespaces have such a socket",
          "[owner_fill_test]") {
    const auto forwarded_by = [](Window& window) {
        auto share = make<qdisc_share>();
        share.flow = kFlow;
        share.flow.netns = 0;
        share.netns = kNetns + 1;
        window.fold(bytes_of(share));
        UnknownFlows flows;
        flows.add(window);
        CHECK(flows.contains(kFlow));
        fill_unknown_owners(window);
        return window.rows<qdisc_share>(ABI_QDISC_SHARE).at(0).record.owner.tgid;
    };
    Window one, two;
    add_socket(one, process("sender", 42));
    CHECK(forwarded_by(one) == 42);
    add_socket(two, process("sender", 42));
    auto other = make<socket_info>();
    other.flow = kFlow;
    other.flow.netns = kNetns + 2;
    other.owner = process("namesake", 43);
    two.fold(bytes_of(other));
    CHECK(forwarded_by(two) == 0);
}
