// SPDX-License-Identifier: MIT
// What do detectors of receive paths say of drops, counters and sockets, and of their healthy
// twins?
#include "detect/drops.h"
#include "detect/finding.h"
#include "model/receivers.h"
#include "support/catch.h"
#include "support/event_builder.h"
#include "support/fake_names.h"
#include "support/readable.h"

namespace culprit {

namespace {

using namespace test;

constexpr std::uint64_t kUdpQueue = 0xffffffff81b00010, kUdpRcv = 0xffffffff81b00020,
                        kTcpData = 0xffffffff81b00030;
constexpr std::uint32_t kRcvbuff = 20, kUdpCsum = 21, kNoSocket = 3;
constexpr std::uint16_t kPort = 8125;

Window ten_seconds() {
    Window window;
    window.from_ns = kSecondNs;
    window.to_ns = 11 * kSecondNs;
    window.names = fake_names();
    window.names.drop_reasons[kRcvbuff] = "SOCKET_RCVBUFF";
    window.names.drop_reasons[kUdpCsum] = "UDP_CSUM";
    window.names.symbols[kUdpQueue] = "udp_queue_rcv_one_skb+0x1f0";
    window.names.symbols[kUdpRcv] = "__udp4_lib_rcv+0x7a0";
    window.names.symbols[kTcpData] = "tcp_data_queue+0x90";
    return window;
}

abi_flow udp_flow(std::uint16_t from = 40000, std::uint16_t to = kPort) {
    abi_flow flow = tcp_flow("10.0.0.1", from, "10.0.0.2", to);
    flow.protocol = IPPROTO_UDP;
    return flow;
}

void add_total(Window& window, std::uint32_t reason, std::uint64_t location, std::uint64_t packets,
               std::uint16_t ethertype = 0x0800) {
    auto total = make<drop_total>();
    total.reason = reason;
    total.location = location;
    total.netns = kNetns;
    total.ifindex = 2;
    total.ethertype = ethertype;
    total.protocol = IPPROTO_UDP;
    total.packets = packets;
    window.fold(bytes_of(total));
}

/// Samples over the whole run.
void add_samples(Window& window, std::uint32_t reason, std::uint64_t location, const abi_flow& flow,
                 int count, const abi_owner& owner = {}) {
    for (int i = 0; i < count; i++) {
        auto drop =
            make<drop_event>(kSecondNs + std::uint64_t(i) * 10 * kSecondNs / unsigned(count));
        drop.flow = flow;
        drop.owner = owner;
        drop.reason = reason;
        drop.location = location;
        window.fold(bytes_of(drop));
    }
}

receiver_total receiver(std::uint8_t protocol, std::uint64_t drops, const abi_owner& owner) {
    auto total = make<receiver_total>();
    total.flow = tcp_flow("10.0.0.2", kPort, "0.0.0.0", 0);
    total.flow.protocol = protocol;
    total.owner = owner;
    total.drops = drops;
    total.unread_bytes = 9000;
    total.memory_bytes = 20000;
    total.rcvbuf = 20480;
    return total;
}

std::vector<Finding> of(const std::string& id, const Window& window) {
    std::vector<Finding> all = test::readable_findings({window, std::span(&window, 1)});
    std::erase_if(all, [&](const Finding& finding) { return finding.id != id; });
    return all;
}

socket_info udp_socket(std::uint32_t drops, std::uint64_t inode = 7) {
    auto socket = make<socket_info>();
    socket.flow = tcp_flow("10.0.0.2", kPort, "0.0.0.0", 0);
    socket.flow.protocol = IPPROTO_UDP;
    socket.inode = inode;
    socket.drops = drops;
    return socket;
}

} // namespace

TEST_CASE("a UDP socket is told when it refused more than before", "[receivers_test]") {
    Receivers receivers;
    receivers.begin(udp_socket(100));
    CHECK_FALSE(receivers.end(udp_socket(100)));
    CHECK(receivers.end(udp_socket(130))->drops == 30);
    CHECK(receivers.end(udp_socket(5, 8))->drops == 5); // another socket, younger
    CHECK_FALSE(receivers.end(udp_socket(5, 0)));       // nobody's
}

TEST_CASE("a UDP socket that connects is the same socket", "[receivers_test]") {
    Receivers receivers;
    receivers.begin(udp_socket(100));
    socket_info connected = udp_socket(100);
    connected.flow.remote_port = 53;
    CHECK_FALSE(receivers.end(connected));
}

TEST_CASE("of a namespace that was not looked at no growth is known", "[receivers_test]") {
    Receivers receivers;
    receivers.begin_unseen(kNetns);
    CHECK_FALSE(receivers.end(udp_socket(100)));
}

TEST_CASE("a TCP socket is told when its buffer is half full", "[receivers_test]") {
    auto socket = make<socket_info>();
    socket.flow = tcp_flow("10.0.0.2", 80, "10.0.0.1", 40000);
    socket.rcvbuf = 20000;
    socket.rmem_alloc = 12000;
    CHECK_FALSE(Receivers::filled(socket)); // nothing to read: out of order, or just taken
    socket.recv_queue = 10;
    CHECK(Receivers::filled(socket)->memory_bytes == 12000);
    socket.rmem_alloc = 9000;
    CHECK_FALSE(Receivers::filled(socket));
}

TEST_CASE("a slow reader of UDP is the culprit of what its socket refused", "[receivers_test]") {
    const abi_owner sink = process("sink", 42, ABI_OWNER_HOLDER);
    Window window = ten_seconds();
    window.counters[kNetns].growth[counter("Udp.RcvbufErrors")] = 500;
    window.counters[kNetns].growth[counter("Udp.InDatagrams")] = 10'000;
    add_total(window, kRcvbuff, kUdpQueue, 500);
    add_samples(window, kRcvbuff, kUdpQueue, udp_flow(), 20, sink);
    window.fold(bytes_of(receiver(IPPROTO_UDP, 500, sink)));
    const auto found = of("udp-rcvbuf-overflow", window);
    REQUIRE(found.size() == 1);
    CHECK(found[0].culprit->owner.tgid == 42);
    CHECK(found[0].severity == Severity::kWarning);
    CHECK(found[0].count == 500);
    CHECK(of("local-drop", window).empty());
    auto stopped = receiver(IPPROTO_UDP, 500, sink);
    stopped.stopped = 1;
    window.fold(bytes_of(stopped));
    CHECK(of("udp-rcvbuf-overflow", window)[0].severity == Severity::kCritical);
}

TEST_CASE("without drop reasons the sockets' own counts tell of a slow reader",
          "[receivers_test]") {
    Window window = ten_seconds();
    window.counters[kNetns].growth[counter("Udp.RcvbufErrors")] = 300;
    window.fold(bytes_of(receiver(IPPROTO_UDP, 300, process("sink", 42))));
    const auto found = of("udp-rcvbuf-overflow", window);
    REQUIRE(found.size() == 1);
    CHECK(found[0].culprit->owner.tgid == 42);
    CHECK(found[0].count == 300);
}

TEST_CASE("a socket closed before the end is told by its samples", "[receivers_test]") {
    Window window = ten_seconds();
    add_total(window, kRcvbuff, kUdpQueue, 400);
    add_samples(window, kRcvbuff, kUdpQueue, udp_flow(40000, 1), 30, process("one", 1));
    add_samples(window, kRcvbuff, kUdpQueue, udp_flow(40000, 2), 10, process("two", 2));
    const auto found = of("udp-rcvbuf-overflow", window);
    REQUIRE(found.size() == 2);
    CHECK(found[0].count == 300);
    CHECK(found[1].count == 100);
}

TEST_CASE("a few lost datagrams, or drops of a filter, are no overflow", "[receivers_test]") {
    Window window = ten_seconds();
    add_total(window, kRcvbuff, kUdpQueue, 3);
    add_samples(window, kRcvbuff, kUdpQueue, udp_flow(), 3, process("sink", 42));
    window.fold(bytes_of(receiver(IPPROTO_UDP, 3000, process("sink", 42))));
    CHECK(of("udp-rcvbuf-overflow", window).empty());
}

TEST_CASE("memory for UDP that is used up is no reader's fault", "[receivers_test]") {
    Window window = ten_seconds();
    window.counters[kNetns].growth[counter("Udp.MemErrors")] = 80;
    const auto found = of("udp-rcvbuf-overflow", window);
    REQUIRE(found.size() == 1);
    CHECK_FALSE(found[0].culprit);
    CHECK(found[0].where.reason == "PROTO_MEM");
}

TEST_CASE("who goes on sending to a closed port is named by its socket", "[receivers_test]") {
    Window window = ten_seconds();
    add_total(window, kNoSocket, kUdpRcv, 1000);
    add_samples(window, kNoSocket, kUdpRcv, udp_flow(), 50);
    auto socket = make<socket_info>();
    socket.flow = udp_flow();
    socket.owner = process("metrics", 9);
    socket.owner.start_ns = 1;
    window.fold(bytes_of(socket));
    const auto found = of("udp-port-unreachable", window);
    REQUIRE(found.size() == 1);
    CHECK(found[0].severity == Severity::kWarning);
    CHECK(found[0].culprit->owner.tgid == 9);
    CHECK(found[0].where.local == "10.0.0.2:8125");
    CHECK(found[0].count == 1000);
}

TEST_CASE("a port that another process has by now does not blame it", "[receivers_test]") {
    Window window = ten_seconds();
    add_total(window, kNoSocket, kUdpRcv, 1000);
    for (std::uint16_t port = 40000; port < 40050; port++)
        add_samples(window, kNoSocket, kUdpRcv, udp_flow(port), 2);
    auto socket = make<socket_info>();
    socket.flow = udp_flow(40007);
    socket.owner = process("innocent", 9);
    socket.owner.start_ns = 1;
    window.fold(bytes_of(socket));
    const auto found = of("udp-port-unreachable", window);
    REQUIRE(found.size() == 1);
    CHECK(found[0].culprit->owner.tgid == 0);
}

TEST_CASE("strays and an endpoint tried now and then are no fault", "[receivers_test]") {
    Window few = ten_seconds(), burst = ten_seconds(), scan = ten_seconds();
    add_total(few, kNoSocket, kUdpRcv, 10);
    add_samples(few, kNoSocket, kUdpRcv, udp_flow(), 10);
    add_total(burst, kNoSocket, kUdpRcv, 200);
    auto at_once = make<drop_event>();
    at_once.flow = udp_flow();
    at_once.reason = kNoSocket;
    at_once.location = kUdpRcv;
    burst.fold(bytes_of(at_once));
    add_total(scan, kNoSocket, kUdpRcv, 100);
    for (std::uint16_t port = 1; port <= 100; port++)
        add_samples(scan, kNoSocket, kUdpRcv, udp_flow(40000, port), 1);
    for (const Window* window : {&few, &burst, &scan})
        CHECK(of("udp-port-unreachable", *window).empty());
}

TEST_CASE("corruption is told as a share of what arrives", "[receivers_test]") {
    Window window = ten_seconds();
    add_total(window, kUdpCsum, kUdpQueue, 50);
    add_samples(window, kUdpCsum, kUdpQueue, udp_flow(), 5, process("reader", 4));
    window.counters[kNetns].growth[counter("Udp.InDatagrams")] = 10'000;
    window.counters[kNetns].growth[counter("Udp.InCsumErrors")] = 50;
    const auto found = of("csum-errors", window);
    REQUIRE(found.size() == 1);
    CHECK(found[0].severity == Severity::kWarning);
    CHECK(found[0].where.remote == "10.0.0.1");
    CHECK(found[0].where.device == "eth0");
    window.counters[kNetns].growth[counter("Udp.InDatagrams")] = 10'000'000;
    CHECK(of("csum-errors", window)[0].severity == Severity::kInfo);
}

TEST_CASE("a receive queue that is pruned names the reader with the full buffer",
          "[receivers_test]") {
    Window window = ten_seconds();
    Counters& grew = window.counters[kNetns].growth;
    grew[counter("TcpExt.PruneCalled")] = 60;
    grew[counter("TcpExt.TCPRcvCollapsed")] = 900;
    grew[counter("Tcp.InSegs")] = 5000;
    window.fold(bytes_of(receiver(IPPROTO_TCP, 0, process("slow", 5))));
    const auto found = of("rcvbuf-prune", window);
    REQUIRE(found.size() == 1);
    CHECK(found[0].culprit->owner.tgid == 5);
    CHECK(found[0].severity == Severity::kWarning);
    grew[counter("TcpExt.RcvPruned")] = 200;
    CHECK(of("rcvbuf-prune", window)[0].severity == Severity::kCritical);
}

TEST_CASE("queues that are squeezed now and then are no fault", "[receivers_test]") {
    Window window = ten_seconds();
    Counters& grew = window.counters[kNetns].growth;
    grew[counter("TcpExt.PruneCalled")] = 60;
    grew[counter("TcpExt.TCPRcvCollapsed")] = 900;
    grew[counter("Tcp.InSegs")] = 5'000'000; // bulk at machine speed
    CHECK(of("rcvbuf-prune", window).empty());
}

TEST_CASE("UDP's counters are explained by drops, of each family apart", "[receivers_test]") {
    Window window = ten_seconds();
    Counters& grew = window.counters[kNetns].growth;
    grew[counter("Udp.NoPorts")] = 12;
    grew[counter("Udp.RcvbufErrors")] = 30;
    grew[counter("Udp6.NoPorts")] = 5;
    grew[counter("Udp6.RcvbufErrors")] = 9;
    add_total(window, kNoSocket, kUdpRcv, 12);
    add_total(window, kRcvbuff, kUdpQueue, 30);
    add_total(window, kNoSocket, kUdpRcv, 5, 0x86dd);
    add_total(window, kRcvbuff, kUdpQueue, 9, 0x86dd);
    int met = 0;
    for (const Reconciled& row : reconcile({window, std::span(&window, 1)})) {
        met += row.counter.starts_with("Udp");
        CHECK(row.unexplained() == 0);
    }
    CHECK(met == 4);
}

TEST_CASE("drops on the way into sockets have a finding of their own", "[receivers_test]") {
    CHECK(drop_class("SOCKET_RCVBUFF", "udpv6_queue_rcv_one_skb") == "udp-rcvbuf-overflow");
    CHECK(drop_class("SOCKET_RCVBUFF", "tcp_data_queue") == "rcvbuf-prune");
    CHECK(drop_class("SOCKET_RCVBUFF", "raw_rcv") == "local-drop");
    CHECK(drop_class("NO_SOCKET", "__udp6_lib_rcv") == "udp-port-unreachable");
    CHECK(drop_class("TCP_CSUM", "tcp_v4_rcv") == "csum-errors");
}

} // namespace culprit
