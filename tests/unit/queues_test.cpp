// SPDX-License-Identifier: MIT
// Do the detectors of egress queues tell overflow, waiting and healthy queues apart? No kernel.
#include "detect/drops.h"
#include "detect/queues.h"
#include "model/window.h"
#include "support/catch.h"
#include "support/event_builder.h"
#include "support/fake_names.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr std::uint32_t kRoot = 0xffffffff, kQdiscDrop = 63;
constexpr std::uint64_t kXmit = 0xffffffff81b00d01;
const abi_owner kHog = process("backup", 1), kVictim = process("shop", 2);

/// One second after the other; the detectors see them and their sum.
struct Run {
    std::vector<Window> windows;

    explicit Run(int seconds) : windows(static_cast<std::size_t>(seconds)) {
        for (std::size_t i = 0; i < windows.size(); i++) {
            windows[i].from_ns = (i + 1) * kSecondNs;
            windows[i].to_ns = (i + 2) * kSecondNs;
            windows[i].names = fake_names();
            windows[i].names.drop_reasons[kQdiscDrop] = "QDISC_DROP";
            windows[i].names.symbols[kXmit] = "__dev_queue_xmit+0xd01";
        }
    }
    template <typename Record>
    void fold(const Record& record) {
        for (Window& window : windows)
            window.fold(bytes_of(record));
    }
    std::vector<Finding> find(Detector detect) const {
        Facts facts;
        for (const Window& window : windows)
            facts.total.merge(window);
        facts.windows = windows;
        return detect(facts);
    }
};

template <typename Record>
Record in_queue(std::uint32_t handle = 0x10000, std::uint32_t parent = kRoot) {
    auto record = make<Record>();
    record.netns = kNetns;
    record.ifindex = 2;
    record.handle = handle;
    record.parent = parent;
    return record;
}

qdisc_stats stats(const char* id, std::uint64_t packets, std::uint64_t drops,
                  std::uint32_t handle = 0x10000, std::uint32_t parent = kRoot) {
    auto record = in_queue<qdisc_stats>(handle, parent);
    std::string(id).copy(record.id, sizeof(record.id));
    record.packets = packets;
    record.drops = drops;
    record.limit_bytes = 20480;
    record.rate_bytes = 2'500'000;
    return record;
}

qdisc_share share(const abi_owner& owner, std::uint64_t bytes, std::uint64_t wait_ns) {
    auto record = in_queue<qdisc_share>();
    record.owner = owner;
    record.bytes = bytes;
    record.packets = bytes / 1000;
    record.timed = 10;
    record.sojourn_ns = 10 * wait_ns;
    record.sojourn_max_ns = 2 * wait_ns;
    return record;
}

drop_total drops_of(std::uint64_t packets) {
    auto record = make<drop_total>();
    record.reason = kQdiscDrop;
    record.location = kXmit;
    record.netns = kNetns;
    record.ifindex = 2;
    record.protocol = IPPROTO_TCP;
    record.packets = packets;
    return record;
}

drop_event sample_of(const abi_owner& owner, std::uint16_t port) {
    auto record = make<drop_event>();
    record.flow = tcp_flow("10.0.0.1", port, "10.0.0.2", 80);
    record.owner = owner;
    record.reason = kQdiscDrop;
    record.location = kXmit;
    return record;
}

/// 100 packets timed, of which that many did not wait and the others about wait_ms.
qdisc_total waits(const char* id, std::uint64_t unhindered, unsigned wait_ms) {
    auto record = in_queue<qdisc_total>();
    std::string(id).copy(record.id, sizeof(record.id));
    record.timed = 100;
    record.slots[4] = unhindered;
    record.slots[std::bit_width(wait_ms * 1000)] += 100 - unhindered;
    record.backlog_bytes = 500'000;
    return record;
}

