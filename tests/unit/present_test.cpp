// SPDX-License-Identifier: MIT
// What people and programs read: the first word, the width, the contract, and nothing a terminal
// would act on.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <sstream>

#include <nlohmann/json.hpp>

#include "present/layout.h"
#include "present/present.h"
#include "support/catch.h"

#include "abi/connection.h"

using namespace culprit;
using Json = nlohmann::ordered_json;

namespace {

constexpr Style kPlain{};
constexpr const char* kHostile = "ev\x1b[2Jil\r\n";

abi_owner owner_of(std::uint32_t tgid, const char* comm) {
    abi_owner owner{};
    owner.tgid = tgid;
    owner.cgroup_id = 77;
    owner.provenance = tgid ? ABI_OWNER_CREATOR : ABI_OWNER_UNKNOWN;
    std::memcpy(owner.comm, comm, std::min(std::strlen(comm), sizeof(owner.comm) - 1));
    return owner;
}

Verdict healthy() {
    Verdict verdict;
    verdict.host = "web1";
    verdict.kernel = "6.1.0";
    verdict.to_ns = 10'000'000'000;
    verdict.wall_offset_ns = 1'700'000'000'000'000'000;
    verdict.outcome = Outcome::kHealthy;
    verdict.scope = "12 connections attempted, 340 closed, 4 processes, 2 network namespaces";
    for (int i = 0; i < 5; i++)
        verdict.layers.push_back(
            {static_cast<Layer>(i),
             LayerStatus::kClear,
             {"packets dropped in the kernel", "packets sent again", "queues that overflow"},
             {"errors of the cable because the driver does not count them"}});
    verdict.reconciliation.push_back(
        {"TcpExt.TCPSlowStartRetrans", 4026531840, 812, 800, "counted before our start"});
    verdict.reconciliation_gaps.push_back(
        "namespace 4026532000: it disappeared before it could be read");
    verdict.lost[ABI_CONNECT] = {
        .ring_full = 3, .map_full = 1, .limited = 5, .seen = 100, .filtered = 2};
    verdict.self.cpu_percent = 0.3;
    verdict.self.programs.push_back({"drop_skb", 10, 800});
    return verdict;
}

Verdict sick() {
    Verdict verdict = healthy();
    verdict.outcome = Outcome::kFindings;
    Finding finding;
    finding.id = "conn-refused";
    finding.severity = Severity::kCritical;
    finding.confidence = std::numeric_limits<double>::quiet_NaN();
    finding.title = "client (pid 42) is refused at 10.0.0.2:8080, where no process listens on this "
                    "port any more";
    finding.culprit = Party{owner_of(42, kHostile), 4026531840};
    finding.affected.push_back({owner_of(0, ""), 0});
    finding.where = {"10.0.0.1", "10.0.0.2:8080", kHostile, "", "", 4026531840};
    finding.count = 812;
    finding.rate_per_s = 81.2;
    finding.evidence.push_back(
        {"812 of 812 attempts were refused", 812, "connections", "inet_sock_set_state"});
    finding.advice.push_back({"start the service", "systemctl start " + std::string(90, 'x')});
    finding.verify = "diagnose --only conn-refused --for 30s";
    verdict.findings.push_back(finding);
    finding.culprit.reset();
    verdict.findings.push_back(finding);
    finding.culprit = Party{owner_of(0, "ghost"), 0};
    verdict.findings.push_back(finding);
    return verdict;
}

std::size_t widest_line(const std::string& text) {
    std::istringstream lines(text);
    std::size_t widest = 0;
    for (std::string line; std::getline(lines, line);)
        widest = std::max(widest, columns(line));
    return widest;
}

bool has_keys(const Json& object, std::initializer_list<const char*> keys) {
    return std::all_of(keys.begin(), keys.end(),
                       [&](const char* key) { return object.contains(key); });
}

bool harmless(const std::string& text) {
    return text.find('\x1b') == std::string::npos && text.find("\\u001b") == std::string::npos &&
           text.find('\r') == std::string::npos;
}

} // namespace

TEST_CASE("a healthy verdict says so first and fits 80 columns", "[present_test]") {
    const std::string text = verdict_text(healthy(), kPlain);
    CHECK(text.starts_with("HEALTHY: "));
    CHECK(text.ends_with('\n'));
    CHECK(widest_line(text) <= 80);
    CHECK(text.find("web1 in 10s") != std::string::npos);
    CHECK(text.find("lost events (3 connect)") != std::string::npos);
    CHECK(text.find("rate limit: 5 connect") != std::string::npos);
}

TEST_CASE("the first words follow the outcome", "[present_test]") {
    CHECK(verdict_text(sick(), kPlain).starts_with("3 FINDINGS: "));
    Verdict verdict = sick();
    verdict.findings.resize(1);
    CHECK(verdict_text(verdict, kPlain).starts_with("1 FINDING: "));
    verdict.outcome = Outcome::kIncomplete;
    CHECK(verdict_text(verdict, kPlain).starts_with("INCOMPLETE: "));
}

