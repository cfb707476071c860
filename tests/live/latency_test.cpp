// SPDX-License-Identifier: MIT
// Is a slow answer laid to the process, to its small writes or to the path, whichever it is, and
// are those who only wait left in peace?
#include "support/catch.h"
#include "support/finding.h"
#include "support/run.h"
#include "support/tun_wire.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr std::size_t kQuestion = 100;

/// Answers each question after some time, any number of clients, one process.
class Answerer {
public:
    Answerer(const Side& side, const std::string& comm, int delay_ms)
        : x_child(
              side.path(), comm,
              [delay_ms, host = side.v4](const Tell& tell) { return serve(tell, host, delay_ms); }),
          x_port(static_cast<std::uint16_t>(x_child.number())) {}
    pid_t pid() const { return x_child.pid(); }
    std::uint16_t port() const { return x_port; }

private:
    using Clock = std::chrono::steady_clock;

    struct Client {
        UniqueFd fd;
        std::size_t got = 0;
        bool owed = false;
        Clock::time_point due;
    };

    static int serve(const Tell& tell, const std::string& host, int delay_ms) {
        const UniqueFd listener = make_socket(host, SOCK_STREAM, kDeadlineSeconds);
        const Address at = address_of(host, 0);
        must(::bind(listener.get(), at.get(), at.size) == 0 && ::listen(listener.get(), 128) == 0,
             "listen");
        tell(local_port(listener.get()));
        std::map<int, Client> clients;
        for (;;) {
            std::vector<pollfd> ready = {{listener.get(), POLLIN, 0}};
            for (const auto& [fd, client] : clients)
                ready.push_back({fd, POLLIN, 0});
            ::poll(ready.data(), ready.size(), 1);
            for (std::size_t i = 1; i < ready.size(); i++)
                if (ready[i].revents && !listen_to(clients.at(ready[i].fd), delay_ms))
                    clients.erase(ready[i].fd);
            for (auto& [fd, client] : clients)
                answer(client);
            if (ready[0].revents)
                if (UniqueFd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC)); fd)
                    clients[fd.get()].fd = std::move(fd);
        }
    }

    static bool listen_to(Client& client, int delay_ms) {
        char bytes[kQuestion];
        const ssize_t got = ::recv(client.fd.get(), bytes, sizeof(bytes) - client.got, 0);
        client.got += got > 0 ? static_cast<std::size_t>(got) : 0;
        if (client.got == kQuestion) {
            client.got = 0;
            client.owed = true;
            client.due = Clock::now() + std::chrono::milliseconds(delay_ms);
        }
        return got > 0;
    }

    static void answer(Client& client) {
        if (client.owed && client.due <= Clock::now()) {
            send_bytes(client.fd.get(), kQuestion);
            client.owed = false;
        }
    }

    Child x_child;
    std::uint16_t x_port;
};

void ask(int fd, std::size_t first = kQuestion) {
    send_bytes(fd, first);
    if (first < kQuestion)
        send_bytes(fd, kQuestion - first);
    receive_bytes(fd, kQuestion);
}

/// Asks on one connection, or on a new one each time, until it is killed.
Child asker(const Side& side, const std::string& comm, const std::string& to, std::uint16_t port,
            bool keeps, int pause) {
    return Child(side.path(), comm, [=](const Tell&) {
        for (UniqueFd fd = connect_to(to, port);; pause_ms(pause)) {
            ask(fd.get());
            if (!keeps)
                fd = connect_to(to, port);
        }
        return 0;
    });
}

/// Writes each question in two pieces.
Child splitter(const Side& side, const std::string& to, std::uint16_t port, int nodelay) {
    return Child(side.path(), "ct-splits", [=](const Tell&) {
        const UniqueFd fd = connect_to(to, port);
        ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &nodelay, sizeof(nodelay));
        for (;; pause_ms(5))
            ask(fd.get(), 20);
        return 0;
    });
}

Json slow_server(bool keeps) {
    const WiredNs ns;
    const Answerer slow(ns.b, "ct-slow", 400);
    const Answerer quick(ns.b, "ct-quick", 0);
    Culprit culprit = diagnose({"--for", "7s"});
    culprit.wait_until_watching();
    const Child client = asker(ns.a, "ct-asker", ns.b.v4, slow.port(), keeps, 10);
    const Child other = asker(ns.a, "ct-other", ns.b.v4, quick.port(), keeps, 10);
    CHECK(culprit.wait() == 3);
    const Json verdict = Json::parse(culprit.out());
    INFO(verdict.dump(1).substr(0, 9000));
    const auto found = find_finding(verdict, "app-latency", blames(slow.pid()));
    REQUIRE(found);
    CHECK((*found)["severity"] != "info");
    CHECK((*found)["where"]["local"] == end_text(ns.b.v4, slow.port()));
    CHECK_FALSE(find_finding(verdict, "app-latency", blames(quick.pid())));
    CHECK_FALSE(find_finding(verdict, "app-latency", about(ns.a.inum())));
    CHECK_FALSE(find_finding(verdict, "network-latency", about(ns.a.inum())));
    return *found;
}

} // namespace

