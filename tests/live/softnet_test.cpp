// SPDX-License-Identifier: MIT
// Do the totals of the CPUs' input backlogs show what they took, and is one that overflows a
// finding?
#include <sched.h>

#include "abi/softnet.h"
#include "signals/softnet_stat.h"
#include "support/catch.h"
#include "support/finding.h"
#include "support/run.h"
#include "support/saved.h"
#include "support/traffic.h"

using namespace culprit;
using namespace culprit::test;

namespace {

void pin_to(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    must(::sched_setaffinity(0, sizeof(set), &set) == 0, "choose a CPU");
}

/// By all CPUs so far.
std::uint64_t dropped() {
    std::uint64_t sum = 0;
    for (const SoftnetLine& cpu : parse_softnet(read_file("/proc/net/softnet_stat").value_or("")))
        sum += cpu.dropped;
    return sum;
}

/// What arrives is handed to CPU 1, which walks through so many rules for each packet that every
/// sender is faster.
void make_slow(const Side& side) {
    side.shell(
        "{ echo 'table inet t { chain c { type filter hook input priority 0;'; "
        "seq 20001 26000 | sed 's/.*/udp length & counter/'; echo '}'; echo '}'; } | nft -f -");
    if (side.try_shell("unshare -m sh -c 'mount -t sysfs sysfs /sys && echo 2 > /sys/class/net/" +
                       side.device + "/queues/rx-0/rps_cpus'") != 0)
        skip("this kernel cannot hand packets to another CPU (RPS)");
}

} // namespace

TEST_CASE("what CPUs took from their backlogs is in the totals", "[softnet_test]") {
    const WiredNs ns;
    const SaveFile save;
    Culprit culprit = diagnose({"--for", "3s", "--save", save.path()});
    culprit.wait_until_watching();
    ns.a.in([&] { send_udp(ns.b.v4, 9, 5000, 100); });
    culprit.wait();
    std::uint64_t processed = 0;
    const Window window = save.total();
    for (const auto& [row, info] : window.rows<softnet_total>(ABI_SOFTNET_TOTAL)) {
        processed += row.processed;
        CHECK(row.max_backlog > 0);
    }
    CHECK(processed >= 5000);
}

TEST_CASE("a CPU whose backlog overflows is named, with the flow that fills it", "[softnet_test]") {
    if (::sysconf(_SC_NPROCESSORS_ONLN) < 2)
        skip("needs two CPUs");
    const WiredNs ns;
    make_slow(ns.b);
    const std::uint64_t before = dropped();
    Culprit culprit = diagnose({"--for", "5s"});
    culprit.wait_until_watching();
    Child flood(ns.a.path(), "ct-flood", [&](const Tell&) {
        pin_to(0);
        // what waits in a backlog fills its socket's send buffer: from each socket so many only, or
        // the flood would wait for them
        for (const Deadline end(1.5); !end.passed();)
            send_udp(ns.b.v4, 4444, 200, 60);
        return 0;
    });
    CHECK(flood.wait() == 0);
    const int status = culprit.wait();
    if (dropped() == before)
        skip("this host's CPUs keep up with the flood");
    CHECK(status == 3);
    const Json verdict = Json::parse(culprit.out());
    INFO(verdict["findings"].dump(1));
    const auto finding = find_finding(verdict, "softnet-drop", about(ns.b.inum()));
    REQUIRE(finding);
    CHECK((*finding)["severity"] != "info");
    CHECK((*finding)["title"].get<std::string>().find("CPU 1 ") != std::string::npos);
    CHECK(evidence_of(*finding).find(":4444 udp") != std::string::npos);
    for (const Json& row : verdict["reconciliation"])
        if (row["counter"] == "softnet_stat dropped")
            CHECK(row["unexplained"] == 0);
}