TEST_CASE("commands stay whole, everything else is wrapped", "[present_test]") {
    std::istringstream lines(verdict_text(sick(), kPlain));
    for (std::string line; std::getline(lines, line);)
        CHECK((columns(line) <= 80 || line.starts_with("          $ systemctl start xxx")));
}

TEST_CASE("colours change no column", "[present_test]") {
    const std::string plain = verdict_text(sick(), kPlain);
    const std::string colored = verdict_text(sick(), Style{true, false, 80});
    std::string stripped;
    for (std::size_t i = 0; i < colored.size(); i++)
        if (colored[i] == '\x1b')
            i = colored.find('m', i);
        else
            stripped += colored[i];
    CHECK(colored != plain);
    CHECK(stripped == plain);
}

TEST_CASE("hostile bytes reach neither text nor JSON", "[present_test]") {
    const std::string text = verdict_text(sick(), kPlain);
    CHECK(harmless(text));
    CHECK(text.find("ev\\x1b[2Jil") != std::string::npos);
    CHECK(harmless(verdict_json(sick())));

    connect_event event{};
    event.head = {1'000'000, ABI_CONNECT, sizeof(event), 0};
    event.owner = owner_of(42, kHostile);
    const Kind* kind = find_kind(ABI_CONNECT);
    REQUIRE(kind);
    const std::string line = event_text(*kind, bytes_of(event), {}, 0, kPlain);
    CHECK(line.starts_with("00:00:00.001 connect "));
    CHECK(line.find("ev\\x1b[2Jil") != std::string::npos);
    CHECK(harmless(line));
    const std::string json = event_json(*kind, bytes_of(event), {}, 0);
    CHECK(harmless(json));
    CHECK(Json::parse(json).at("kind") == "connect");
}

TEST_CASE("the verdict's JSON has every key of the contract", "[present_test]") {
    const Json json = Json::parse(verdict_json(sick()));
    CHECK(has_keys(json, {"schema", "host", "kernel", "from", "to", "verdict", "findings", "layers",
                          "reconciliation", "lost", "self"}));
    CHECK(json.at("schema") == "culprit.diagnosis/1");
    CHECK(json.at("verdict") == "findings");
    CHECK(json.at("from") == "2023-11-14T22:13:20.000Z");
    const Json& finding = json.at("findings").at(0);
    CHECK(has_keys(finding, {"id", "layer", "severity", "confidence", "title", "culprit", "where",
                             "first_seen", "count", "rate_per_s", "evidence", "advice", "verify"}));
    CHECK(finding.at("confidence") == 0.0);
    CHECK(finding.at("verify") == "culprit diagnose --only conn-refused --for 30s");
    CHECK(has_keys(finding.at("culprit"), {"pid", "comm", "exe", "cmdline", "cgroup", "container",
                                           "unit", "started", "exited", "netns", "provenance"}));
    CHECK(has_keys(finding.at("where"), {"local", "remote", "device", "kernel", "reason"}));
    CHECK(has_keys(finding.at("evidence").at(0), {"text", "value", "unit", "source"}));
    CHECK(has_keys(finding.at("advice").at(0), {"text", "command"}));
    CHECK(has_keys(json.at("layers").at(0), {"layer", "status", "checked", "not_checked"}));
    CHECK(has_keys(json.at("reconciliation").at(0),
                   {"counter", "netns", "kernel", "explained", "unexplained"}));
    CHECK(json.at("reconciliation").at(0).at("unexplained") == 12);
    CHECK(json.at("lost").at("events") == 3);
    CHECK(json.at("lost").at("by_kind").at("connect").at("seen") == 100);
    CHECK(has_keys(json.at("self"), {"cpu_percent", "rss_bytes", "programs"}));
    CHECK(json.at("self").at("programs").at(0).at("ns_per_run") == 80.0);
}

TEST_CASE("nobody to blame is not the same as an unknown process", "[present_test]") {
    const Json findings = Json::parse(verdict_json(sick())).at("findings");
    CHECK(findings.at(0).at("culprit").at("pid") == 42);
    CHECK(findings.at(0).at("culprit").at("cgroup") == "id:77");
    CHECK(findings.at(1).at("culprit").is_null());
    CHECK(findings.at(2).at("culprit").at("pid").is_null());
    CHECK(findings.at(2).at("culprit").at("provenance") == "unknown");
    const std::string text = verdict_text(sick(), kPlain);
    CHECK(text.find("who:   no process is to blame") != std::string::npos);
    CHECK(text.find("who:   unknown process, in cgroup id:77") != std::string::npos);
}