/// 3 % of what the queue is given, each second.
Run overflowing() {
    Run run(5);
    run.fold(drops_of(30));
    run.fold(stats("tbf", 970, 30));
    run.fold(share(kHog, 950'000, 3'000'000));
    run.fold(share(kVictim, 50'000, 3'000'000));
    run.fold(sample_of(kHog, 40000));
    run.fold(sample_of(kVictim, 40001));
    return run;
}

} // namespace

TEST_CASE("an overflowing queue has a hog, a victim, a place and the qdisc's limits",
          "[queues_test]") {
    const auto findings = overflowing().find(detect_qdisc_drop);
    REQUIRE(findings.size() == 1);
    const Finding& finding = findings[0];
    CHECK(finding.id == "qdisc-drop");
    CHECK(finding.severity == Severity::kCritical);
    CHECK(finding.layer == Layer::kDataLink);
    REQUIRE(finding.culprit);
    CHECK(finding.culprit->owner.tgid == 1);
    REQUIRE(finding.affected.size() == 1);
    CHECK(finding.affected[0].owner.tgid == 2);
    CHECK(finding.where.device == "eth0");
    CHECK(finding.count == 150);
    CHECK(finding.title.find("(tbf 1:) overflows: backup (pid 1) fills it; shop (pid 2) suffers") !=
          std::string::npos);
    CHECK(finding.evidence[1].text.find("3.0 %") != std::string::npos);
    CHECK(finding.evidence[1].text.find("limited to 20 KB at 20 Mbit/s") != std::string::npos);
    CHECK(finding.evidence[2].text.find("backup (pid 1) 95 %, shop (pid 2) 5.0 %") !=
          std::string::npos);
}

TEST_CASE("drops of a queue are no local-drop and no packet-loss", "[queues_test]") {
    Run run = overflowing();
    auto again = make<retransmit_event>();
    again.flow = tcp_flow("10.0.0.1", 40001, "10.0.0.2", 80);
    again.owner = kVictim;
    again.type = ABI_RETRANSMIT_FAST;
    again.segs = 50;
    again.life_segs_out = 500;
    run.fold(again);
    CHECK(run.find(detect_qdisc_drop).size() == 1);
    CHECK(run.find(detect_local_drop).empty());
    CHECK(run.find(detect_packet_loss).empty());
}

TEST_CASE("segments a queue may have dropped without a sample are no packet-loss either",
          "[queues_test]") {
    const auto losing = [](std::uint64_t segs) {
        Run run = overflowing();
        auto again = make<retransmit_event>();
        again.flow = tcp_flow("10.0.0.1", 41000, "10.0.0.2", 80);
        again.owner = kVictim;
        again.type = ABI_RETRANSMIT_RTO;
        again.segs = segs;
        again.life_segs_out = 500;
        run.fold(again);
        for (Window& window : run.windows)
            window.counters[kNetns].growth[counter("Tcp.OutSegs")] = 1000;
        return run.find(detect_packet_loss).size();
    };
    CHECK(losing(20) == 0); // 100 of 150 drops
    CHECK(losing(200) == 1);
}

TEST_CASE("nobody is to blame when nobody has most of the queue", "[queues_test]") {
    Run run = overflowing();
    for (const std::uint32_t pid : {3U, 4U})
        run.fold(share(process("other", pid), 950'000, 3'000'000));
    const auto findings = run.find(detect_qdisc_drop);
    REQUIRE(findings.size() == 1);
    CHECK_FALSE(findings[0].culprit);
    CHECK(findings[0].severity == Severity::kCritical);
}

TEST_CASE("a few drops in many packets, or a burst of a moment, are healthy", "[queues_test]") {
    Run few(5), burst(5);
    few.fold(drops_of(30));
    few.fold(stats("tbf", 97'000, 30));
    few.fold(sample_of(kHog, 40000));
    burst.windows[2].fold(bytes_of(drops_of(90)));
    burst.windows[2].fold(bytes_of(stats("tbf", 500, 90)));
    burst.windows[2].fold(bytes_of(sample_of(kHog, 40000)));
    for (const Run& run : {few, burst})
        for (const Finding& finding : run.find(detect_qdisc_drop))
            CHECK(finding.severity == Severity::kInfo);
}

TEST_CASE("queue management that drops three percent does its work", "[queues_test]") {
    Run run(5);
    run.fold(drops_of(30));
    run.fold(stats("fq_codel", 970, 30));
    for (const Finding& finding : run.find(detect_qdisc_drop))
        CHECK(finding.severity == Severity::kInfo);
}

TEST_CASE("drops that no queue counted are the device's, not the queue's", "[queues_test]") {
    Run run(5);
    run.fold(drops_of(60));
    run.fold(sample_of(kVictim, 40001));
    const auto findings = run.find(detect_qdisc_drop);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].id == "local-drop");
    CHECK(findings[0].where.device == "eth0");
}

TEST_CASE("the leaf that drops is named, and its drops count once", "[queues_test]") {
    Run run(5);
    run.fold(drops_of(30));
    run.fold(stats("htb", 970, 30, 0x10000));
    run.fold(stats("pfifo", 970, 30, 0x100000, 0x10010));
    run.fold(share(kHog, 950'000, 3'000'000));
    const auto findings = run.find(detect_qdisc_drop);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].title.find("pfifo 10: below 1:10") != std::string::npos);
    CHECK(findings[0].evidence[1].text.starts_with("150 of the 5000 packets"));
}

TEST_CASE("the queues of a default mq are inside it though none has a handle", "[queues_test]") {
    Run run(5);
    run.fold(stats("mq", 970, 30, 0));
    run.fold(stats("pfifo_fast", 500, 20, 0, 1));
    run.fold(stats("pfifo_fast", 470, 10, 0, 2));
    Window total;
    for (const Window& window : run.windows)
        total.merge(window);
    const Queues queues(total);
    CHECK(queues.counted({kNetns, 2}).drops == 150);
    REQUIRE(queues.dropping({kNetns, 2}));
    CHECK(queues.dropping({kNetns, 2})->parent == 1);
}

TEST_CASE("a queue that stands delays who does not fill it", "[queues_test]") {
    Run run(5);
    run.fold(waits("tbf", 1, 300));
    run.fold(share(kHog, 950'000, 300'000'000));
    run.fold(share(kVictim, 50'000, 300'000'000));
    const auto findings = run.find(detect_qdisc_latency);
    REQUIRE(findings.size() == 1);
    const Finding& finding = findings[0];
    CHECK(finding.severity == Severity::kCritical);
    REQUIRE(finding.culprit);
    CHECK(finding.culprit->owner.tgid == 1);
    REQUIRE(finding.affected.size() == 1);
    CHECK(finding.affected[0].owner.tgid == 2);
    CHECK(finding.where.device == "eth0");
    CHECK(finding.title.starts_with("packets wait "));
    CHECK(finding.evidence[1].text.starts_with("the queue did not drain in 5 of 5 windows"));
}

TEST_CASE("a long full queue is told by its waiting, not by its few drops too", "[queues_test]") {
    Run run = overflowing();
    CHECK(run.find(detect_qdisc_drop).size() == 1);
    run.fold(waits("tbf", 0, 300));
    CHECK(run.find(detect_qdisc_drop).empty());
    CHECK(run.find(detect_qdisc_latency).size() == 1);
    run.fold(drops_of(600));
    run.fold(stats("tbf", 0, 600)); // more than TCP needs to find its rate
    CHECK(run.find(detect_qdisc_drop).size() == 1);
}

TEST_CASE("a sender that delays only itself is worth a remark", "[queues_test]") {
    Run run(5);
    run.fold(waits("tbf", 0, 40));
    run.fold(share(kHog, 950'000, 40'000'000));
    run.fold(share(kVictim, 50'000, 100'000)); // fair queueing: it does not wait
    const auto findings = run.find(detect_qdisc_latency);
    REQUIRE(findings.size() == 1);
    CHECK(findings[0].severity == Severity::kInfo);
    CHECK(findings[0].affected.empty());
}

TEST_CASE("a queue that drains between bursts, waits on purpose or for a moment is healthy",
          "[queues_test]") {
    Run drains(5), paced(5), moment(5), short_wait(5);
    drains.fold(waits("tbf", 10, 300));
    paced.fold(waits("fq", 0, 300));
    moment.windows[1].fold(bytes_of(waits("tbf", 0, 300)));
    short_wait.fold(waits("tbf", 0, 6));
    for (const Run& run : {drains, paced, moment, short_wait})
        CHECK(run.find(detect_qdisc_latency).empty());
}

TEST_CASE("forwarded traffic that fills a queue is named by its source", "[queues_test]") {
    Run run(5);
    run.fold(waits("tbf", 0, 300));
    auto forwarded = share(abi_owner{}, 950'000, 300'000'000);
    forwarded.flow = tcp_flow("192.0.2.9", 5, "10.0.0.2", 80, 0, 0);
    run.fold(forwarded);
    run.fold(share(kVictim, 50'000, 300'000'000));
    const auto findings = run.find(detect_qdisc_latency);
    REQUIRE(findings.size() == 1);
    CHECK_FALSE(findings[0].culprit);
    CHECK(findings[0].title.find("traffic from 192.0.2.9 fills it") != std::string::npos);
}

TEST_CASE("drops of queues are told apart by reason and place", "[queues_test]") {
    CHECK(drop_class("QDISC_DROP", "__dev_queue_xmit") == "qdisc-drop");
    CHECK(drop_class("QDISC_DROP_OVERLIMIT", "pfifo_enqueue") == "qdisc-drop");
    CHECK(drop_class("FQ_FLOW_LIMIT", "fq_enqueue") == "qdisc-drop");
    CHECK(drop_class("NOT_SPECIFIED", "tbf_enqueue") == "qdisc-drop");
    CHECK(drop_class("-", "__dev_queue_xmit") == "qdisc-drop");
    CHECK(drop_class("TC_EGRESS", "__dev_queue_xmit") != "qdisc-drop");
    CHECK(drop_class("CPU_BACKLOG", "enqueue_to_backlog") != "qdisc-drop");
}

TEST_CASE("a queue's own count is held against the drops seen", "[queues_test]") {
    Facts facts;
    for (const Window& window : overflowing().windows)
        facts.total.merge(window);
    const auto rows = reconcile(facts);
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].counter == "qdisc drops of eth0");
    CHECK(rows[0].kernel == 150);
    CHECK(rows[0].unexplained() == 0);
    CHECK(rows[0].note.empty());
}
