// SPDX-License-Identifier: MIT
// Is a process that scans ports named, and ends that do not agree on signatures; and one that only
// misses its service not called a scanner?
#include "support/catch.h"
#include "support/finding.h"
#include "support/run.h"
#include "support/traffic.h"

using namespace culprit;
using namespace culprit::test;

namespace {

struct Told {
    Json verdict;
    pid_t client = 0;
    int status = 0;
};

Told during(const TwoNs& ns, const std::function<void()>& work) {
    Culprit culprit = diagnose({"--for", "6s"});
    culprit.wait_until_watching();
    Child client(ns.a.path(), "ct-client", [&](const Tell&) {
        work();
        return 0;
    });
    CHECK(client.wait() == 0);
    const int status = culprit.wait();
    return {Json::parse(culprit.out()), client.pid(), status};
}

/// Signs what goes to and comes from that address.
bool sign(int fd, const std::string& peer) {
    tcp_md5sig key{};
    const Address at = address_of(peer, 0);
    std::memcpy(&key.tcpm_addr, &at.bytes, sizeof(key.tcpm_addr));
    constexpr std::string_view kKey = "not a secret";
    key.tcpm_keylen = kKey.size();
    kKey.copy(reinterpret_cast<char*>(key.tcpm_key), kKey.size());
    return ::setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &key, sizeof(key)) == 0;
}

/// Knocks at a listener that wants signatures.
Told knock_signed(const WiredNs& ns, bool with_key, pid_t& server_pid) {
    const UniqueFd probe = make_socket(ns.b.v4, SOCK_STREAM, 1);
    if (!sign(probe.get(), ns.a.v4))
        skip("this kernel has no TCP-MD5");
    const Child server(ns.b.path(), "ct-bgpd", [&](const Tell& tell) -> int {
        const UniqueFd fd = make_socket(ns.b.v4, SOCK_STREAM, kDeadlineSeconds);
        const Address at = address_of(ns.b.v4, 0);
        must(sign(fd.get(), ns.a.v4) && ::bind(fd.get(), at.get(), at.size) == 0 &&
                 ::listen(fd.get(), 64) == 0,
             "listen");
        tell(local_port(fd.get()));
        for (;;)
            const UniqueFd done(::accept4(fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
    });
    const auto port = static_cast<std::uint16_t>(server.number());
    server_pid = server.pid();
    return during(ns, [&] {
        for (int i = 0; i < 4; i++) {
            const UniqueFd fd = make_socket(ns.b.v4, SOCK_STREAM, 1.3);
            if (with_key)
                sign(fd.get(), ns.b.v4);
            const Address to = address_of(ns.b.v4, port);
            ::connect(fd.get(), to.get(), to.size);
        }
    });
}

} // namespace

TEST_CASE("a process that tries many ports is named as a scanner", "[scan_test]") {
    const WiredNs ns;
    const Told told = during(ns, [&] {
        for (std::uint16_t port = 20; port < 100; port++)
            try_connect(ns.b.v4, port, 0.5);
    });
    INFO(told.verdict.dump().substr(0, 8000));
    CHECK(told.status == 3);
    const auto finding = find_finding(told.verdict, "port-scan", blames(told.client));
    REQUIRE(finding);
    CHECK((*finding)["where"]["remote"] == ns.b.v4);
    CHECK_FALSE(find_finding(told.verdict, "conn-refused", blames(told.client)));
}

TEST_CASE("a client whose one service is down does not scan", "[scan_test]") {
    const WiredNs ns;
    const Told told = during(ns, [&] {
        for (int i = 0; i < 80; i++)
            try_connect(ns.b.v4, 9, 0.5);
    });
    INFO(told.verdict.dump().substr(0, 8000));
    CHECK(find_finding(told.verdict, "conn-refused", blames(told.client)));
    CHECK_FALSE(find_finding(told.verdict, "port-scan", blames(told.client)));
}

TEST_CASE("a client without the key is told from a firewall and from loss", "[scan_test]") {
    const WiredNs ns;
    pid_t server = 0;
    const Told told = knock_signed(ns, false, server);
    INFO(told.verdict.dump().substr(0, 8000));
    CHECK(told.status == 3);
    const auto finding = find_finding(told.verdict, "md5-mismatch", blames(server));
    REQUIRE(finding);
    CHECK((*finding)["where"]["remote"] == ns.a.v4);
    CHECK_FALSE(find_finding(told.verdict, "connect-timeout", hurts(told.client)));
}

TEST_CASE("two ends with the same key are healthy", "[scan_test]") {
    const WiredNs ns;
    pid_t server = 0;
    const Told told = knock_signed(ns, true, server);
    INFO(told.verdict.dump().substr(0, 8000));
    CHECK_FALSE(find_finding(told.verdict, "md5-mismatch", about(ns.b.inum())));
}