TEST_CASE("the culprit is shown as it was seen last", "[present_test]") {
    Verdict verdict = sick();
    verdict.findings[0].culprit->owner.start_ns = 5'000'000'000;
    const std::string id(64, 'a');
    Process& process = verdict.names.processes[{42, 5'000'000'000}];
    process = {"java", "/opt/jdk/bin/java", "java -jar shop.jar",
               "/system.slice/docker-" + id + ".scope", true};
    const Json who = Json::parse(verdict_json(verdict)).at("findings").at(0).at("culprit");
    CHECK(who.at("comm") == "java");
    CHECK(who.at("exe") == process.exe);
    CHECK(who.at("cmdline") == process.cmdline);
    CHECK(who.at("cgroup") == process.cgroup);
    CHECK(who.at("container") == "docker://" + id);
    CHECK(who.at("unit").is_null());
    CHECK(who.at("started") == "2023-11-14T22:13:25.000Z");
    CHECK(who.at("exited") == true);
    CHECK(verdict_text(verdict, kPlain)
              .find("who:   java (pid 42), creator of the socket\n"
                    "          /opt/jdk/bin/java, docker://aaaaaaaaaaaa, exited\n") !=
          std::string::npos);
    process.cgroup = "/system.slice/shop.service";
    process.exited = false;
    CHECK(
        verdict_text(verdict, kPlain).find("\n          /opt/jdk/bin/java, unit shop.service\n") !=
        std::string::npos);
}

TEST_CASE("what is not known of a culprit is null, not false", "[present_test]") {
    const Json findings = Json::parse(verdict_json(sick())).at("findings");
    for (const char* key : {"exe", "cmdline", "container", "unit", "started", "exited"}) {
        CAPTURE(key);
        CHECK(findings.at(0).at("culprit").at(key).is_null());
        CHECK(findings.at(2).at("culprit").at(key).is_null());
    }
}

TEST_CASE("the cgroup of an unknown process tells its container", "[present_test]") {
    Verdict verdict = sick();
    const std::string id(64, 'a');
    verdict.names.cgroups[77] = "/docker/" + id;
    const Json who = Json::parse(verdict_json(verdict)).at("findings").at(2).at("culprit");
    CHECK(who.at("pid").is_null());
    CHECK(who.at("comm").is_null());
    CHECK(who.at("cgroup") == "/docker/" + id);
    CHECK(who.at("container") == "docker://" + id);
}

TEST_CASE("hostile bytes of a process reach neither text nor JSON", "[present_test]") {
    Verdict verdict = sick();
    const std::string hostile = kHostile;
    verdict.findings[0].culprit->owner.start_ns = 7;
    verdict.names.processes[{42, 7}] = {hostile, hostile, hostile, "/" + hostile + ".service",
                                        false};
    verdict.names.cgroups[77] = hostile;
    CHECK(harmless(verdict_text(verdict, kPlain)));
    CHECK(harmless(verdict_json(verdict)));
    connect_event event{};
    event.head = {1'000'000, ABI_CONNECT, sizeof(event), 0};
    event.owner = verdict.findings[0].culprit->owner;
    const Kind& kind = *find_kind(ABI_CONNECT);
    CHECK(harmless(event_text(kind, bytes_of(event), verdict.names, 0, kPlain)));
    CHECK(harmless(event_json(kind, bytes_of(event), verdict.names, 0)));
}

TEST_CASE("a summary says what was lost", "[present_test]") {
    WatchSummary summary;
    summary.seconds = 10;
    summary.lines.push_back({"connect", 4, 2, {}});
    CHECK(summary_text(summary).find("no event was lost") != std::string::npos);
    summary.lines.back().lost.ring_full = 1;
    CHECK(summary_text(summary).find("WARNING: lost 1 event,") != std::string::npos);
    CHECK(widest_line(summary_text(summary)) <= 80);
    const std::string json = summary_json(summary);
    CHECK(json.find('\n') == json.size() - 1);
    CHECK(json.starts_with("{\"kind\":\"summary\","));
    CHECK(Json::parse(json).at("kinds").at("connect").at("lost") == 1);
}

TEST_CASE("the doctor names what is missing and fits 80 columns", "[present_test]") {
    DoctorReport report;
    report.features.release = "6.1.0";
    report.features.btf_error = "no file /sys/kernel/btf/vmlinux";
    report.features.lockdown = "confidentiality";
    for (const char* name :
         {"CAP_BPF", "CAP_PERFMON", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_SYSLOG"})
        report.features.capabilities[name] = 0;
    report.signals.push_back(
        {"drop",
         State::kDegraded,
         {{"kfree_skb", 4, true}, {"other_hook", 0, false}},
         {},
         {"no hook other_hook: packets that are dropped in other places are not seen at all"}});
    const std::string text = doctor_text(report, kPlain);
    CHECK(widest_line(text) <= 80);
    CHECK(text.find("kfree_skb(4) attached") != std::string::npos);
    CHECK(text.find("degraded") != std::string::npos);
    const Json json = Json::parse(doctor_json(report));
    CHECK(json.at("schema") == "culprit.doctor/1");
    CHECK(json.at("signals").at(0).at("hooks").at(0).at("arguments") == 4);
}

TEST_CASE("wrapping keeps words whole and indents what follows", "[present_test]") {
    CHECK(wrap("- ", "one two three", 2, 9) == "- one two\n  three\n");
    CHECK(wrap("", "abcdefghij kl", 2, 5) == "abcdefghij\n  kl\n");
    CHECK(wrap("x: ", "", 3, 80) == "x:\n");
    CHECK(safe_once("a\\x1bb") == "a\\x1bb");
    CHECK(safe_once("a\x1b"
                    "b") == "a\\x1bb");
}
