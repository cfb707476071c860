// SPDX-License-Identifier: MIT
// Are the tables exact, over several namespaces and while namespaces come and go?
#include <sstream>

#include "support/catch.h"
#include "support/finding.h"
#include "support/show.h"
#include "support/traffic.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr uid_t kNobody = 65534;

/// "TCP: inuse 5 orphan 0 tw 1 ...": the number behind a word of a line of /proc/net/sockstat{,6}.
std::uint64_t sockstat(const Side& side, const std::string& line, const std::string& word) {
    std::istringstream text(side.output("cat /proc/net/sockstat /proc/net/sockstat6"));
    for (std::string one; std::getline(text, one);) {
        std::istringstream words(one);
        std::string name;
        std::uint64_t number = 0;
        if (!(words >> name) || name != line + ":")
            continue;
        while (words >> name >> number)
            if (name == word)
                return number;
    }
    return 0;
}

std::uint64_t sum_of(const Json& counts) {
    std::uint64_t sum = 0;
    for (const auto& [name, count] : counts.items())
        sum += count.get<std::uint64_t>();
    return sum;
}

std::uint64_t minisocks(const Json& connections) {
    return rows_with(connections, {{"timer", "time-wait"}}).size();
}

int status_of(const Culprit::Arguments& arguments, uid_t uid = 0) {
    return Culprit(arguments, uid).wait();
}

} // namespace

TEST_CASE("the sums are those of the kernel", "[show_test]") {
    const WiredNs ns;
    const Server four(ns.a, "sh-four", Serve::kEcho, "127.0.0.1");
    const Server six(ns.a, "sh-six", Serve::kEcho, "::1");
    ns.a.in([&] { short_connections("127.0.0.1", four.port(), 20, 10); });
    ns.a.in([&] { short_connections("::1", six.port(), 10, 10); });
    std::vector<UniqueFd> kept;
    ns.a.in([&] {
        for (int i = 0; i < 5; i++)
            kept.push_back(connect_to("127.0.0.1", four.port()));
        kept.push_back(make_socket("127.0.0.1", SOCK_DGRAM, 1));
        const Address at = address_of("127.0.0.1", 0);
        must(::bind(kept.back().get(), at.get(), at.size) == 0, "bind");
    });
    const Json all = show("connections", {"--netns", ns.a.netns()});
    const Json& tcp = all["sums"]["tcp"];
    CHECK(sum_of(tcp["states"]) == tcp["sockets"]);
    CHECK(minisocks(all) == sockstat(ns.a, "TCP", "tw"));
    CHECK(minisocks(all) >= 30);
    CHECK(tcp["sockets"].get<std::uint64_t>() - minisocks(all) ==
          sockstat(ns.a, "TCP", "inuse") + sockstat(ns.a, "TCP6", "inuse"));
    CHECK(all["sums"]["udp"]["sockets"] == sockstat(ns.a, "UDP", "inuse"));
    CHECK(all["rows"].size() + 2 == tcp["sockets"]); // two are listening
    std::uint64_t owned = 0;
    for (const Json& owner : all["owners"])
        owned += owner["sockets"].get<std::uint64_t>();
    CHECK(owned == all["sums"]["sockets"]);
}

TEST_CASE("ports and peers add the same sockets up another way", "[show_test]") {
    const WiredNs ns;
    const Server server(ns.b, "sh-service", Serve::kEcho, ns.b.v4);
    std::vector<UniqueFd> kept;
    ns.a.in([&] {
        for (int i = 0; i < 7; i++)
            kept.push_back(connect_to(ns.b.v4, server.port()));
    });
    const Json port = row_with(show("ports", {"--netns", ns.b.netns()}), {{"port", server.port()}});
    CHECK(port["listener"]["pid"] == server.pid());
    CHECK(port["listener"]["comm"] == "sh-service");
    CHECK(port["states"]["ESTABLISHED"] == 7);
    CHECK(port["states"]["LISTEN"] == 1);
    const Json peer = row_with(show("peers", {"--netns", ns.a.netns()}), {{"address", ns.b.v4}});
    CHECK(peer["states"]["ESTABLISHED"] == 7);
    CHECK(peer["srtt_min_us"] > 0);
    CHECK(peer["srtt_min_us"] <= peer["srtt_mean_us"]);
}

