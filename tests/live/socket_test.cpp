// SPDX-License-Identifier: MIT
// Is every kind of socket listed in its state, with its queues and its owner, although it is older
// than culprit?
#include "support/catch.h"
#include "support/show.h"
#include "support/traffic.h"

using namespace culprit;
using namespace culprit::test;

namespace {

struct Pair {
    UniqueFd client, server;
};

UniqueFd listen_at(const std::string& host, int backlog) {
    UniqueFd fd = make_socket(host, SOCK_STREAM, kDeadlineSeconds);
    const Address at = address_of(host, 0);
    must(::bind(fd.get(), at.get(), at.size) == 0 && ::listen(fd.get(), backlog) == 0, "listen");
    return fd;
}

Pair make_pair(const UniqueFd& listener, const std::string& host) {
    Pair pair;
    pair.client = connect_to(host, local_port(listener.get()));
    pair.server = UniqueFd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    must(bool(pair.server), "accept");
    return pair;
}

/// A process with the sockets that `make` made and told of; it ends with this object.
class Owner {
public:
    template <typename Make>
    Owner(const Side& side, const std::string& comm, const Make& make)
        : x_child(side.path(), comm, [&](const Tell& tell) {
              const auto kept = make(tell);
              for (;;)
                  ::pause();
              return 0;
          }) {}
    std::string at(const std::string& host = "127.0.0.1") const {
        return end_text(host, static_cast<std::uint16_t>(x_child.number()));
    }
    pid_t pid() const { return x_child.pid(); }

private:
    Child x_child;
};

void check_owner(const Json& row, const Owner& owner, const std::string& comm) {
    CHECK(row["pid"] == owner.pid());
    CHECK(row["comm"] == comm);
}

/// One pair each: established, half closed, closed by the client and not by the server, closed.
std::vector<Pair> pairs_in_states(const Tell& tell) {
    const UniqueFd listener = listen_at("127.0.0.1", 16);
    std::vector<Pair> kept;
    for (int i = 0; i < 4; i++) {
        kept.push_back(make_pair(listener, "127.0.0.1"));
        tell(local_port(kept.back().client.get()));
    }
    ::send(kept[0].client.get(), "hello", 5, 0);
    ::shutdown(kept[1].client.get(), SHUT_WR);
    kept[2].client = UniqueFd();
    kept[3].client = UniqueFd();
    kept[3].server = UniqueFd();
    tell(0);
    return kept;
}

} // namespace

TEST_CASE("a listener shows how many connections wait for accept()", "[socket_test]") {
    const TwoNs ns;
    const Owner owner(ns.a, "st-listener", [](const Tell& tell) {
        std::vector<UniqueFd> kept;
        kept.push_back(listen_at("127.0.0.1", 4));
        for (int i = 0; i < 3; i++)
            kept.push_back(connect_to("127.0.0.1", local_port(kept[0].get())));
        tell(local_port(kept[0].get()));
        return kept;
    });
    const std::string local = owner.at();
    const Json row = row_with(show("listeners", {"--netns", ns.a.netns()}), {{"local", local}});
    CHECK(row["state"] == "LISTEN");
    CHECK(row["role"] == "listener");
    CHECK(row["accept_queue"] == 3);
    CHECK(row["accept_limit"] == 4);
    CHECK(row["provenance"] == "holder");
    CHECK(row["inode"] != 0);
    check_owner(row, owner, "st-listener");
    // nobody has accepted these: they are the listener's
    const auto waiting =
        rows_with(show("connections", {"--netns", ns.a.netns()}), {{"local", local}});
    REQUIRE(waiting.size() == 3);
    for (const Json& connection : waiting) {
        CHECK(connection["inode"] == 0);
        CHECK(connection["provenance"] == "listener");
        check_owner(connection, owner, "st-listener");
    }
}

