// SPDX-License-Identifier: MIT
// What do people and programs read of an inventory?
#include <netinet/tcp.h>

#include <sstream>

#include <nlohmann/json.hpp>

#include "present/inventory.h"
#include "present/layout.h"
#include "present/text_table.h"
#include "support/catch.h"
#include "support/event_builder.h"
#include "support/fake_names.h"

using namespace culprit;
using namespace culprit::test;
using Json = nlohmann::json;

namespace {

socket_info a_listener(std::uint32_t netns = kNetns) {
    auto socket = make<socket_info>();
    socket.flow = tcp_flow("10.0.0.1", 8080, "0.0.0.0", 0, netns, 0);
    socket.owner = process("ev\x1b[31mil\n", 4242); // a hostile name
    socket.state = TCP_LISTEN;
    socket.accept_queue = 129;
    socket.accept_limit = 128;
    socket.syn_queue = 7;
    socket.drops = 812;
    socket.shared = 1;
    return socket;
}

socket_info a_connection(std::uint32_t netns = kNetns) {
    auto socket = make<socket_info>();
    socket.flow = tcp_flow("10.0.0.1", 8080, "192.0.2.7", 50000, netns, 0);
    socket.owner = process("web", 4242, ABI_OWNER_LISTENER);
    socket.state = TCP_CLOSE_WAIT;
    socket.quiet_ns = 90 * kSecondNs;
    socket.recv_queue = 1'234'567;
    socket.srtt_us = 1500;
    return socket;
}

InventoryReport report_of(Topic topic, const std::vector<socket_info>& sockets) {
    InventoryReport report;
    report.topic = topic;
    report.host = "host";
    report.kernel = "6.18.0";
    report.netns[kNetns] = "";
    report.names = fake_names();
    for (const socket_info& socket : sockets)
        report.inventory.add(socket);
    return report;
}

std::string text_of(const InventoryReport& report) {
    return inventory_text(report, Style{});
}

bool has(const std::string& text, const std::string& part) {
    INFO(text);
    const bool found = text.find(part) != std::string::npos;
    CHECK(found);
    return found;
}

std::size_t widest(const std::string& text) {
    std::istringstream lines(text);
    std::size_t width = 0;
    for (std::string line; std::getline(lines, line);)
        width = std::max(width, columns(line));
    return width;
}

} // namespace

TEST_CASE("a listener's line says queue, limit, drops and owner", "[show_text_test]") {
    const std::string text = text_of(report_of(Topic::kListeners, {a_listener()}));
    has(text, "10.0.0.1:8080  129/128    7    812  ev\\x1b[31mil\\x0a/4242 +");
    has(text, "+: other processes hold it too, or listen on that port");
    CHECK(text.find('\x1b') == std::string::npos);
    CHECK(widest(text) <= 80);
}

TEST_CASE("no mark, no footnote", "[show_text_test]") {
    socket_info alone = a_listener();
    alone.shared = 0;
    CHECK(text_of(report_of(Topic::kListeners, {alone})).find('+') == std::string::npos);
}

TEST_CASE("connections are summed up, judged and listed", "[show_text_test]") {
    auto report = report_of(Topic::kConnections, {a_listener(), a_connection()});
    report.issues = {{"close-wait-count", "1001 connections are in CLOSE_WAIT", 1001, 1000}};
    const std::string text = text_of(report);
    has(text, "2 sockets: 1 tcp connection, 1 listener, 0 udp in 1 network namespace.");
    has(text, "CLOSE_WAIT      1  100.0%");
    has(text, "  - 1001 connections are in CLOSE_WAIT");
    has(text, "10.0.0.1:8080  192.0.2.7:50000  CLOSE_WAIT  90s     -   1.2M      -  web/4242");
    CHECK(widest(text) <= 80);
}

TEST_CASE("the namespace is a column when there are several", "[show_text_test]") {
    auto report = report_of(Topic::kListeners, {a_listener(), a_listener(4026532001)});
    CHECK(text_of(report).find("NETNS") == std::string::npos);
    report.netns[4026532001] = "blue";
    const std::string text = text_of(report);
    has(text, "NETNS");
    has(text, "  blue\n");
}

