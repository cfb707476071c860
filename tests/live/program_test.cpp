// SPDX-License-Identifier: MIT
// Does a program or filter that takes packets away get its name in a finding, and one that takes
// none, or only what nobody waits for, no word?
#include <sys/socket.h>

#include "abi/program.h"
#include "support/bpf_programs.h"
#include "support/catch.h"
#include "support/cgroup.h"
#include "support/finding.h"
#include "support/run.h"
#include "support/saved.h"
#include "support/traffic.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr std::uint16_t kNobody = 9;

/// What diagnose says while `work` runs in a process of side a.
struct Told {
    Json verdict;
    int status = 0;
    pid_t pid = 0;
};

template <typename Work>
Told tell(const TwoNs& ns, Culprit::Arguments arguments, const Work& work) {
    arguments.insert(arguments.begin(), {"--for", "5s"});
    Culprit culprit = diagnose(arguments);
    culprit.wait_until_watching();
    Child client(ns.a.path(), "ct-client", [&](const Tell&) {
        work();
        return 0;
    });
    const pid_t pid = client.pid();
    REQUIRE(client.wait() == 0);
    const int status = culprit.wait();
    return {Json::parse(culprit.out()), status, pid};
}

std::optional<Json> find_loud(const Told& told, const std::string& id, const Side& side) {
    return find_finding(told.verdict, id, [&](const Json& f) {
        return f["severity"] != "info" && f["where"]["netns"] == side.inum();
    });
}

void send_in_bulk(const TwoNs& ns, const Server& sink) {
    bulk_for(ns.b.v4, sink.port(), 2);
}

std::string named(const char* name, const UniqueFd& program) {
    return fmt::format("program {} (id {})", name, id_of(program));
}

bool titled(const Json& finding, const std::string& text) {
    return finding["title"].get<std::string>().find(text) != std::string::npos;
}

/// Both sides' loud findings of that kind: none is wanted.
bool silent(const Told& told, const TwoNs& ns) {
    for (const Json& finding : told.verdict["findings"])
        if (finding["severity"] != "info" &&
            (finding["where"]["netns"] == ns.a.inum() || finding["where"]["netns"] == ns.b.inum()))
            return false;
    return true;
}

} // namespace

TEST_CASE("an XDP program that drops packets is named with its device and who suffers",
          "[program_test]") {
    const std::uint32_t mode = GENERATE(XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE);
    const WiredNs ns;
    const Server sink(ns.b, "ct-sink", Serve::kSink, ns.b.v4);
    const UniqueFd program =
        load_program(BPF_PROG_TYPE_XDP, "lossy", sometimes(50, kXdpDrop, kXdpPass));
    attach_xdp(ns.b, program, mode);
    const Told told = tell(ns, {}, [&] { send_in_bulk(ns, sink); });
    INFO(mode << told.verdict["findings"].dump(1));
    CHECK(told.status == 3);
    const auto finding = find_loud(told, "xdp-drop", ns.b);
    REQUIRE(finding);
    CHECK(titled(*finding, named("lossy", program)));
    CHECK((*finding)["where"]["device"] == ns.b.device);
    CHECK(hurts(told.pid)(*finding));
    CHECK_FALSE(find_finding(told.verdict, "packet-loss", hurts(told.pid)));
    CHECK_FALSE(find_loud(told, "local-drop", ns.b));
}

TEST_CASE("an XDP program that fails is an exception, with the program's name", "[program_test]") {
    const WiredNs ns;
    const Server sink(ns.b, "ct-sink", Serve::kSink, ns.b.v4);
    const UniqueFd program =
        load_program(BPF_PROG_TYPE_XDP, "broken", sometimes(50, kXdpAborted, kXdpPass));
    attach_xdp(ns.b, program);
    const Told told = tell(ns, {}, [&] { send_in_bulk(ns, sink); });
    INFO(told.verdict["findings"].dump(1));
    const auto finding = find_loud(told, "xdp-exception", ns.b);
    REQUIRE(finding);
    CHECK(titled(*finding, named("broken", program)));
    CHECK(hurts(told.pid)(*finding));
    CHECK_FALSE(find_loud(told, "xdp-drop", ns.b));
    CHECK_FALSE(find_finding(told.verdict, "packet-loss", hurts(told.pid)));
}

TEST_CASE("programs that let packets pass are no finding", "[program_test]") {
    const WiredNs ns;
    const Server sink(ns.b, "ct-sink", Serve::kSink, ns.b.v4);
    attach_xdp(ns.b, load_program(BPF_PROG_TYPE_XDP, "passes", always(kXdpPass)));
    attach_tc(ns.a, load_program(BPF_PROG_TYPE_SCHED_CLS, "passes", always(kTcOk)), BPF_TC_EGRESS);
    const Told told = tell(ns, {}, [&] { send_in_bulk(ns, sink); });
    INFO(told.verdict["findings"].dump(1));
    CHECK(silent(told, ns));
}

TEST_CASE("a program that drops what nobody waits for is worth knowing at most", "[program_test]") {
    const WiredNs ns;
    attach_xdp(ns.b, load_program(BPF_PROG_TYPE_XDP, "scrubber", always(kXdpDrop)));
    const Told told = tell(ns, {}, [&] { send_udp(ns.b.v4, kNobody, 2000, 100); });
    INFO(told.verdict["findings"].dump(1));
    CHECK(silent(told, ns));
    CHECK(find_finding(told.verdict, "xdp-drop", about(ns.b.inum())));
}