TEST_CASE("connections are listed in the state they are in", "[socket_test]") {
    const TwoNs ns;
    const Owner owner(ns.a, "st-states", pairs_in_states);
    const std::string established = owner.at(), half = owner.at(), orphan = owner.at(),
                      closed = owner.at();
    owner.at();
    const Json all = show("connections", {"--netns", ns.a.netns()});
    const Json client = row_with(all, {{"local", established}});
    CHECK(client["state"] == "ESTABLISHED");
    CHECK(client["bytes_sent"] == 6); // the SYN counts
    CHECK(client["srtt_us"].is_number());
    CHECK(client["send_queue"] == 0);
    check_owner(client, owner, "st-states");
    const Json server = row_with(all, {{"remote", established}});
    CHECK(server["recv_queue"] == 5);
    check_owner(server, owner, "st-states");

    CHECK(row_with(all, {{"local", half}})["state"] == "FIN_WAIT2");
    CHECK(row_with(all, {{"local", half}})["inode"] != 0);
    CHECK(row_with(all, {{"remote", half}})["state"] == "CLOSE_WAIT");

    const Json small = row_with(all, {{"local", orphan}});
    CHECK(small["state"] == "FIN_WAIT2");
    CHECK(small["timer"] == "time-wait");
    CHECK(small["pid"].is_null());
    const Json waits = row_with(all, {{"remote", orphan}});
    CHECK(waits["state"] == "CLOSE_WAIT");
    CHECK(waits["quiet_ns"].is_number());
    CHECK(waits["recv_queue"] == 0); // the FIN is not a byte
    check_owner(waits, owner, "st-states");

    const Json last = row_with(all, {{"local", closed}});
    CHECK(last["state"] == "TIME_WAIT");
    CHECK(last["timer_ns"] > 30'000'000'000);
    CHECK(last["timer_ns"] <= 60'000'000'000);
    CHECK(all["sums"]["tcp"]["states"]["CLOSE_WAIT"] == 2);
    CHECK(all["sums"]["tcp"]["states"]["FIN_WAIT2"] == 2);
    CHECK(all["sums"]["tcp"]["states"]["TIME_WAIT"] == 1);
}

TEST_CASE("both ends of a handshake under way are listed", "[socket_test]") {
    const WiredNs ns;
    const Server server(ns.b, "st-server", Serve::kEcho, ns.b.v4);
    ns.a.nft("input", fmt::format("tcp sport {} drop", server.port()));
    const std::string remote = end_text(ns.b.v4, server.port());
    const Owner owner(ns.a, "st-client", [&](const Tell& tell) {
        UniqueFd fd = make_socket(ns.b.v4, SOCK_STREAM, 0.1);
        const Address to = address_of(ns.b.v4, server.port());
        ::connect(fd.get(), to.get(), to.size);
        tell(local_port(fd.get()));
        return fd;
    });
    const std::string local = owner.at(ns.a.v4);
    const Json client =
        row_with(show("connections", {"--netns", ns.a.netns()}), {{"remote", remote}});
    CHECK(client["state"] == "SYN_SENT");
    CHECK(client["local"] == local);
    CHECK(client["timer"] == "retransmit");
    CHECK(client["send_queue"] == 0);
    check_owner(client, owner, "st-client");
    const Json request =
        row_with(show("connections", {"--netns", ns.b.netns()}), {{"remote", local}});
    CHECK(request["state"] == "SYN_RECV");
    CHECK(request["role"] == "server");
    CHECK(request["pid"] == server.pid());
    CHECK(request["provenance"] == "listener");
    const Json listener =
        row_with(show("listeners", {"--netns", ns.b.netns()}), {{"local", remote}});
    CHECK(listener["syn_queue"] == 1);
}

TEST_CASE("UDP sockets are listed with unread bytes, drops and owner", "[socket_test]") {
    const TwoNs ns;
    const Owner owner(ns.a, "st-udp", [](const Tell& tell) {
        std::vector<UniqueFd> kept;
        kept.push_back(make_socket("127.0.0.1", SOCK_DGRAM, 1));
        const int small = 4096;
        ::setsockopt(kept[0].get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
        const Address at = address_of("127.0.0.1", 0);
        must(::bind(kept[0].get(), at.get(), at.size) == 0, "bind");
        tell(local_port(kept[0].get()));
        send_udp("127.0.0.1", local_port(kept[0].get()), 50, 1000);
        tell(0);
        return kept;
    });
    const std::string local = owner.at();
    owner.at();
    const Json row = row_with(show("queues", {"--netns", ns.a.netns()}), {{"local", local}});
    CHECK(row["protocol"] == "udp");
    CHECK(row["recv_queue"] > 0);
    CHECK(row["drops"] > 0);
    CHECK(row["drops"] < 50);
    check_owner(row, owner, "st-udp");
}

TEST_CASE("IPv6 and IPv4-mapped connections have their addresses", "[socket_test]") {
    const TwoNs ns;
    const Owner owner(ns.a, "st-six", [](const Tell& tell) {
        const UniqueFd listener = listen_at("::", 4);
        std::vector<Pair> kept;
        kept.push_back(make_pair(listener, "::1"));
        kept.push_back(make_pair(listener, "127.0.0.1"));
        for (const Pair& pair : kept)
            tell(local_port(pair.client.get()));
        return kept;
    });
    const std::string six = owner.at("::1"), mapped = owner.at();
    const Json all = show("connections", {"--netns", ns.a.netns()});
    CHECK_FALSE(row_with(all, {{"remote", six}}).contains("v4_mapped"));
    const Json server = row_with(all, {{"remote", mapped}});
    CHECK(server["v4_mapped"] == true);
    CHECK(server["local"].get<std::string>().starts_with("127.0.0.1:"));
    check_owner(server, owner, "st-six");
}

TEST_CASE("a listening socket in two processes says so", "[socket_test]") {
    const TwoNs ns;
    const Owner owner(ns.a, "st-prefork", [](const Tell& tell) {
        UniqueFd listener = listen_at("127.0.0.1", 4);
        if (const pid_t worker = ::fork(); worker == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            for (;;)
                ::pause();
        }
        tell(local_port(listener.get()));
        return listener;
    });
    const Json row =
        row_with(show("listeners", {"--netns", ns.a.netns()}), {{"local", owner.at()}});
    CHECK(row["shared"] == 1);
    CHECK(row["comm"] == "st-prefork");
}
