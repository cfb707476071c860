// SPDX-License-Identifier: MIT
// Is the process of a UDP socket named where its packets are dropped, and never another one?
#include <memory>
#include <set>

#include "support/catch.h"
#include "support/datagrams.h"
#include "support/run.h"

using namespace culprit;
using namespace culprit::test;

namespace {

constexpr std::uint16_t kRefused = 4444; // the firewall drops what goes there
constexpr int kSmall = 4096;

/// Side a's packets to kRefused are dropped in the sender's own system call.
struct WalledNs : TwoNs {
    WalledNs() { a.nft("output", fmt::format("udp dport {} drop", kRefused)); }
};

auto from_port(const Side& side, std::uint16_t port) {
    return [local = end_text(side.v4, port)](const Json& event) {
        return event["kind"] == "drop" && event["reason"] == "NETFILTER_DROP" &&
               event["local"] == local;
    };
}

auto for_reader(const Side& side, std::uint16_t port) {
    return [remote = end_text(side.v4, port)](const Json& event) {
        return event["kind"] == "drop" && event["reason"] == "SOCKET_RCVBUFF" &&
               event["remote"] == remote;
    };
}

/// Sends now and then from a socket that is older than culprit; tells its port.
int keep_sending(const Tell& tell, const Side& side, const std::string& to) {
    const UniqueFd fd = bind_udp(side.v4);
    tell(local_port(fd.get()));
    for (;; ::usleep(1000))
        send_to(fd.get(), to, kRefused, 1, 100);
    return 0;
}

void check_all(const std::vector<Json>& events, pid_t pid, const std::string& provenance) {
    for (const Json& event : events) {
        INFO(event.dump());
        CHECK(event["pid"] == pid);
        CHECK(event["provenance"] == provenance);
    }
}

} // namespace

TEST_CASE("each of two senders is named, with sockets older than culprit",
          "[datagram_owner_test]") {
    const WalledNs ns;
    const auto work = [&](const Tell& tell) { return keep_sending(tell, ns.a, ns.b.v4); };
    const Child one(ns.a.path(), "ct-one", work), two(ns.a.path(), "ct-two", work);
    const auto port_one = static_cast<std::uint16_t>(one.number());
    const auto port_two = static_cast<std::uint16_t>(two.number());
    Culprit culprit = watch({"drop", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    check_all(culprit.await(from_port(ns.a, port_one), 5), one.pid(), "writer");
    check_all(culprit.await(from_port(ns.a, port_two), 5), two.pid(), "writer");
}

TEST_CASE("a socket made after the start is its sender's", "[datagram_owner_test]") {
    const WalledNs ns;
    Culprit culprit = watch({"drop", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    const Child sender(ns.a.path(), "ct-sender",
                       [&](const Tell& tell) { return keep_sending(tell, ns.a, ns.b.v4); });
    const auto port = static_cast<std::uint16_t>(sender.number());
    check_all(culprit.await(from_port(ns.a, port), 5), sender.pid(), "writer");
}

TEST_CASE("of two holders of a socket the one that sends is named", "[datagram_owner_test]") {
    const WalledNs ns;
    Child maker(ns.a.path(), "ct-maker", [&](const Tell& tell) {
        const UniqueFd fd = bind_udp(ns.a.v4);
        const pid_t user = ::fork();
        must(user >= 0, "fork");
        if (user == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            for (;; ::usleep(1000))
                send_to(fd.get(), ns.b.v4, kRefused, 1, 100);
        }
        tell(static_cast<std::uint64_t>(user));
        tell(local_port(fd.get()));
        // busy, and in system calls that name this very number for something else
        for (char byte = 0;; ::usleep(10))
            (void)!::pread(fd.get(), &byte, 1, 0);
        return 0;
    });
    const auto user = static_cast<pid_t>(maker.number());
    const auto port = static_cast<std::uint16_t>(maker.number());
    Culprit culprit = watch({"drop", "--netns", ns.a.netns()});
    culprit.wait_until_watching();
    check_all(culprit.await(from_port(ns.a, port), 20), user, "writer");
}

TEST_CASE("a receiver older than culprit is named for what softirq drops on top of others",
          "[datagram_owner_test]") {
    const TwoNs ns;
    const LazyReader reader(ns.b, "ct-lazy", kSmall);
    const Innocent innocent(ns);
    Culprit culprit = watch({"drop", "--netns", ns.b.netns()});
    culprit.wait_until_watching();
    const Child sender(ns.a.path(), "ct-sender", [&](const Tell&) {
        for (;; ::usleep(1000))
            send_udp(ns.b.v4, reader.port(), 10, 1000);
        return 0;
    });
    check_all(culprit.await(for_reader(ns.b, reader.port()), 50), reader.pid(), "holder");
}

TEST_CASE("memory of a closed socket does not blame its process", "[datagram_owner_test]") {
    constexpr int kSockets = 300;
    const WalledNs ns;
    ns.b.nft("output", fmt::format("udp dport {} drop", kRefused));
    Culprit culprit = watch({"drop", "--netns", ns.b.netns()});
    culprit.wait_until_watching();
    const Child former(ns.b.path(), "ct-former", [&](const Tell& tell) {
        std::vector<UniqueFd> sockets;
        for (int i = 0; i < kSockets; i++) {
            sockets.push_back(bind_udp(ns.b.v4));
            send_to(sockets.back().get(), ns.a.v4, kRefused, 1, 100);
        }
        sockets.clear();
        tell(0);
        ::pause();
        return 0;
    });
    former.number();
    ::usleep(100'000); // they are freed after a grace period
    const Child heir(ns.b.path(), "ct-heir", [&](const Tell& tell) {
        std::vector<UniqueFd> sockets;
        for (int i = 0; i < kSockets; i++) {
            sockets.push_back(bind_udp(ns.b.v4, 0, kSmall));
            tell(local_port(sockets.back().get()));
        }
        ::pause();
        return 0;
    });
    std::size_t proven = 0, met = 0;
    for (int i = 0; i < kSockets; i++) {
        const auto port = static_cast<std::uint16_t>(heir.number());
        ns.a.in([&] { send_udp(ns.b.v4, port, 20, 1000); });
    }
    CHECK(culprit.stop() == 0);
    for (const Json& event : culprit.events(is("drop"))) {
        INFO(event.dump());
        if (event["reason"] == "NETFILTER_DROP" && event["pid"] == former.pid())
            proven++;
        if (event["reason"] != "SOCKET_RCVBUFF")
            continue;
        met++;
        CHECK((event["pid"].is_null() || event["pid"] == heir.pid()));
    }
    CHECK(proven > 0);
    CHECK(met > 0);
}