TEST_CASE("a tc program that drops what leaves is named", "[program_test]") {
    const WiredNs ns;
    const Server sink(ns.b, "ct-sink", Serve::kSink, ns.b.v4);
    const UniqueFd program =
        load_program(BPF_PROG_TYPE_SCHED_CLS, "policer", sometimes(50, kTcShot, kTcOk));
    attach_tc(ns.a, program, BPF_TC_EGRESS);
    const Told told = tell(ns, {}, [&] { send_in_bulk(ns, sink); });
    INFO(told.verdict["findings"].dump(1));
    CHECK(told.status == 3);
    const auto finding = find_loud(told, "tc-drop", ns.a);
    REQUIRE(finding);
    CHECK(titled(*finding, named("policer", program)));
    CHECK(titled(*finding, "leave through " + ns.a.device));
    CHECK(hurts(told.pid)(*finding));
    CHECK_FALSE(find_finding(told.verdict, "packet-loss", hurts(told.pid)));
}

TEST_CASE("a tc program that drops what arrives explains attempts to connect", "[program_test]") {
    const WiredNs ns;
    const UniqueFd program = load_program(BPF_PROG_TYPE_SCHED_CLS, "wall", always(kTcShot));
    attach_tc(ns.b, program, BPF_TC_INGRESS);
    const Told told = tell(ns, {}, [&] {
        for (int i = 0; i < 8; i++)
            try_connect(ns.b.v4, 80, 0.4);
    });
    INFO(told.verdict["findings"].dump(1));
    CHECK(told.status == 3);
    const auto finding = find_loud(told, "tc-drop", ns.b);
    REQUIRE(finding);
    CHECK(titled(*finding, named("wall", program)));
    CHECK(titled(*finding, "arrive at " + ns.b.device));
    CHECK(hurts(told.pid)(*finding));
    CHECK_FALSE(find_finding(told.verdict, "connect-timeout", hurts(told.pid)));
}

TEST_CASE("a cgroup's program that refuses what a process sends is named with the cgroup",
          "[program_test]") {
    need_root();
    const ContainerCgroup cgroup;
    const WiredNs ns;
    const UniqueFd program =
        load_program(BPF_PROG_TYPE_CGROUP_SKB, "jail", always(0), BPF_CGROUP_INET_EGRESS);
    const UniqueFd folder(::open(cgroup.file_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    must(bpf_prog_attach(program.get(), folder.get(), BPF_CGROUP_INET_EGRESS, BPF_F_ALLOW_MULTI) ==
             0,
         "attach a program to the cgroup");
    const Told told = tell(ns, {}, [&] {
        cgroup.join();
        for (int i = 0; i < 10; i++, pause_ms(100))
            send_udp(ns.b.v4, kNobody, 1, 100);
        for (int i = 0; i < 3; i++)
            try_connect(ns.b.v4, kNobody, 0.4);
    });
    INFO(told.verdict["findings"].dump(1));
    CHECK(told.status == 3);
    const auto finding = find_loud(told, "cgroup-drop", ns.a);
    REQUIRE(finding);
    CHECK(titled(*finding, named("jail", program)));
    CHECK(titled(*finding, cgroup.path()));
    CHECK(hurts(told.pid)(*finding));
}

TEST_CASE("a cgroup's program that refuses what arrives is named, and only for those in it",
          "[program_test]") {
    need_root();
    const ContainerCgroup cgroup;
    const WiredNs ns;
    const UniqueFd program = load_program(BPF_PROG_TYPE_CGROUP_SKB, "deaf", sometimes(100, 0, 1),
                                          BPF_CGROUP_INET_INGRESS);
    const UniqueFd folder(::open(cgroup.file_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    must(bpf_prog_attach(program.get(), folder.get(), BPF_CGROUP_INET_INGRESS, BPF_F_ALLOW_MULTI) ==
             0,
         "attach a program to the cgroup");
    const bool jailed = GENERATE(true, false);
    const Server sink(ns.b, "ct-sink", Serve::kSink, ns.b.v4);
    const Told told = tell(ns, {}, [&] {
        if (jailed)
            cgroup.join();
        send_in_bulk(ns, sink);
    });
    INFO(jailed << told.verdict["findings"].dump(1));
    const auto finding = find_finding(told.verdict, "cgroup-drop", about(ns.a.inum()));
    CHECK(finding.has_value() == jailed);
    if (finding)
        CHECK(titled(*finding, named("deaf", program)));
}

TEST_CASE("programs are in the totals with place, device and id", "[program_test]") {
    const WiredNs ns;
    const SaveFile save;
    const UniqueFd program = load_program(BPF_PROG_TYPE_XDP, "passes", always(kXdpPass));
    attach_xdp(ns.b, program, XDP_FLAGS_SKB_MODE);
    Culprit culprit = diagnose({"--for", "2s", "--save", save.path()});
    culprit.wait();
    bool found = false;
    const Window window = save.total();
    for (const auto& [row, info] : window.rows<program_total>(ABI_PROGRAM_TOTAL))
        if (row.program == id_of(program)) {
            found = true;
            CHECK(row.netns == ns.b.inum());
            CHECK(row.where == ABI_PROGRAM_XDP);
            CHECK(row.mode == ABI_PROGRAM_GENERIC);
            CHECK(std::string(row.name) == "passes");
        }
    CHECK(found);
}