TEST_CASE("a server that answers late is named, with its client", "[latency_test]") {
    const Json found = slow_server(true);
    INFO(found.dump(1));
    REQUIRE_FALSE(found["affected"].empty());
    CHECK(found["affected"][0]["comm"] == "ct-asker");
}

TEST_CASE("a server that answers late on short connections is named", "[latency_test]") {
    slow_server(false);
}

TEST_CASE("long polling is no slow server", "[latency_test]") {
    const WiredNs ns;
    const Answerer events(ns.b, "ct-events", 4000);
    Culprit culprit = diagnose({"--for", "9s"});
    culprit.wait_until_watching();
    std::vector<std::unique_ptr<Child>> clients;
    for (int i = 0; i < 5; i++)
        clients.push_back(std::make_unique<Child>(ns.a.path(), "ct-polls", [&](const Tell&) {
            for (const UniqueFd fd = connect_to(ns.b.v4, events.port());;)
                ask(fd.get());
            return 0;
        }));
    check_silent(verdict_of(culprit), ns);
}

TEST_CASE("questions in two pieces that wait for delayed ACKs are named", "[latency_test]") {
    const WiredNs ns;
    const Answerer server(ns.b, "ct-server", 0);
    Culprit culprit = diagnose({"--for", "6s"});
    culprit.wait_until_watching();
    const Child client = splitter(ns.a, ns.b.v4, server.port(), 0);
    const Json verdict = verdict_of(culprit);
    INFO(verdict.dump(1).substr(0, 9000));
    const auto found = find_finding(verdict, "nagle-delack", blames(client.pid()));
    REQUIRE(found);
    CHECK((*found)["severity"] == "warning");
    CHECK_FALSE(find_finding(verdict, "app-latency", blames(server.pid())));
    CHECK_FALSE(find_finding(verdict, "network-latency", about(ns.a.inum())));
}

TEST_CASE("questions in two pieces that leave at once are healthy", "[latency_test]") {
    const WiredNs ns;
    const Answerer server(ns.b, "ct-server", 0);
    Culprit culprit = diagnose({"--for", "5s"});
    culprit.wait_until_watching();
    const Child client = splitter(ns.a, ns.b.v4, server.port(), 1);
    check_silent(verdict_of(culprit), ns);
}

TEST_CASE("a path that becomes slow is told from slow processes", "[latency_test]") {
    if (!tun_possible())
        skip("there is no /dev/net/tun to make a path with");
    const TwoNs ns(TwoNs::Wire::kNone);
    const PathWire wire(ns, 5'000);
    const Answerer server(ns.b, "ct-server", 0);
    Culprit culprit = diagnose({"--for", "8s"});
    culprit.wait_until_watching();
    const Child client = asker(ns.a, "ct-asker", ns.b.v4, server.port(), false, 20);
    pause_ms(2500);
    wire.path().delay_us = 70'000;
    const Json verdict = verdict_of(culprit);
    INFO(verdict.dump(1).substr(0, 9000));
    const auto found = find_finding(verdict, "network-latency", about(ns.a.inum()));
    REQUIRE(found);
    CHECK((*found)["severity"] != "info");
    CHECK((*found)["culprit"].is_null());
    CHECK((*found)["where"]["remote"] == ns.b.v4);
    CHECK(hurts(client.pid())(*found));
    CHECK_FALSE(find_finding(verdict, "app-latency", blames(server.pid())));
}

TEST_CASE("a path that is long from the beginning is healthy", "[latency_test]") {
    if (!tun_possible())
        skip("there is no /dev/net/tun to make a path with");
    const TwoNs ns(TwoNs::Wire::kNone);
    const PathWire wire(ns, 80'000);
    const Answerer server(ns.b, "ct-server", 0);
    Culprit culprit = diagnose({"--for", "6s"});
    culprit.wait_until_watching();
    const Child client = asker(ns.a, "ct-asker", ns.b.v4, server.port(), false, 20);
    check_silent(verdict_of(culprit), ns);
}
