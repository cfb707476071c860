// SPDX-License-Identifier: MIT
// Do the findings about what sits below the stack name program, device and process, and tell the
// look-alikes apart?
#include <algorithm>
#include <cstring>

#include "detect/finding.h"
#include "model/window_json.h"
#include "support/catch.h"
#include "support/event_builder.h"
#include "support/fake_names.h"
#include "support/readable.h"

namespace culprit {

namespace {

using namespace test;

constexpr std::uint64_t kPlace = 0xffffffff81000010;

/// A window with drops of one reason at one place, of a connection that sends again.
Window dropping(const char* reason, const char* symbol, std::uint64_t packets, bool hurts) {
    constexpr std::uint32_t kReason = 200;
    Window window;
    window.from_ns = kSecondNs;
    window.to_ns = 11 * kSecondNs;
    window.names = fake_names();
    window.names.drop_reasons[kReason] = reason;
    window.names.symbols[kPlace] = symbol;
    auto total = make<drop_total>();
    total.reason = kReason;
    total.location = kPlace;
    total.netns = kNetns;
    total.ifindex = 2;
    total.protocol = IPPROTO_TCP;
    total.packets = packets;
    window.fold(bytes_of(total));
    auto sample = make<drop_event>(2 * kSecondNs, 1);
    sample.flow = tcp_flow("10.0.0.1", 40000, "10.0.0.2", 80);
    sample.reason = kReason;
    sample.location = kPlace;
    sample.tcp_flags = 16;
    if (hurts)
        sample.owner = process("sender", 42);
    window.fold(bytes_of(sample));
    if (hurts) {
        auto again = make<retransmit_event>();
        again.flow = sample.flow;
        again.owner = sample.owner;
        again.type = ABI_RETRANSMIT_FAST;
        again.segs = 10;
        again.life_segs_out = 1000;
        window.fold(bytes_of(again));
    }
    return window;
}

program_total attached(std::uint32_t where, std::uint32_t id, const char* name) {
    auto row = make<program_total>();
    row.netns = kNetns;
    row.ifindex = 2;
    row.where = where;
    row.program = id;
    std::memcpy(row.name, name, std::strlen(name));
    return row;
}

std::vector<Finding> all(const Window& window) {
    return test::readable_findings({window, std::span(&window, 1)});
}

Finding only(const Window& window) {
    const auto found = all(window);
    REQUIRE(found.size() == 1);
    return found.front();
}

bool has(const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
}

/// Ten seconds in which the driver kept packets back that often.
Window busy_driver(std::uint64_t times) {
    Window window;
    window.from_ns = kSecondNs;
    window.to_ns = 11 * kSecondNs;
    window.names = fake_names();
    auto nic = make<nic_total>();
    nic.netns = kNetns;
    nic.ifindex = 2;
    nic.busy = times;
    window.fold(bytes_of(nic));
    return window;
}

} // namespace

TEST_CASE("drops where XDP runs are the attached program's, and nobody's loss elsewhere",
          "[below_drop_test]") {
    Window window = dropping("NOT_SPECIFIED", "veth_xdp_rcv_skb+0x10", 100, true);
    window.fold(bytes_of(attached(ABI_PROGRAM_XDP, 42, "filter\x1b[1m")));
    const Finding finding = only(window);
    CHECK(finding.id == "xdp-drop");
    CHECK(finding.severity != Severity::kInfo);
    CHECK(has(finding.title, "program filter\\x1b[1m (id 42)"));
    CHECK(has(finding.title, "eth0"));
    CHECK(finding.affected.at(0).owner.tgid == 42);
}

TEST_CASE("an XDP program that drops what nobody waits for is worth knowing at most",
          "[below_drop_test]") {
    Window window = dropping("XDP", "do_xdp_generic+0x10", 100'000, false);
    window.fold(bytes_of(attached(ABI_PROGRAM_XDP, 42, "scrubber")));
    CHECK(only(window).severity == Severity::kInfo);
}

TEST_CASE("an XDP program that fails is an exception, with or without a drop to be seen",
          "[below_drop_test]") {
    auto nic = make<nic_total>();
    nic.netns = kNetns;
    nic.ifindex = 2;
    nic.xdp_exceptions = 90;
    nic.xdp_program = 43;
    Window window = dropping("NOT_SPECIFIED", "veth_xdp_rcv_skb+0x10", 100, true);
    window.fold(bytes_of(nic));
    window.fold(bytes_of(attached(ABI_PROGRAM_XDP, 43, "broken")));
    const Finding finding = only(window);
    CHECK(finding.id == "xdp-exception");
    CHECK(has(finding.title, "program broken (id 43)"));

    Window traceless;
    traceless.names = fake_names();
    traceless.fold(bytes_of(nic));
    CHECK(only(traceless).id == "xdp-exception");
    CHECK(has(only(traceless).title, "program id 43"));

    nic.xdp_exceptions = 2;
    Window rare;
    rare.names = fake_names();
    rare.fold(bytes_of(nic));
    CHECK(all(rare).empty());
}

TEST_CASE("of several tc filters the one that counts drops is named", "[below_drop_test]") {
    Window window = dropping("TC_INGRESS", "__netif_receive_skb_core+0x10", 50, true);
    auto passes = attached(ABI_PROGRAM_TC_INGRESS, 0, "");
    passes.priority = 1;
    std::memcpy(passes.filter, "flower", 6);
    auto drops = passes;
    drops.priority = 2;
    drops.handle = 0x1;
    drops.drops = 50;
    auto other_way = attached(ABI_PROGRAM_TC_EGRESS, 7, "egress");
    window.fold(bytes_of(passes));
    window.fold(bytes_of(drops));
    window.fold(bytes_of(other_way));
    const Finding finding = only(window);
    CHECK(finding.id == "tc-drop");
    CHECK(has(finding.title, "flower filter (pref 2, handle 0x1)"));
    CHECK(has(finding.title, "arrive at eth0"));
}

TEST_CASE("a cgroup's program is the nearest above the process", "[below_drop_test]") {
    Window window = dropping("BPF_CGROUP_EGRESS", "ip_finish_output+0x10", 20, true);
    window.names.cgroups = {
        {77, "/system.slice/nginx.service"}, {1, "/"}, {2, "/system.slice"}, {3, "/user.slice"}};
    for (const auto& [cgroup, id, name] :
         {std::tuple(1, 11, "root"), std::tuple(2, 12, "slice"), std::tuple(3, 13, "user")}) {
        auto row = attached(ABI_PROGRAM_CGROUP_EGRESS, static_cast<std::uint32_t>(id), name);
        row.netns = 0;
        row.ifindex = 0;
        row.owner.cgroup_id = static_cast<std::uint64_t>(cgroup);
        window.fold(bytes_of(row));
    }
    const Finding finding = only(window);
    CHECK(finding.id == "cgroup-drop");
    CHECK(has(finding.title, "program slice (id 12) of cgroup /system.slice refuses"));
}

TEST_CASE("a socket's own filter is no cgroup's program", "[below_drop_test]") {
    Window window = dropping("SOCKET_FILTER", "tcp_v4_rcv+0x10", 20, true);
    CHECK(only(window).id == "local-drop");
    CHECK(only(window).severity == Severity::kInfo);
    auto row = attached(ABI_PROGRAM_CGROUP_INGRESS, 5, "deaf");
    row.owner.cgroup_id = 77;
    window.fold(bytes_of(row));
    CHECK(only(window).id == "cgroup-drop");
}

TEST_CASE("who serves a TUN device is to blame for its full ring", "[below_drop_test]") {
    Window window = dropping("FULL_RING", "tun_net_xmit+0x10", 500, true);
    auto reader = attached(ABI_PROGRAM_TUN, 0, "");
    reader.owner = process("openvpn", 4711, ABI_OWNER_HOLDER);
    reader.state = 'S';
    reader.drops = 500;
    reader.packets = 1000;
    window.fold(bytes_of(reader));
    const Finding finding = only(window);
    CHECK(finding.id == "tx-ring-full");
    REQUIRE(finding.culprit);
    CHECK(finding.culprit->owner.tgid == 4711);
    CHECK(has(finding.title, "openvpn (pid 4711) reads it too slowly"));
    reader.owner = process("helper", 4712, ABI_OWNER_HOLDER);
    window.fold(bytes_of(reader));
    CHECK_FALSE(only(window).culprit); // either may be the slow one
}

TEST_CASE(
    "a TUN ring that loses much is a fault though nobody is seen to suffer, one that loses little "
    "is not",
    "[below_drop_test]") {
    for (const std::uint64_t sent : {1000UL, 1'000'000UL}) {
        Window window = dropping("FULL_RING", "tun_net_xmit+0x10", 500, false);
        auto reader = attached(ABI_PROGRAM_TUN, 0, "");
        reader.owner = process("openvpn", 4711, ABI_OWNER_HOLDER);
        reader.state = 'T';
        reader.drops = 500;
        reader.packets = sent;
        window.fold(bytes_of(reader));
        CHECK((only(window).severity == Severity::kInfo) == (sent == 1'000'000));
        CHECK(has(only(window).title, "openvpn (pid 4711) is stopped"));
    }
}

TEST_CASE("a driver that is busy all the time is worth knowing, one that was now and then is not",
          "[below_drop_test]") {
    const Window window = busy_driver(5000);
    CHECK(only(window).id == "tx-ring-full");
    CHECK(only(window).severity == Severity::kInfo);
    CHECK(all(busy_driver(20)).empty());
}

TEST_CASE("a hung queue is named with its device, and explains a full ring", "[below_drop_test]") {
    auto event = make<nic_event>();
    event.netns = kNetns;
    event.ifindex = 2;
    event.type = ABI_NIC_TIMEOUT;
    event.queue = 3;
    Window window = busy_driver(5000);
    window.fold(bytes_of(event));
    const Finding finding = only(window);
    CHECK(finding.id == "nic-tx-timeout");
    CHECK(finding.severity == Severity::kCritical);
    CHECK(has(finding.title, "transmit queue 3 of eth0 hung 1 times"));
}

TEST_CASE("a CPU whose backlog overflows is named with its share; every drop is accounted for",
          "[below_drop_test]") {
    Window window = dropping("CPU_BACKLOG", "enqueue_to_backlog+0x10", 500, false);
    auto cpu = make<softnet_total>();
    cpu.number = 1;
    cpu.max_backlog = 1000;
    cpu.processed = 9500;
    cpu.dropped = 500;
    cpu.ksoftirqd_ns = 9 * kSecondNs;
    cpu.watched_ns = 10 * kSecondNs;
    window.fold(bytes_of(cpu));
    const Finding finding = only(window);
    CHECK(finding.id == "softnet-drop");
    CHECK(finding.severity == Severity::kWarning);
    CHECK(has(finding.title, "CPU 1 overflows: 5.0 % of its packets"));
    CHECK(finding.advice.at(0).command == "sysctl -w net.core.netdev_max_backlog=2000");
    CHECK(std::ranges::any_of(finding.evidence, [](const Evidence& evidence) {
        return has(evidence.text, "ksoftirqd/1 used 90 % of the CPU");
    }));
    const Facts facts{window, std::span(&window, 1)};
    const auto rows = reconcile(facts);
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].unexplained() == 0);
}

TEST_CASE("a few drops of a busy CPU, and rounds that ran out of time, do not change the verdict",
          "[below_drop_test]") {
    Window window = dropping("CPU_BACKLOG", "enqueue_to_backlog+0x10", 500, false);
    auto cpu = make<softnet_total>();
    cpu.processed = 10'000'000;
    cpu.dropped = 500;
    window.fold(bytes_of(cpu));
    CHECK(only(window).severity == Severity::kInfo);

    Window squeezed;
    squeezed.from_ns = kSecondNs;
    squeezed.to_ns = 11 * kSecondNs;
    cpu.dropped = 0;
    cpu.processed = 100'000;
    cpu.time_squeeze = 300;
    squeezed.fold(bytes_of(cpu));
    CHECK(only(squeezed).severity == Severity::kInfo);
    Window calm;
    cpu.processed = 10'000'000;
    calm.fold(bytes_of(cpu));
    CHECK(all(calm).empty());
}

} // namespace culprit