TEST_CASE("rows beyond the limit are counted", "[show_text_test]") {
    auto report = report_of(Topic::kConnections, std::vector<socket_info>(7, a_connection()));
    report.limit = 5;
    has(text_of(report), "and 2 more (--limit)");
    const Json json = Json::parse(inventory_json(report));
    CHECK(json["rows"].size() == 5);
    CHECK(json["rows_left_out"] == 2);
    CHECK(json["sums"]["sockets"] == 7);
}

TEST_CASE("ports, peers and queues have their rows", "[show_text_test]") {
    const std::vector<socket_info> sockets = {a_listener(), a_connection()};
    has(text_of(report_of(Topic::kPorts, sockets)), "tcp 8080        2");
    has(text_of(report_of(Topic::kPeers, sockets)), "192.0.2.7        1");
    has(text_of(report_of(Topic::kQueues, sockets)), "192.0.2.7:50000   1.2M");
    has(text_of(report_of(Topic::kQueues, {})), "none");
}

TEST_CASE("interfaces come with the faulty one first", "[show_text_test]") {
    auto report = report_of(Topic::kInterfaces, {});
    report.links = {{.netns = kNetns, .ifindex = 1, .name = "lo", .admin_up = true, .operstate = 0},
                    {.netns = kNetns,
                     .ifindex = 2,
                     .name = "e\nth0",
                     .admin_up = true,
                     .operstate = 6,
                     .mtu = 1500,
                     .stats = {.rx_packets = 12'345, .rx_errors = 3, .rx_crc_errors = 2},
                     .speed_mbit = 1000,
                     .duplex = 0}};
    const std::string text = text_of(report);
    has(text, "e\\x0ath0 -    up      1G half");
    has(text, "2 of 3 rx_crc");
    CHECK(text.find("th0") < text.find("lo "));
    const Json json = Json::parse(inventory_json(report));
    CHECK(json["rows"][0]["rx_errors"] == 3);
    CHECK(json["rows"][0]["errors"] == Json{{"rx_crc", 2}});
    CHECK(json["rows"][0]["state"] == "up");
    CHECK_FALSE(json.contains("sums"));
}

TEST_CASE("the JSON has what the contract promises", "[show_text_test]") {
    auto report = report_of(Topic::kConnections, {a_listener(), a_connection()});
    report.notes = {"2 network namespaces were not looked at"};
    const Json json = Json::parse(inventory_json(report));
    CHECK(json["schema"] == "culprit.inventory/1");
    CHECK(json["table"] == "connections");
    CHECK(json["notes"].size() == 1);
    CHECK(json["namespaces"][0]["netns"] == kNetns);
    CHECK(json["sums"]["tcp"]["states"] == Json{{"CLOSE_WAIT", 1}, {"LISTEN", 1}});
    CHECK(json["owners"][0]["sockets"] == 2);
    CHECK(json["ports"][0]["port"] == 8080);
    CHECK(json["rows"][0]["remote"] == "192.0.2.7:50000");
    CHECK(json["rows"][0]["recv_queue"] == 1'234'567);
}

TEST_CASE("numbers in tables have at most four columns", "[show_text_test]") {
    CHECK(short_number(0) == "0");
    CHECK(short_number(999) == "999");
    CHECK(short_number(1000) == "1.0K");
    CHECK(short_number(9949) == "9.9K");
    CHECK(short_number(9950) == "10K");
    CHECK(short_number(999'499) == "999K");
    CHECK(short_number(999'500) == "1.0M");
    CHECK(short_number(18'446'744'073'709'551'615.0) == "18E");
}

TEST_CASE("a table is as narrow as it can be and cuts nothing", "[show_text_test]") {
    TextTable table({{"A"}, {"B", true}});
    table.add({"long cell", "1"});
    CHECK(table.text(2, 80) == "  A          B\n  long cell  1\n");
    CHECK(table.text(2, 10) == "  A         B\n  long cell 1\n");
}