TEST_CASE("without --netns all namespaces are looked at", "[show_test]") {
    const WiredNs ns;
    const Server one(ns.a, "sh-one", Serve::kEcho, ns.a.v4),
        two(ns.b, "sh-two", Serve::kEcho, ns.b.v4);
    const Json all = show("listeners");
    CHECK(row_with(all, {{"local", end_text(ns.a.v4, one.port())}})["netns"] == ns.a.inum());
    CHECK(row_with(all, {{"local", end_text(ns.b.v4, two.port())}})["comm"] == "sh-two");
    CHECK(all["notes"].empty());
    CHECK(all["namespaces"].size() >= 3);
}

TEST_CASE("filters leave only what they name", "[show_test]") {
    const WiredNs ns;
    const Server one(ns.a, "sh-one", Serve::kEcho, ns.a.v4),
        two(ns.a, "sh-two", Serve::kEcho, ns.a.v4);
    for (const Culprit::Arguments& filter : {Culprit::Arguments{"--comm", "sh-one"},
                                             {"--pid", std::to_string(one.pid())},
                                             {"--port", std::to_string(one.port())}}) {
        Culprit::Arguments arguments = {"--netns", ns.a.netns()};
        arguments.insert(arguments.end(), filter.begin(), filter.end());
        const Json all = show("listeners", arguments);
        CHECK(all["rows"].size() == 1);
        CHECK(all["rows"][0]["pid"] == one.pid());
        CHECK(all["filtered"] == true);
    }
    CHECK(show("listeners", {"--netns", ns.a.netns(), "--addr", ns.a.v4})["rows"].size() == 2);
    CHECK(show("listeners", {"--netns", ns.a.netns(), "--limit", "1"})["rows_left_out"] == 1);
}

TEST_CASE("namespaces that come and go meanwhile are no error", "[show_test]") {
    const WiredNs ns;
    const Server server(ns.a, "sh-steady", Serve::kEcho, ns.a.v4);
    const Child churn("", "sh-churn", [](const Tell& tell) {
        for (std::uint64_t i = 0;; i++) {
            const pid_t child = ::fork();
            if (child == 0) {
                ::unshare(CLONE_NEWNET);
                ::_exit(0);
            }
            ::waitpid(child, nullptr, 0);
            if (i == 3)
                tell(0);
        }
        return 0;
    });
    churn.number();
    for (int i = 0; i < 5; i++)
        CHECK(rows_with(show("listeners"), {{"local", end_text(ns.a.v4, server.port())}}).size() ==
              1);
}

TEST_CASE("a process with a hostile name cannot write to the terminal", "[show_test]") {
    const TwoNs ns;
    const Server server(ns.a, "a\x1b[31m\nb", Serve::kEcho, "127.0.0.1");
    Culprit culprit({"show", "listeners", "--netns", ns.a.netns()});
    CHECK(culprit.wait() == 0);
    CHECK(culprit.out().find('\x1b') == std::string::npos);
    CHECK(culprit.out().find("a\\x1b[31m\\x0ab/") != std::string::npos);
}

TEST_CASE("interfaces are listed with their counters", "[show_test]") {
    const WiredNs ns;
    ns.b.shell("ip link set " + ns.b.device + " mtu 600"); // veth drops what its peer cannot take
    ns.a.in([&] { send_udp(ns.b.v4, 4444, 10, 1200); });
    const Json all = show("interfaces", {"--netns", ns.a.netns()});
    const Json wire = row_with(all, {{"device", ns.a.device}});
    CHECK(wire["state"] == "up");
    CHECK(wire["mtu"] == 1500);
    CHECK(wire["tx_dropped"] >= 10);
    CHECK(wire["tx_packets"] > 0);
    CHECK(row_with(all, {{"device", "lo"}})["mtu"] == 65536);
    const Json only = show("interfaces", {"--netns", ns.a.netns(), "--dev", ns.a.device});
    CHECK(only["rows"].size() == 1);
}

TEST_CASE("show says what it cannot do", "[show_test]") {
    need_root();
    CHECK(status_of({"show"}) == 2);
    CHECK(status_of({"show", "unheard-of"}) == 2);
    CHECK(status_of({"show", "listeners", "--dev", "lo"}) == 2);
    CHECK(status_of({"show", "interfaces", "--pid", "1"}) == 2);
    CHECK(status_of({"show", "listeners", "--netns", "no-such-namespace"}) == 1);
    CHECK(status_of({"show", "listeners", "--disable-hook", "iter/tcp"}) == 1);
    CHECK(status_of({"show", "listeners"}, kNobody) == 1);
    const Json own = [] {
        Culprit culprit({"show", "interfaces", "--output", "json"}, kNobody);
        CHECK(culprit.wait() == 1); // the other namespaces are missing
        return Json::parse(culprit.out());
    }();
    CHECK(rows_with(own, {{"device", "lo"}}).size() == 1);
    CHECK(own["namespaces"].size() == 1);
    CHECK(own["notes"].dump().find("CAP_SYS_ADMIN") != std::string::npos);
}

TEST_CASE("a table that leaves something out says so, also by its exit code", "[show_test]") {
    const TwoNs ns;
    const Server server(ns.a, "sh-whole", Serve::kEcho, "127.0.0.1");
    const Culprit::Arguments whole = {"show", "listeners", "--netns", ns.a.netns()};
    CHECK(status_of(whole) == 0);
    for (const char* hook : {"iter/task_file", "iter/udp"}) {
        Culprit::Arguments partly = whole;
        partly.insert(partly.end(), {"--disable-hook", hook, "--output", "json"});
        Culprit culprit(partly);
        CHECK(culprit.wait() == 1);
        const Json table = Json::parse(culprit.out());
        CHECK(table["rows"].size() == 1);
        CHECK(table["notes"].dump().find(hook) != std::string::npos);
    }
}

TEST_CASE("issues count for more than what was left out", "[show_test]") {
    const WiredNs ns;
    const Server server(ns.a, "sh-issue", Serve::kEcho, "127.0.0.1");
    ns.a.in([&] { short_connections("127.0.0.1", server.port(), 150, 10); });
    const Culprit::Arguments all = {"show", "connections", "--netns", ns.a.netns()};
    CHECK(status_of(all) == 3); // nearly all are in TIME_WAIT
    Culprit::Arguments partly = all;
    partly.insert(partly.end(), {"--disable-hook", "iter/task_file"});
    CHECK(status_of(partly) == 3);
}

TEST_CASE("a service at work is shown with its figures, its process and its peer", "[show_test]") {
    const WiredNs ns;
    const Server echo(ns.b, "sh-echo", Serve::kEcho, ns.b.v4);
    const Child asker(ns.a.path(), "sh-asker", [&](const Tell&) {
        for (int i = 0; i < 400; i++, pause_ms(10))
            short_connections(ns.b.v4, echo.port(), 1, 10);
        return 0;
    });
    const Json shown = show("tcp", {"--for", "2s", "--netns", ns.b.netns()});
    CHECK(shown["schema"] == "culprit.tcp/1");
    REQUIRE(shown["services"].size() == 1);
    const Json& service = shown["services"][0];
    CHECK(service["role"] == "server");
    CHECK(service["pid"] == echo.pid());
    CHECK(service["port"] == echo.port());
    bool clean = false;
    for (const Json& figure : service["figures"])
        clean = clean || (figure["id"] == "clean_shutdown" && figure["value"] == 100.0 &&
                          figure["mark"] == "green");
    CHECK(clean);
}

TEST_CASE("a table of a moment takes no duration", "[show_test]") {
    CHECK(status_of({"show", "ports", "--for", "1s"}) == 2);
}
